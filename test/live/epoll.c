/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll: what is watched, by numbers that may be somebody else's by now; what has fired or been
 * reported; instances that watch each other; signals.
 */
#include "live.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "fd.h"
#include "util/macro.h"

static int ep, outer, a, b, ends[2];
static struct epoll_event events[8];

static int put(int to)
{
	const uint64_t one = 1;

	return write(to, &one, sizeof(one)) != sizeof(one);
}

static int take(int from)
{
	uint64_t value;

	return read(from, &value, sizeof(value)) != sizeof(value);
}

static int ctl(int on, int op, int fd, uint32_t what, uint64_t data)
{
	struct epoll_event event = {.events = what, .data.u64 = data};

	return epoll_ctl(on, op, fd, &event);
}

static int add(int fd, uint32_t what, uint64_t data)
{
	return ctl(ep, EPOLL_CTL_ADD, fd, what, data);
}

static int look(int at)
{
	return epoll_wait(at, events, ARRAY_SIZE(events), 0);
}

/* Exactly one event, with this data. */
static int check_one(int at, uint32_t what, uint64_t data)
{
	CHECK_EQ(look(at), 1);
	CHECK_EQ(events[0].events, what);
	CHECK_EQ(events[0].data.u64, data);
	return 0;
}

static int make_level(void)
{
	ep = epoll_create1(EPOLL_CLOEXEC);
	a = eventfd(0, 0);
	b = eventfd(1, 0);
	return ep < 0 || pipe(ends) < 0 || add(a, EPOLLIN, 0x1122334455667788) ||
	       add(b, EPOLLIN | EPOLLPRI, 2) || add(ends[0], EPOLLIN | EPOLLRDHUP, 3);
}

static int check_level(void)
{
	CHECK_EQ(fcntl(ep, F_GETFD), FD_CLOEXEC);
	CHECK(check_one(ep, EPOLLIN, 2) == 0);
	CHECK(check_one(ep, EPOLLIN, 2) == 0);
	CHECK_EQ(take(b), 0);
	CHECK_EQ(look(ep), 0);
	CHECK_EQ(put(a), 0);
	CHECK(check_one(ep, EPOLLIN, 0x1122334455667788) == 0);
	CHECK_EQ(take(a), 0);
	CHECK_EQ(close(ends[1]), 0);
	CHECK(check_one(ep, EPOLLHUP, 3) == 0);
	CHECK_EQ(add(a, EPOLLIN, 1), -1);
	CHECK_EQ(errno, EEXIST);
	CHECK_EQ(ctl(ep, EPOLL_CTL_DEL, ends[0], 0, 0), 0);
	CHECK_EQ(look(ep), 0);
	return 0;
}

/* a: reported and still ready; b: not ready; ends: writable, reported. */
static int make_edge(void)
{
	ep = epoll_create1(0);
	a = eventfd(1, 0);
	b = eventfd(0, 0);
	if (ep < 0 || pipe(ends) < 0 || add(a, EPOLLIN | EPOLLET, 1) ||
	    add(b, EPOLLIN | EPOLLET, 2) || add(ends[1], EPOLLOUT | EPOLLET, 3))
		return 1;
	return look(ep) != 2 || look(ep) != 0;
}

static int check_edge(void)
{
	CHECK_EQ(look(ep), 0);
	CHECK_EQ(put(b), 0);
	CHECK(check_one(ep, EPOLLIN, 2) == 0);
	CHECK_EQ(look(ep), 0);
	CHECK_EQ(put(a), 0);
	CHECK(check_one(ep, EPOLLIN, 1) == 0);
	CHECK_EQ(look(ep), 0);
	return 0;
}

/* Not reported yet. */
static int make_edge_new(void)
{
	ep = epoll_create1(0);
	a = eventfd(1, 0);
	return ep < 0 || add(a, EPOLLIN | EPOLLET, 1);
}

static int check_edge_new(void)
{
	CHECK(check_one(ep, EPOLLIN, 1) == 0);
	CHECK_EQ(look(ep), 0);
	return 0;
}

static int timer;

/* Fired: on files that are ready, that are not any more (timer, pipe), and armed ones. */
static int make_oneshot(void)
{
	const struct itimerspec soon = {.it_value = {0, 1}}, far = {.it_value = {5000, 0}};
	int n = 0;

	ep = epoll_create1(0);
	a = eventfd(1, 0);
	b = eventfd(0, 0);
	timer = timerfd_create(CLOCK_MONOTONIC, 0);
	if (ep < 0 || pipe(ends) < 0 || timerfd_settime(timer, 0, &soon, NULL) < 0 ||
	    write(ends[1], "x", 1) != 1 || add(a, EPOLLIN | EPOLLONESHOT, 1) ||
	    add(b, EPOLLIN | EPOLLONESHOT | EPOLLET, 2) || add(timer, EPOLLIN | EPOLLONESHOT, 3) ||
	    add(ends[0], EPOLLIN | EPOLLONESHOT | EPOLLET, 4))
		return 1;
	while (n < 3)
		n += epoll_wait(ep, events, ARRAY_SIZE(events), -1);
	return read(ends[0], events, 1) != 1 || timerfd_settime(timer, 0, &far, NULL) < 0;
}

