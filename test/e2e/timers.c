/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers that expire all the time, also while the program is being dumped.
 *
 * Each thread has a one-shot POSIX timer that signals it, and the first an ITIMER_REAL besides. A
 * timer is armed, its signal taken, and armed again. None may be lost: it is not running, and no
 * signal pending. None may come twice: its signal was taken, and it runs. What a timer has still to
 * run is not measured, and waiting only says when to look again.
 *
 * The signals are asked for by one thread and pend in another, and there are many threads, so that a
 * dump takes longer than a timer.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 24, LINE_EACH = 64, LONGEST_US = 2000 };

static atomic_ulong expired;
static atomic_int wrong; /* the line that says so */

static void fail(int line)
{
	int none = 0;

	(void)atomic_compare_exchange_strong(&wrong, &none, line);
}

#define EXPECT(cond) ((cond) ? (void)0 : fail(__LINE__))

/* Without glibc, which would tell SI_TIMER from nothing as well, but has ids of its own. */
static int create(int *ret_id)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL | SIGEV_THREAD_ID,
		.sigev_signo = SIGRTMIN,
		.sigev_value.sival_int = (int)gettid(),
	};

	event._sigev_un._tid = (int)gettid();
	return (int)syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, ret_id);
}

static long until_posix(int id)
{
	struct itimerspec left;

	EXPECT(syscall(SYS_timer_gettime, id, &left) == 0);
	return left.it_value.tv_sec + left.it_value.tv_nsec;
}

static long until_itimer(int which)
{
	struct itimerval left;

	EXPECT(getitimer(which, &left) == 0);
	return left.it_value.tv_sec + left.it_value.tv_usec;
}

static void arm_posix(int id, long us)
{
	const struct itimerspec time = {.it_value.tv_nsec = us * 1000};

	EXPECT(syscall(SYS_timer_settime, id, 0, &time, NULL) == 0);
}

static void arm_itimer(int which, long us)
{
	const struct itimerval time = {.it_value.tv_usec = us};

	EXPECT(setitimer(which, &time, NULL) == 0);
}

/* Takes the one signal of a timer that was armed. */
static void take(int sig, int id, long (*until)(int id))
{
	const struct timespec look = {.tv_nsec = 50000000}, at_once = {};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, sig);
	while (sigtimedwait(&set, NULL, &look) != sig) {
		/* It sends its signal before it reads as expired. */
		if (until(id) != 0)
			continue;
		if (sigtimedwait(&set, NULL, &at_once) == sig)
			break;
		EXPECT(errno == EINTR); /* lost */
		if (atomic_load(&wrong))
			return;
	}
	EXPECT(until(id) == 0); /* twice */
	EXPECT(sigtimedwait(&set, NULL, &at_once) < 0);
	(void)atomic_fetch_add(&expired, 1);
}

static void *run_timer(void *data)
{
	unsigned int seed = (unsigned int)(uintptr_t)data;
	int id = 0;

	EXPECT(create(&id) == 0);
	while (!atomic_load(&wrong)) {
		arm_posix(id, 50 + rand_r(&seed) % LONGEST_US);
		take(SIGRTMIN, id, until_posix);
	}
	return NULL;
}

static void *run_itimer(void *data)
{
	unsigned int seed = 0;

	(void)data;
	while (!atomic_load(&wrong)) {
		arm_itimer(ITIMER_REAL, 50 + rand_r(&seed) % LONGEST_US);
		take(SIGALRM, ITIMER_REAL, until_itimer);
	}
	return NULL;
}

int main(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int log = open("log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	pthread_t thread;
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGALRM);
	(void)sigaddset(&set, SIGRTMIN);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, i ? run_timer : run_itimer, (void *)i) != 0)
			return 1;
	for (unsigned long n = 1; log >= 0; n++) {
		while (atomic_load(&expired) < n * LINE_EACH && !atomic_load(&wrong))
			(void)nanosleep(&pause, NULL);
		if (atomic_load(&wrong))
			(void)dprintf(log, "%lu wrong: line %d\n", n, atomic_load(&wrong));
		else
			(void)dprintf(log, "%lu right\n", n);
	}
	return 1;
}
