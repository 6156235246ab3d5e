/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX timers: ids, notification, interval, and the time that remains. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "live.h"
#include "sampler.h"
#include "util/macro.h"

#define NS 1000000000LL

static long long to_ns(struct timespec t)
{
	return t.tv_sec * NS + t.tv_nsec;
}

/* Without glibc, which has ids of its own. */
static int create(clockid_t clock, int notify, int sig, long long value, long long interval,
		  int *ret_id)
{
	struct sigevent event = {.sigev_notify = notify, .sigev_signo = sig};
	struct itimerspec time = {
		.it_value = {value / NS, value % NS},
		.it_interval = {interval / NS, interval % NS},
	};

	event.sigev_value.sival_ptr = (void *)0x123456789abcdefUL;
	event._sigev_un._tid = (int)gettid();
	return (int)syscall(SYS_timer_create, clock, &event, ret_id) ||
	       (int)syscall(SYS_timer_settime, *ret_id, 0, &time, NULL);
}

static long long remaining(int id)
{
	struct itimerspec time;

	return syscall(SYS_timer_gettime, id, &time) ? -1 : to_ns(time.it_value);
}

/* ---- ids, with gaps ------------------------------------------------------------------------ */

static int ids[6];

static bool is_pending(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && sigismember(&set, SIGRTMIN + 1);
}

static int make_ids(void)
{
	sigset_t set;
	int gap;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGRTMIN + 1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	if (create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 5000 * NS, 0, &gap) ||
	    create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN + 1, 5000 * NS, 7 * NS + 5, &ids[0]) ||
	    syscall(SYS_timer_delete, gap) ||
	    create(CLOCK_BOOTTIME, SIGEV_SIGNAL | SIGEV_THREAD_ID, SIGRTMIN + 1, 6000 * NS, 0,
		   &ids[1]) ||
	    create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGRTMIN + 1, 7000 * NS, NS, &ids[2]) ||
	    create(CLOCK_THREAD_CPUTIME_ID, SIGEV_NONE, 0, 8000 * NS, 0, &ids[3]) ||
	    create(CLOCK_TAI, SIGEV_SIGNAL, SIGRTMIN + 1, 0, 0, &ids[4]))
		return 1;
	/* The last one expires before the dump; its signal is pending. */
	return create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, NS / 1000, 0, &ids[5]) ||
	       live_await(is_pending);
}

static int check_ids(void)
{
	static const long long at_most[] = {5000 * NS, 6000 * NS, 7000 * NS, 8000 * NS};
	const struct timespec some_time = {1, 0};
	struct itimerspec time;
	siginfo_t info;
	sigset_t set;
	int next;

	for (size_t i = 0; i < ARRAY_SIZE(at_most); i++) {
		CHECK(remaining(ids[i]) <= at_most[i]);
		CHECK(remaining(ids[i]) > at_most[i] - 100 * NS);
	}
	CHECK_EQ(syscall(SYS_timer_gettime, ids[0], &time), 0);
	CHECK_EQ(to_ns(time.it_interval), 7 * NS + 5);
	CHECK_EQ(remaining(ids[4]), 0);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGRTMIN + 1);
	CHECK_EQ(sigtimedwait(&set, &info, &some_time) < 0 ? -errno : info.si_signo, SIGRTMIN + 1);
	CHECK_EQ(info.si_code, SI_TIMER);
	CHECK(info.si_value.sival_ptr == (void *)0x123456789abcdefUL);
	CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){0}), -1);
	CHECK_EQ(create(CLOCK_MONOTONIC, SIGEV_NONE, 0, NS, 0, &next), 0);
	CHECK_EQ(syscall(SYS_timer_delete, next), 0);
	return 0;
}

/* ---- one that expires after the restore, periodically -------------------------------------- */

static int make_later(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGRTMIN + 1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, 2 * NS, NS / 50, &ids[0]);
}

static int check_later(void)
{
	const struct timespec long_time = {10, 0};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGRTMIN + 1);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(sigtimedwait(&set, NULL, &long_time), SIGRTMIN + 1);
	return 0;
}

/* ---- the next id is the program's choice ----------------------------------------------------- */

enum { RESTORE_IDS = 77, OFF = 0, ON = 1, GET = 2 }; /* PR_TIMER_CREATE_RESTORE_IDS */

static int make_chosen(void)
{
	if (prctl(RESTORE_IDS, ON, 0, 0, 0) == 0)
		return 0;
	(void)live_fail("this kernel has no PR_TIMER_CREATE_RESTORE_IDS");
	return 77;
}

static int check_chosen(void)
{
	int id = 4242;

	CHECK_EQ(prctl(RESTORE_IDS, GET, 0, 0, 0), ON);
	CHECK_EQ(create(CLOCK_MONOTONIC, SIGEV_NONE, 0, NS, 0, &id), 0);
	CHECK_EQ(id, 4242);
	CHECK_EQ(prctl(RESTORE_IDS, OFF, 0, 0, 0), 0);
	return 0;
}

/* ---- remaining time across the dump -------------------------------------------------------- */

static int sampled;

static long long remaining_of_sampled(void)
{
	return remaining(sampled);
}

static int make_exact(void)
{
	return create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 5000 * NS, 0, &sampled) ||
	       sampler_start(remaining_of_sampled);
}

static int check_exact(void)
{
	return sampler_check(false);
}

static const struct live_row rows[] = {
	{.name = "ids", .make = make_ids, .check = check_ids},
	{.name = "later", .make = make_later, .check = check_later},
	{.name = "chosen ids", .make = make_chosen, .check = check_chosen},
	{.name = "exact", .make = make_exact, .check = check_exact},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