static int check_oneshot(void)
{
	char c;

	CHECK_EQ(look(ep), 0);
	CHECK_EQ(put(a), 0);
	CHECK_EQ(close(ends[1]), 0); /* not even a hang-up is told of */
	CHECK_EQ(look(ep), 0);
	CHECK_EQ(put(b), 0);
	CHECK(check_one(ep, EPOLLIN, 2) == 0);
	CHECK_EQ(put(b), 0);
	CHECK_EQ(look(ep), 0);
	CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, a, EPOLLIN | EPOLLONESHOT, 5), 0);
	CHECK(check_one(ep, EPOLLIN, 5) == 0);
	CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, ends[0], EPOLLIN, 6), 0);
	CHECK(check_one(ep, EPOLLHUP, 6) == 0);
	CHECK_EQ(read(ends[0], &c, 1), 0);
	CHECK_EQ(ctl(ep, EPOLL_CTL_MOD, timer, EPOLLIN, 7), 0);
	CHECK(check_one(ep, EPOLLHUP, 6) == 0);
	return 0;
}

/*
 * a has been added by a number that is free now, by one that is b's now, and by its own; b by one
 * that is the instance's own now.
 */
static int make_numbers(void)
{
	const int closed = 60, taken = 61;
	int first = epoll_create1(0);

	a = eventfd(0, 0);
	b = eventfd(0, 0);
	ep = first;
	if (ep < 0 || a < 0 || b < 0 || dup2(a, closed) < 0 || dup2(a, taken) < 0 ||
	    dup2(b, 62) < 0 || add(closed, EPOLLIN, 1) || add(taken, EPOLLIN, 2) ||
	    add(a, EPOLLIN, 3) || add(62, EPOLLIN, 4) || close(closed) < 0 ||
	    dup3(b, taken, O_CLOEXEC) < 0 || add(taken, EPOLLIN, 5) || dup2(ep, 62) < 0)
		return 1;
	ep = 62;
	return close(first);
}

