/* SPDX-License-Identifier: Apache-2.0 */
/* The small files and directories of /proc/PID: fdinfo, limits, timers, children, links. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/proc-ahead.h"
#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/macro.h"

static int setup(void **state)
{
	static struct arena arena;

	arena_init(&arena, NULL);
	*state = &arena;
	return 0;
}

static int teardown(void **state)
{
	arena_deinit(*state);
	return 0;
}

static void fdinfo(void **state)
{
	struct proc_fdinfo info;

	assert_int_equal(parse_fdinfo("pos:\t-1\nflags:\t02100002\nmnt_id:\t25\nino:\t4711\n"
				      "eventfd-count:    3\n",
				      *state, &info),
			 0);
	assert_int_equal(info.pos, -1);
	assert_int_equal(info.flags, 02100002);
	assert_int_equal(info.mnt_id, 25);
	assert_int_equal(info.ino, 4711);
	assert_string_equal(info.rest, "eventfd-count:    3\n");
	assert_int_equal(parse_fdinfo("pos:\t0\nflags:\t02\nmnt_id:\t9\n", *state, &info), 0);
	assert_int_equal(info.ino, 0);
	assert_string_equal(info.rest, "");
}

static void fdinfo_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"pos:\t0\n",
		"pos:\t0\nflags:\t08\nmnt_id:\t1\n",
		"pos:\t9223372036854775808\nflags:\t0\nmnt_id:\t1\n",
		"pos:\t0\nflags:\t0\nmnt_id:\t1x\n",
		"pos:\t0\nflags:\t0\nmnt_id:\t1\nino:\tx\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct proc_fdinfo info;

		assert_int_equal(parse_fdinfo(texts[i], *state, &info), -EBADMSG);
	}
}

static void own_fdinfo(void **state)
{
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int proc_fd = -EBADF;
	struct proc_fdinfo info;

	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 42, SEEK_SET), 42);
	assert_int_equal(proc_open(getpid(), &proc_fd), 0);
	assert_int_equal(proc_read_fdinfo(&(struct proc_dir){.fd = proc_fd}, fd, *state, &info), 0);
	assert_int_equal(info.pos, 42);
	assert_true(info.flags & O_CLOEXEC);
	assert_int_equal(proc_read_fdinfo(&(struct proc_dir){.fd = proc_fd}, 999999, *state, &info),
			 -ENOENT);
}

/* Every limit where prlimit says it is. */
static void own_limits(void **state _unused_)
{
	_cleanup_close_ int proc_fd = -EBADF;
	struct proc_limit limits[RLIM_NLIMITS];

	assert_int_equal(proc_open(getpid(), &proc_fd), 0);
	assert_int_equal(proc_read_limits(proc_fd, limits, RLIM_NLIMITS), 0);
	for (unsigned int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit want;

		assert_int_equal(getrlimit(i, &want), 0);
		assert_true(limits[i].soft == want.rlim_cur);
		assert_true(limits[i].hard == want.rlim_max);
	}
}

static void limits_refused(void **state _unused_)
{
	struct proc_limit limit = {};

	assert_int_equal(parse_limits("", &limit, 1), -EBADMSG);
	assert_int_equal(parse_limits("Max cpu time  1\n", &limit, 1), -EBADMSG);
	assert_int_equal(parse_limits("Max cpu timers  1 1\n", &limit, 1), -EBADMSG);
	assert_int_equal(parse_limits("Max cpu time  1 unlimited seconds\n", &limit, 1), 0);
	assert_true(limit.soft == 1 && limit.hard == UINT64_MAX);
}

static void own_timers(void **state)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
				 .sigev_signo = SIGUSR2,
				 .sigev_value = {.sival_ptr = (void *)0x1234567812345678}};
	_cleanup_close_ int proc_fd = -EBADF;
	struct proc_timer *timers;
	timer_t timer;
	size_t n;

	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	assert_int_equal(proc_open(getpid(), &proc_fd), 0);
	assert_int_equal(proc_read_timers(&(struct proc_dir){.fd = proc_fd}, *state, &timers, &n),
			 0);
	assert_int_equal(timer_delete(timer), 0);
	assert_int_equal(n, 1);
	assert_int_equal(timers[0].signal, SIGUSR2);
	assert_int_equal(timers[0].sigval, 0x1234567812345678);
	assert_int_equal(timers[0].notify, SIGEV_SIGNAL);
	assert_false(timers[0].to_thread);
	assert_int_equal(timers[0].target, getpid());
	assert_int_equal(timers[0].clock, CLOCK_MONOTONIC);
}

