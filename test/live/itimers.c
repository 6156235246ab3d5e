/* SPDX-License-Identifier: Apache-2.0 */
/* Interval timers: running, standing still with their signal pending, and on CPU time. */
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "live.h"
#include "util/macro.h"

static int set(int which, long value, long interval)
{
	const struct itimerval timer = {{interval, 3000}, {value, 5000}};

	return setitimer(which, &timer, NULL);
}

static int make_all(void)
{
	return set(ITIMER_REAL, 1000, 7) || set(ITIMER_VIRTUAL, 2000, 8) ||
	       set(ITIMER_PROF, 3000, 9);
}

static int check_all(void)
{
	for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
		struct itimerval now;

		CHECK_EQ(getitimer(which, &now), 0);
		CHECK_EQ(now.it_interval.tv_sec, 7 + which);
		CHECK_EQ(now.it_interval.tv_usec, 3000);
		CHECK(now.it_value.tv_sec <= 1000 * (which + 1));
		CHECK(now.it_value.tv_sec > 1000 * (which + 1) - 100);
	}
	return 0;
}

static bool is_pending(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && sigismember(&set, SIGALRM);
}

/* Expired with its SIGALRM blocked: it stands still until that is taken, and then goes on. */
static int make_waiting(void)
{
	const struct itimerval timer = {{0, 20000}, {0, 1000}};
	sigset_t alarm_set;

	(void)sigemptyset(&alarm_set);
	(void)sigaddset(&alarm_set, SIGALRM);
	return sigprocmask(SIG_BLOCK, &alarm_set, NULL) || setitimer(ITIMER_REAL, &timer, NULL) ||
	       live_await(is_pending);
}

static int check_waiting(void)
{
	const struct timespec long_time = {5, 0};
	sigset_t alarm_set;

	(void)sigemptyset(&alarm_set);
	(void)sigaddset(&alarm_set, SIGALRM);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(sigtimedwait(&alarm_set, NULL, &long_time), SIGALRM);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "all", .make = make_all, .check = check_all},
	{.name = "waiting", .make = make_waiting, .check = check_waiting},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