static int check_numbers(void)
{
	uint64_t sum = 0;

	CHECK_EQ(put(a), 0);
	CHECK_EQ(look(ep), 3);
	for (int i = 0; i < 3; i++)
		sum += events[i].data.u64;
	CHECK_EQ(sum, 1 + 2 + 3);
	CHECK_EQ(put(b), 0);
	CHECK_EQ(look(ep), 5);
	CHECK_EQ(take(a), 0);
	CHECK_EQ(look(ep), 2);
	/* the entry for b by its number goes, that for a by the same number stays */
	CHECK_EQ(ctl(ep, EPOLL_CTL_DEL, 61, 0, 0), 0);
	CHECK(check_one(ep, EPOLLIN, 4) == 0);
	CHECK_EQ(put(a), 0);
	CHECK_EQ(look(ep), 4);
	CHECK_EQ(fcntl(61, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(60, F_GETFD), -1);
	CHECK(same_description(getpid(), 61, getpid(), b));
	return 0;
}

static int make_nested(void)
{
	ep = epoll_create1(0);
	outer = epoll_create1(0);
	a = eventfd(0, 0);
	return ep < 0 || outer < 0 || add(a, EPOLLIN, 1) ||
	       ctl(outer, EPOLL_CTL_ADD, ep, EPOLLIN | EPOLLET, 2) || look(outer) != 0;
}

static int check_nested(void)
{
	CHECK_EQ(look(outer), 0);
	CHECK_EQ(put(a), 0);
	CHECK(check_one(outer, EPOLLIN, 2) == 0);
	CHECK_EQ(look(outer), 0);
	CHECK(check_one(ep, EPOLLIN, 1) == 0);
	CHECK_EQ(ctl(ep, EPOLL_CTL_ADD, outer, EPOLLIN, 3), -1);
	CHECK_EQ(errno, ELOOP);
	return 0;
}

static pid_t child;

/* A child that waits, for a file that the parent alone still has. */
static int make_shared(void)
{
	int ready[2];
	char c;

	ep = epoll_create1(0);
	a = eventfd(0, 0);
	b = eventfd(0, 0);
	if (ep < 0 || pipe(ready) < 0 || add(a, EPOLLIN | EPOLLEXCLUSIVE, 7) ||
	    add(b, EPOLLIN | EPOLLWAKEUP, 8))
		return 1;
	child = fork();
	if (child == 0) {
		(void)close(a);
		(void)close(ready[0]);
		(void)close(ready[1]);
		_exit(epoll_wait(ep, events, 1, -1) == 1 ? (int)events[0].data.u64 : 99);
	}
	(void)close(ready[1]);
	return child < 0 || read(ready[0], &c, 1) != 0 || close(ready[0]) < 0;
}

static int check_shared(void)
{
	int status;

	CHECK(same_description(getpid(), ep, child, ep));
	CHECK_EQ(put(a), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(WEXITSTATUS(status), 7);
	CHECK_EQ(take(a), 0);
	CHECK_EQ(put(b), 0);
	CHECK(check_one(ep, EPOLLIN, 8) == 0);
	return 0;
}

/* A signal wakes who waits; one has come before the dump. */
static int make_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	(void)sigaddset(&set, SIGALRM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || pipe(ends) < 0)
		return 1;
	child = fork();
	ep = epoll_create1(0);
	a = signalfd(-1, &set, SFD_NONBLOCK);
	if (ep < 0 || add(a, EPOLLIN, 1))
		return 1;
	if (child != 0)
		return child < 0 || raise(SIGUSR2) != 0 || read(ends[0], events, 1) != 1;
	if (write(ends[1], "r", 1) != 1 || epoll_wait(ep, events, 1, -1) != 1)
		_exit(98);
	_exit((int)events[0].data.u64);
}

static int check_signals(void)
{
	struct signalfd_siginfo info;
	int status;

	CHECK(check_one(ep, EPOLLIN, 1) == 0);
	CHECK_EQ(read(a, &info, sizeof(info)), sizeof(info));
	CHECK_EQ(info.ssi_signo, SIGUSR2);
	CHECK_EQ(look(ep), 0);
	(void)alarm(1);
	CHECK_EQ(epoll_wait(ep, events, 1, -1), 1);
	CHECK_EQ(kill(child, SIGUSR2), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(WEXITSTATUS(status), 1);
	return 0;
}

static int many[300];

/* Enough for several batches of a call table, and to be looked up in the kernel. */
static int make_many(void)
{
	ep = epoll_create1(0);
	if (ep < 0)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		int by = many[i] = eventfd(0, 0);

		/* some by a number that is closed, the same for all of these */
		if (i % 7 == 0)
			by = dup2(many[i], ARRAY_SIZE(many) + 50);
		if (by < 0 || add(by, EPOLLIN | (i % 3 ? EPOLLET : 0), i) ||
		    (by != many[i] && close(by) < 0))
			return 1;
	}
	return 0;
}

static int check_many(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		CHECK_EQ(look(ep), 0);
		CHECK_EQ(put(many[i]), 0);
		CHECK(check_one(ep, EPOLLIN, i) == 0);
		CHECK_EQ(take(many[i]), 0);
	}
	return 0;
}

/* linux/eventpoll.h, since 6.9 */
struct busy_poll {
	uint32_t us;
	uint16_t budget;
	uint8_t prefer;
	uint8_t pad;
};
#define SET_PARAMS _IOW(0x8A, 1, struct busy_poll)
#define GET_PARAMS _IOR(0x8A, 2, struct busy_poll)

static int make_busy_poll(void)
{
	const struct busy_poll params = {.us = 70, .budget = 16, .prefer = 1};

	ep = epoll_create1(0);
	if (ep < 0)
		return 1;
	if (ioctl(ep, SET_PARAMS, &params) == 0)
		return 0;
	(void)live_fail("this kernel has no EPIOCSPARAMS");
	return 77;
}

static int check_busy_poll(void)
{
	struct busy_poll params = {};

	CHECK_EQ(ioctl(ep, GET_PARAMS, &params), 0);
	CHECK_EQ(params.us, 70);
	CHECK_EQ(params.budget, 16);
	CHECK_EQ(params.prefer, 1);
	return 0;
}

/* Nothing can make a signalfd ready but the signals of whoever asks. */
static int make_fired_signal(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	ep = epoll_create1(0);
	a = signalfd(-1, &set, SFD_NONBLOCK);
	return ep < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0 || raise(SIGUSR2) != 0 ||
	       add(a, EPOLLIN | EPOLLONESHOT, 1) || look(ep) != 1;
}

static const struct live_row rows[] = {
	{.name = "level", .make = make_level, .check = check_level},
	{.name = "edge", .make = make_edge, .check = check_edge},
	{.name = "edge, new", .make = make_edge_new, .check = check_edge_new},
	{.name = "oneshot", .make = make_oneshot, .check = check_oneshot},
	{.name = "numbers", .make = make_numbers, .check = check_numbers},
	{.name = "nested", .make = make_nested, .check = check_nested},
	{.name = "shared", .make = make_shared, .check = check_shared},
	{.name = "signals", .make = make_signals, .check = check_signals},
	{.name = "many", .make = make_many, .check = check_many},
	{.name = "busy poll", .make = make_busy_poll, .check = check_busy_poll},
	{.name = "fired signal",
	 .make = make_fired_signal,
	 .refused = "which can only be had again by a file that is ready"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
