/* SPDX-License-Identifier: Apache-2.0 */
/* fdinfo of single kinds of files: texts, and what this kernel says of files of our own. */
#include "kernel/fdinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include <cmocka.h>

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

static const char *own(struct arena *arena, int fd)
{
	struct proc_fdinfo info;

	assert_true(fd >= 0);
	assert_int_equal(proc_read_own_fdinfo(fd, arena, &info), 0);
	return info.rest;
}

static void eventfd_own(void **state)
{
	_cleanup_close_ int plain = eventfd(7, EFD_CLOEXEC);
	_cleanup_close_ int semaphore = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
	const uint64_t most = UINT64_MAX - 8;
	struct fdinfo_eventfd info;

	assert_int_equal(write(plain, &most, sizeof(most)), sizeof(most));
	assert_int_equal(parse_fdinfo_eventfd(own(*state, plain), &info), 0);
	assert_true(info.count == UINT64_MAX - 1);
	assert_false(info.semaphore);
	assert_int_equal(parse_fdinfo_eventfd(own(*state, semaphore), &info), 0);
	assert_true(info.count == 0);
	assert_true(info.semaphore || !info.semaphore_known);
}

static void eventfd_text(void **state _unused_)
{
	struct fdinfo_eventfd info;

	assert_int_equal(
		parse_fdinfo_eventfd("lock:\t1: FLOCK\neventfd-count:               1f\n", &info),
		0);
	assert_int_equal(info.count, 0x1f);
	assert_false(info.semaphore_known);
	assert_int_equal(parse_fdinfo_eventfd("", &info), -EBADMSG);
	assert_int_equal(parse_fdinfo_eventfd("eventfd-count: 1", &info), -EBADMSG);
	assert_int_equal(parse_fdinfo_eventfd("eventfd-count: x\n", &info), -EBADMSG);
}

static void timerfd_own(void **state)
{
	_cleanup_close_ int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
	const struct itimerspec far = {.it_value = {4000000000, 5}, .it_interval = {1, 2}};
	struct fdinfo_timerfd info;

	assert_int_equal(
		timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL), 0);
	assert_int_equal(parse_fdinfo_timerfd(own(*state, fd), &info), 0);
	assert_int_equal(info.clock, CLOCK_REALTIME);
	assert_int_equal(info.flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	assert_int_equal(info.ticks, 0);
	assert_int_equal(info.interval_ns, 1000000002);
	assert_true(info.value_ns > 0 && info.value_ns < 4000000000000000005);
}

static void timerfd_text(void **state _unused_)
{
	static const char *const bad[] = {
		"",
		"clockid: 1\nticks: 0\nsettime flags: 00\nit_value: (0, 0)\n",
		"clockid: 1\nticks: 0\nsettime flags: 00\nit_value: (-1, 0)\nit_interval: (0, 0)\n",
		"clockid: 1\nticks: 0\nsettime flags: 00\nit_value: (0, 1000000000)\n"
		"it_interval: (0, 0)\n",
		"clockid: 1\nticks: 0\nsettime flags: 00\nit_value: (9223372037, 0)\n"
		"it_interval: (0, 0)\n",
	};
	struct fdinfo_timerfd info;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_fdinfo_timerfd(bad[i], &info), -EBADMSG);
	assert_int_equal(parse_fdinfo_timerfd("clockid: 9\nticks: 18446744073709551615\n"
					      "settime flags: 03\nit_value: (5, 7)\n"
					      "it_interval: (0, 999999999)\n",
					      &info),
			 0);
	assert_int_equal(info.clock, 9);
	assert_true(info.ticks == UINT64_MAX);
	assert_int_equal(info.flags, 3);
	assert_int_equal(info.value_ns, 5000000007);
	assert_int_equal(info.interval_ns, 999999999);
}

static void signalfd_own(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	uint64_t mask;
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGRTMAX);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	assert_int_equal(parse_fdinfo_signalfd(own(*state, fd), &mask), 0);
	assert_true(mask == (1ULL << (SIGHUP - 1) | 1ULL << (SIGRTMAX - 1)));
	assert_int_equal(parse_fdinfo_signalfd("sigmask:\n", &mask), -EBADMSG);
}

static void inotify_text(void **state)
{
	struct fdinfo_mark *marks;
	size_t n;

	assert_int_equal(
		parse_fdinfo_inotify("inotify wd:1f ino:3c51a sdev:fe00000 mask:84000100 "
				     "ignored_mask:0 fhandle-bytes:8 fhandle-type:1 "
				     "f_handle:1ac5030000000000\n"
				     "inotify wd:1 ino:1 sdev:15 mask:fff ignored_mask:0 \n",
				     *state, &marks, &n),
		0);
	assert_int_equal(n, 2);
	assert_int_equal(marks[0].wd, 31);
	assert_int_equal(marks[0].ino, 0x3c51a);
	assert_int_equal(marks[0].dev, 0xfe00000);
	assert_int_equal(marks[0].mask, 0x84000100);
	assert_int_equal(marks[0].handle_type, 1);
	assert_int_equal(marks[0].handle_len, 8);
	assert_memory_equal(marks[0].handle, "\x1a\xc5\x03\0\0\0\0\0", 8);
	assert_int_equal(marks[1].handle_len, 0);
	assert_int_equal(parse_fdinfo_inotify("inotify wd:1 ino:1 sdev:15 mask:fff ignored_mask:0 "
					      "fhandle-bytes:81 fhandle-type:1 f_handle:00\n",
					      *state, &marks, &n),
			 -EBADMSG);
	assert_int_equal(parse_fdinfo_inotify("inotify wd:1 ino:1 sdev:15 mask:fff ignored_mask:0 "
					      "fhandle-bytes:2 fhandle-type:1 f_handle:001\n",
					      *state, &marks, &n),
			 -EBADMSG);
}

