/* SPDX-License-Identifier: Apache-2.0 */
/* timerfd: clocks, how they were set, what remains and what has not been read. */
#include "live.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

#include "fd.h"
#include "sampler.h"
#include "util/macro.h"

#define NS 1000000000LL

static int fd, other;

static long long to_ns(struct timespec t)
{
	return t.tv_sec * NS + t.tv_nsec;
}

static struct timespec from_ns(long long ns)
{
	return (struct timespec){ns / NS, ns % NS};
}

static long long now(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return to_ns(t);
}

static int create(clockid_t clock, int flags, long long value, long long interval)
{
	const struct itimerspec time = {from_ns(interval), from_ns(value)};
	int made = timerfd_create(clock, TFD_NONBLOCK);

	return made >= 0 && timerfd_settime(made, flags, &time, NULL) < 0 ? -1 : made;
}

static long long remaining(int of)
{
	struct itimerspec time;

	return timerfd_gettime(of, &time) < 0 ? -1 : to_ns(time.it_value);
}

static long long interval(int of)
{
	struct itimerspec time;

	return timerfd_gettime(of, &time) < 0 ? -1 : to_ns(time.it_interval);
}

/* Expirations; 0: none. */
static uint64_t take(int from)
{
	uint64_t n = 0;

	return read(from, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static bool is_expired(void)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

/* What fdinfo says behind @key, as a number. */
static long fdinfo(int of, const char *key, int base)
{
	char path[64], text[512] = "";
	const char *at;
	int info;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", of);
	info = open(path, O_RDONLY | O_CLOEXEC);
	(void)!read(info, text, sizeof(text) - 1);
	(void)close(info);
	at = strstr(text, key);
	return at ? strtol(at + strlen(key), NULL, base) : -1;
}

static int make_relative(void)
{
	fd = create(CLOCK_BOOTTIME, 0, 5000 * NS, 7 * NS + 5);
	other = create(CLOCK_REALTIME, 0, 6000 * NS, 0);
	return fd < 0 || other < 0 || fcntl(other, F_SETFL, 0) < 0;
}

static int check_relative(void)
{
	CHECK(remaining(fd) > 4000 * NS && remaining(fd) < 5000 * NS);
	CHECK_EQ(interval(fd), 7 * NS + 5);
	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_EQ(take(fd), 0);
	CHECK_EQ(fdinfo(fd, "clockid: ", 10), CLOCK_BOOTTIME);
	CHECK_EQ(fdinfo(fd, "settime flags: ", 8), 0);
	CHECK(remaining(other) > 5000 * NS && remaining(other) < 6000 * NS);
	CHECK_EQ(interval(other), 0);
	CHECK_EQ(fcntl(other, F_GETFL), O_RDWR);
	return 0;
}

static long long remaining_of_fd(void)
{
	return remaining(fd);
}

static int make_exact(void)
{
	fd = create(CLOCK_MONOTONIC, 0, 5000 * NS, 0);
	return fd < 0 || sampler_start(remaining_of_fd);
}

static int check_exact(void)
{
	return sampler_check(false);
}

static int make_absolute(void)
{
	fd = create(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
		    now(CLOCK_REALTIME) + 5000 * NS, 0);
	return fd < 0 || sampler_start(remaining_of_fd);
}

static int check_absolute(void)
{
	CHECK_EQ(fdinfo(fd, "settime flags: ", 8), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	return sampler_check(true);
}

static long long due;

/* Its time comes while the program is not there, or shortly before or after. */
static int make_due(void)
{
	due = now(CLOCK_MONOTONIC) + NS / 20;
	fd = create(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, due, 0);
	return fd < 0;
}

static int check_due(void)
{
	CHECK_EQ(live_await(is_expired), 0);
	CHECK(now(CLOCK_MONOTONIC) >= due);
	CHECK_EQ(take(fd), 1);
	CHECK_EQ(take(fd), 0);
	CHECK_EQ(errno, EAGAIN);
	return 0;
}

static int make_unread(void)
{
	fd = create(CLOCK_MONOTONIC, 0, 1, 0);
	return fd < 0 || live_await(is_expired);
}

static int check_unread(void)
{
	CHECK_EQ(remaining(fd), 0);
	CHECK_EQ(take(fd), 1);
	CHECK_EQ(take(fd), 0);
	return 0;
}

static const long long period = NS / 200;
static long long start;

static bool has_missed_ten(void)
{
	return now(CLOCK_MONOTONIC) > start + 10 * period;
}

/* Nobody looks at it for a while: the kernel counts up when somebody does. */
static int make_periodic(void)
{
	start = now(CLOCK_MONOTONIC);
	fd = create(CLOCK_MONOTONIC, 0, period, period);
	return fd < 0 || live_await(has_missed_ten);
}

static int check_periodic(void)
{
	uint64_t n = take(fd);

	CHECK(n >= 10);
	CHECK((long long)n * period <= now(CLOCK_MONOTONIC) - start);
	CHECK(remaining(fd) <= period);
	CHECK_EQ(live_await(is_expired), 0);
	CHECK(take(fd) >= 1);
	return 0;
}

static int make_disarmed(void)
{
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	other = create(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, 0, 3 * NS);
	return fd < 0 || other < 0;
}

static int check_disarmed(void)
{
	CHECK_EQ(remaining(fd), 0);
	CHECK_EQ(interval(fd), 0);
	CHECK_EQ(take(fd), 0);
	CHECK_EQ(remaining(other), 0);
	CHECK_EQ(interval(other), 3 * NS);
	CHECK_EQ(fdinfo(other, "settime flags: ", 8), TFD_TIMER_ABSTIME);
	return 0;
}

static int make_alarm(void)
{
	fd = create(CLOCK_BOOTTIME_ALARM, 0, 5000 * NS, NS);
	other = create(CLOCK_REALTIME_ALARM, 0, 1, 0);
	if (fd >= 0 && other >= 0)
		return 0;
	(void)live_fail("no CAP_WAKE_ALARM");
	return 77;
}

static int check_alarm(void)
{
	CHECK(remaining(fd) > 4000 * NS && remaining(fd) < 5000 * NS);
	CHECK_EQ(interval(fd), NS);
	CHECK_EQ(fdinfo(fd, "clockid: ", 10), CLOCK_BOOTTIME_ALARM);
	CHECK_EQ(fdinfo(other, "clockid: ", 10), CLOCK_REALTIME_ALARM);
	CHECK_EQ(take(other), 1);
	return 0;
}

/* One expiration, or the news of a clock that was set: nobody can tell. */
static int make_ambiguous(void)
{
	fd = create(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, 1, 1000000 * NS);
	return fd < 0 || live_await(is_expired);
}

static const struct live_row rows[] = {
	{.name = "relative", .make = make_relative, .check = check_relative},
	{.name = "exact", .make = make_exact, .check = check_exact},
	{.name = "absolute", .make = make_absolute, .check = check_absolute},
	{.name = "due", .make = make_due, .check = check_due},
	{.name = "unread", .make = make_unread, .check = check_unread},
	{.name = "periodic", .make = make_periodic, .check = check_periodic},
	{.name = "disarmed", .make = make_disarmed, .check = check_disarmed},
	{.name = "alarm", .make = make_alarm, .check = check_alarm},
	{.name = "ambiguous",
	 .make = make_ambiguous,
	 .refused = "or was cancelled because the clock was set"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