static void timers_text(void **state)
{
	struct proc_timer *timers;
	size_t n;

	assert_int_equal(parse_timers("ID: 3\nsignal: 0/0\nnotify: none/tid.813\nClockID: -6\n"
				      "ID: 4\nsignal: 1/f\nnotify: thread/pid.1\nClockID: 0\n",
				      *state, &timers, &n),
			 0);
	assert_int_equal(n, 2);
	assert_true(timers[0].to_thread && timers[0].notify == SIGEV_NONE);
	assert_int_equal(timers[0].target, 813);
	assert_int_equal(timers[0].clock, -6);
	assert_int_equal(timers[1].notify, SIGEV_THREAD);
	assert_int_equal(parse_timers("", *state, &timers, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(parse_timers("ID: 3\nsignal: 0/0\n", *state, &timers, &n), -EBADMSG);
	assert_int_equal(parse_timers("ID: 3\nsignal: 0/0\nnotify: x/tid.1\nClockID: 1\n", *state,
				      &timers, &n),
			 -EBADMSG);
}

/* A process that is gone, whether its number is in use again or not. */
static void gone(void **state)
{
	_cleanup_close_ int proc_fd = -EBADF;
	_cleanup_close_ int task_fd = -EBADF;
	struct proc_stat stat;
	struct proc_map *maps;
	pid_t *children;
	pid_t child;
	char *text;
	int *fds;
	size_t n;
	int fd;

	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)pause();
		_exit(0);
	}
	assert_int_equal(proc_open(child, &proc_fd), 0);
	assert_int_equal(proc_open_task(proc_fd, child, &task_fd), 0);

	/* While it lives: our child, without children. */
	assert_int_equal(proc_read_children(task_fd, *state, &children, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(proc_read_numbers(proc_fd, "task", *state, &fds, &n), 0);
	assert_true(n == 1 && fds[0] == child);

	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(proc_read_stat(proc_fd, &stat), -ESRCH);
	assert_int_equal(proc_read_smaps(&(struct proc_dir){.fd = proc_fd}, *state, &maps, &n),
			 -ESRCH);
	assert_int_equal(proc_read_children(task_fd, *state, &children, &n), -ESRCH);
	assert_int_equal(proc_read_numbers(proc_fd, "fd", *state, &fds, &n), -ESRCH);
	assert_int_equal(proc_read_link(proc_fd, "exe", *state, &text), -ESRCH);
	assert_int_equal(proc_read_text(proc_fd, "comm", *state, &text), -ESRCH);
	assert_int_equal(proc_open(child, &fd), -ESRCH);
}

static void small_files(void **state)
{
	_cleanup_close_ int proc_fd = -EBADF;
	uint64_t value;
	int64_t adj;
	char *text;

	assert_int_equal(proc_open(getpid(), &proc_fd), 0);
	assert_int_equal(proc_read_text(proc_fd, "comm", *state, &text), 0);
	assert_string_equal(text, "test-proc");
	assert_int_equal(proc_read_u64(proc_fd, "coredump_filter", 16, &value), 0);
	assert_int_equal(proc_read_i64(proc_fd, "oom_score_adj", &adj), 0);
	assert_true(adj >= -1000 && adj <= 1000);
	assert_int_equal(proc_read_u64(proc_fd, "comm", 10, &value), -EBADMSG);
	assert_int_equal(proc_read_text(proc_fd, "no such file", *state, &text), -ENOENT);
	assert_int_equal(proc_read_link(proc_fd, "exe", *state, &text), 0);
	assert_string_equal(text + strlen(text) - strlen("/test-proc"), "/test-proc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fdinfo),	  cmocka_unit_test(fdinfo_refused),
		cmocka_unit_test(own_fdinfo),	  cmocka_unit_test(own_limits),
		cmocka_unit_test(limits_refused), cmocka_unit_test(own_timers),
		cmocka_unit_test(timers_text),	  cmocka_unit_test(gone),
		cmocka_unit_test(small_files),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