static void fanotify_text(void **state)
{
	static const char text[] =
		"fanotify flags:c00 event-flags:8000\n"
		"fanotify sdev:1b mflags:0 mask:8000020 ignored_mask:0\n"
		"fanotify mnt_id:1f mflags:240 mask:20 ignored_mask:1\n"
		"fanotify ino:3c51a sdev:fe00000 mflags:0 mask:40000100 ignored_mask:0 "
		"fhandle-bytes:8 fhandle-type:1 f_handle:1ac5030000000000\n"
		"fanotify mnt_ns:4026531841 mflags:0 mask:1000000 ignored_mask:0\n";
	struct fdinfo_fanotify info;

	assert_int_equal(parse_fdinfo_fanotify(text, *state, &info), 0);
	assert_int_equal(info.flags, 0xc00);
	assert_int_equal(info.event_flags, 0x8000);
	assert_int_equal(info.n_marks, 4);
	assert_int_equal(info.marks[0].on, MARK_FILESYSTEM);
	assert_int_equal(info.marks[0].dev, 0x1b);
	assert_int_equal(info.marks[0].mask, 0x8000020);
	assert_int_equal(info.marks[1].on, MARK_MOUNT);
	assert_int_equal(info.marks[1].mount, 0x1f);
	assert_int_equal(info.marks[1].flags, 0x240);
	assert_int_equal(info.marks[1].ignored, 1);
	assert_int_equal(info.marks[2].on, MARK_INODE);
	assert_int_equal(info.marks[2].handle_len, 8);
	assert_int_equal(info.marks[3].on, MARK_OTHER);
	assert_int_equal(parse_fdinfo_fanotify("", *state, &info), -EBADMSG);
	assert_int_equal(parse_fdinfo_fanotify("fanotify flags:1 event-flags:0\nfanotify x\n",
					       *state, &info),
			 -EBADMSG);
}

static void pidfd_text(void **state _unused_)
{
	pid_t pid;

	assert_int_equal(parse_fdinfo_pidfd("Pid:\t812\nNSpid:\t812\t1\n", &pid), 0);
	assert_int_equal(pid, 812);
	assert_int_equal(parse_fdinfo_pidfd("Pid:\t-1\nNSpid:\t-1\n", &pid), 0);
	assert_int_equal(pid, -1);
	assert_int_equal(parse_fdinfo_pidfd("NSpid:\t1\n", &pid), -EBADMSG);
	assert_int_equal(parse_fdinfo_pidfd("Pid:\t99999999999\n", &pid), -EBADMSG);
}

static void epoll_own(void **state)
{
	_cleanup_close_ int epoll = epoll_create1(EPOLL_CLOEXEC);
	_cleanup_close_ int target = eventfd(0, EFD_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0x1122334455667788};
	struct fdinfo_epoll_entry *entries;
	size_t n;

	assert_int_equal(parse_fdinfo_epoll(own(*state, epoll), *state, &entries, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, target, &event), 0);
	assert_int_equal(parse_fdinfo_epoll(own(*state, epoll), *state, &entries, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(entries[0].number, target);
	assert_int_equal(entries[0].events, EPOLLIN | EPOLLET | EPOLLERR | EPOLLHUP);
	assert_true(entries[0].data == event.data.u64);
}

static void epoll_text(void **state)
{
	struct fdinfo_epoll_entry *entries;
	size_t n;

	assert_int_equal(
		parse_fdinfo_epoll("tfd:        9 events:       19 data:                7  pos:-1 "
				   "ino:40e sdev:10\ntfd:       10 events: c0000000 data: "
				   "ffffffffffffffff  pos:0 ino:1 sdev:fe00000\n",
				   *state, &entries, &n),
		0);
	assert_int_equal(n, 2);
	assert_int_equal(entries[0].number, 9);
	assert_int_equal(entries[0].ino, 0x40e);
	assert_int_equal(entries[1].events, 0xc0000000);
	assert_true(entries[1].data == UINT64_MAX);
	assert_int_equal(entries[1].dev, 0xfe00000);
	assert_int_equal(parse_fdinfo_epoll("tfd: 9 events: 19 data: 7 pos:0 ino:1 sdev:1\n",
					    *state, &entries, &n),
			 -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eventfd_own),	cmocka_unit_test(eventfd_text),
		cmocka_unit_test(timerfd_own),	cmocka_unit_test(timerfd_text),
		cmocka_unit_test(signalfd_own), cmocka_unit_test(epoll_own),
		cmocka_unit_test(epoll_text),	cmocka_unit_test(pidfd_text),
		cmocka_unit_test(inotify_text), cmocka_unit_test(fanotify_text),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
