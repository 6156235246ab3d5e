/* SPDX-License-Identifier: Apache-2.0 */
/* Scheduling: policies, nice, affinity, timer slack, I/O priority, the session's autogroup. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/sys.h"
#include "side.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

static struct sys_sched_attr before;

/* Remembers what the kernel made of it. */
static int set(struct sys_sched_attr attr)
{
	CHECK_EQ(sys_sched_setattr(0, &attr), 0);
	CHECK_EQ(sys_sched_getattr(0, &before), 0);
	return 0;
}

static int check_attr(void)
{
	struct sys_sched_attr now;

	CHECK_EQ(sys_sched_getattr(0, &now), 0);
	CHECK_EQ(now.policy, before.policy);
	CHECK_EQ(now.flags, before.flags);
	CHECK_EQ(now.nice, before.nice);
	CHECK_EQ(now.priority, before.priority);
	CHECK_EQ(now.runtime, before.runtime);
	CHECK_EQ(now.deadline, before.deadline);
	CHECK_EQ(now.period, before.period);
	CHECK_EQ(now.util_min, before.util_min);
	CHECK_EQ(now.util_max, before.util_max);
	return 0;
}

static int make_fifo(void)
{
	return set((struct sys_sched_attr){.policy = SCHED_FIFO, .priority = 3});
}

static int make_rr(void)
{
	return set((struct sys_sched_attr){
		.policy = SCHED_RR, .priority = 99, .flags = SCHED_FLAG_RESET_ON_FORK});
}

static int make_batch(void)
{
	return set((struct sys_sched_attr){.policy = SCHED_BATCH, .nice = 7});
}

static int make_idle(void)
{
	CHECK_EQ(setpriority(PRIO_PROCESS, 0, 12), 0);
	return set((struct sys_sched_attr){.policy = SCHED_IDLE, .nice = 12});
}

static int make_nice(void)
{
	return set((struct sys_sched_attr){.policy = SCHED_OTHER, .nice = -11});
}

static int make_slice(void)
{
	return set((struct sys_sched_attr){.policy = SCHED_OTHER, .runtime = 10 * 1000 * 1000});
}

static int make_deadline(void)
{
	return set((struct sys_sched_attr){.policy = SCHED_DEADLINE,
					   .flags = SCHED_FLAG_RECLAIM,
					   .runtime = 2 * 1000 * 1000,
					   .deadline = 50 * 1000 * 1000,
					   .period = 100 * 1000 * 1000});
}

static int check_idle(void)
{
	if (check_attr() != 0)
		return 1;
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 12);
	return 0;
}

/* Realtime tasks keep the nice value that they come back to. */
static int make_nice_below_fifo(void)
{
	CHECK_EQ(setpriority(PRIO_PROCESS, 0, 5), 0);
	return set((struct sys_sched_attr){.policy = SCHED_FIFO, .priority = 1});
}

static int check_nice_below_fifo(void)
{
	if (check_attr() != 0)
		return 1;
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
	return 0;
}

static int make_side_fifo(void)
{
	return side_run(make_fifo);
}

static int check_side_fifo(void)
{
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	return side_run(check_attr);
}

static int make_affinity(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	CHECK_EQ(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
	return 0;
}

static int check_affinity(void)
{
	cpu_set_t cpus;

	CHECK_EQ(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	CHECK_EQ(CPU_COUNT(&cpus), 1);
	CHECK(CPU_ISSET(0, &cpus));
	return 0;
}

static int make_slack(void)
{
	CHECK_EQ(prctl(PR_SET_TIMERSLACK, 123456), 0);
	return 0;
}

static int check_slack(void)
{
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 123456);
	return 0;
}

enum { BEST_EFFORT_6 = IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | 6 };

static int make_ioprio(void)
{
	CHECK_EQ(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, BEST_EFFORT_6), 0);
	return 0;
}

static int check_ioprio(void)
{
	CHECK_EQ(sys_ioprio_get(0), BEST_EFFORT_6);
	return 0;
}

static int make_side_ioprio(void)
{
	return side_run(make_ioprio);
}

static int check_side_ioprio(void)
{
	CHECK_EQ(sys_ioprio_get(0), 0);
	return side_run(check_ioprio);
}

static const char autogroup[] = "/proc/self/autogroup";

static int make_autogroup(void)
{
	_cleanup_close_ int fd = open(autogroup, O_WRONLY | O_CLOEXEC);

	if (fd < 0) {
		(void)live_fail("this kernel has no autogroups");
		return 77;
	}
	CHECK_EQ(io_write_all(fd, "-7", 2), 0);
	return 0;
}

static int check_autogroup(void)
{
	_cleanup_free_ char *text = NULL;

	CHECK_EQ(io_read_file(AT_FDCWD, autogroup, &text, NULL), 0);
	CHECK(strstr(text, " nice -7\n"));
	return 0;
}

static int make_clamps(void)
{
	struct sys_sched_attr attr = {.flags = SCHED_FLAG_KEEP_ALL | SCHED_FLAG_UTIL_CLAMP,
				      .util_min = 100,
				      .util_max = 800};

	if (sys_sched_setattr(0, &attr) == -EOPNOTSUPP) {
		(void)live_fail("this kernel has no utilization clamps");
		return 77;
	}
	CHECK_EQ(sys_sched_getattr(0, &before), 0);
	return 0;
}

static const struct live_row rows[] = {
	{"fifo", make_fifo, check_attr},
	{"rr, reset on fork", make_rr, check_attr},
	{"batch", make_batch, check_attr},
	{"idle", make_idle, check_idle},
	{"nice", make_nice, check_attr},
	{"slice", make_slice, check_attr},
	{"deadline", make_deadline, check_attr},
	{"nice below fifo", make_nice_below_fifo, check_nice_below_fifo},
	{"fifo in one thread", make_side_fifo, check_side_fifo},
	{"affinity", make_affinity, check_affinity},
	{"timer slack", make_slack, check_slack},
	{"I/O priority", make_ioprio, check_ioprio},
	{"I/O priority of one thread", make_side_ioprio, check_side_ioprio},
	{"autogroup", make_autogroup, check_autogroup},
	{"utilization clamps", make_clamps, check_attr},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
