/* SPDX-License-Identifier: Apache-2.0 */
/* Pending signals: of the process and of threads, with siginfo and order. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "live.h"
#include "util/macro.h"

static void block_all(void)
{
	sigset_t set;

	(void)sigfillset(&set);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Takes one of @sig at once: its siginfo, or si_signo 0. glibc would turn SI_TKILL into SI_USER. */
static siginfo_t take(int sig)
{
	const struct timespec at_once = {0};
	siginfo_t info = {0};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, sig);
	if (syscall(SYS_rt_sigtimedwait, &set, &info, &at_once, 8UL) < 0)
		info.si_signo = 0;
	return info;
}

/* ---- order and values of real-time signals ------------------------------------------------- */

enum { QUEUED = 40 };

static int make_queue(void)
{
	block_all();
	for (int i = 0; i < QUEUED; i++) {
		const union sigval value = {.sival_int = 1000 + i};

		if (sigqueue(getpid(), SIGRTMIN + 3 - i % 2, value))
			return 1;
	}
	return 0;
}

static int check_queue(void)
{
	for (int odd = 1; odd >= 0; odd--) {
		for (int i = odd; i < QUEUED; i += 2) {
			siginfo_t info = take(SIGRTMIN + 3 - odd);

			CHECK_EQ(info.si_signo, SIGRTMIN + 3 - odd);
			CHECK_EQ(info.si_code, SI_QUEUE);
			CHECK_EQ(info.si_value.sival_int, 1000 + i);
			CHECK_EQ(info.si_pid, getpid());
		}
		CHECK_EQ(take(SIGRTMIN + 3 - odd).si_signo, 0);
	}
	return 0;
}

/* ---- siginfo made by the kernel ------------------------------------------------------------ */

static pid_t dead;

static bool has_alarm(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && sigismember(&set, SIGALRM);
}

static int make_kernel(void)
{
	siginfo_t info;

	block_all();
	dead = fork();
	if (!dead)
		_exit(7);
	(void)alarm(1);
	/* Both have come, neither is taken. */
	return waitid(P_PID, (id_t)dead, &info, WEXITED | WNOWAIT) || live_await(has_alarm) ||
	       kill(getpid(), SIGHUP) || raise(SIGUSR2);
}

static int check_kernel(void)
{
	siginfo_t info = take(SIGCHLD);

	CHECK_EQ(info.si_signo, SIGCHLD);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(info.si_pid, dead);
	CHECK_EQ(info.si_status, 7);
	CHECK_EQ(take(SIGCHLD).si_signo, 0);
	info = take(SIGALRM);
	CHECK_EQ(info.si_signo, SIGALRM);
	CHECK_EQ(info.si_code, SI_KERNEL);
	info = take(SIGHUP);
	CHECK_EQ(info.si_code, SI_USER);
	CHECK_EQ(info.si_pid, getpid());
	info = take(SIGUSR2);
	CHECK_EQ(info.si_code, SI_TKILL);
	CHECK_EQ(waitpid(dead, NULL, 0), dead);
	return 0;
}

/* ---- ignored, but blocked: stays pending --------------------------------------------------- */

static int make_ignored(void)
{
	block_all();
	return signal(SIGWINCH, SIG_IGN) == SIG_ERR || kill(getpid(), SIGWINCH) ||
	       kill(getpid(), SIGCONT);
}

static int check_ignored(void)
{
	CHECK_EQ(take(SIGWINCH).si_signo, SIGWINCH);
	CHECK_EQ(take(SIGCONT).si_signo, SIGCONT);
	return 0;
}

/* ---- the signal that a tracer's breakpoints raise ------------------------------------------ */

static int make_trap(void)
{
	block_all();
	return kill(getpid(), SIGTRAP) || raise(SIGTRAP);
}

static int check_trap(void)
{
	CHECK_EQ(take(SIGTRAP).si_code, SI_TKILL);
	CHECK_EQ(take(SIGTRAP).si_code, SI_USER);
	CHECK_EQ(take(SIGTRAP).si_signo, 0);
	return 0;
}

/* ---- of threads ---------------------------------------------------------------------------- */

enum { THREADS = 3 };

static pthread_t threads[THREADS];
static pthread_barrier_t ready, asked;
static int failed[THREADS];

static void *be_thread(void *data)
{
	int n = (int)(intptr_t)data;
	siginfo_t info;

	block_all();
	(void)pthread_barrier_wait(&ready);
	(void)pthread_barrier_wait(&asked);
	for (int i = 0; i < 3; i++) {
		info = take(SIGRTMIN + 5);
		if (info.si_signo != SIGRTMIN + 5 || info.si_value.sival_int != n * 10 + i)
			failed[n] = 1;
	}
	if (take(SIGRTMIN + 5).si_signo || take(SIGUSR2).si_code != SI_TKILL)
		failed[n] = 1;
	return NULL;
}

static int make_threads(void)
{
	(void)pthread_barrier_init(&ready, NULL, THREADS + 1);
	(void)pthread_barrier_init(&asked, NULL, THREADS + 1);
	for (int n = 0; n < THREADS; n++)
		if (pthread_create(&threads[n], NULL, be_thread, (void *)(intptr_t)n))
			return 1;
	(void)pthread_barrier_wait(&ready);
	for (int n = 0; n < THREADS; n++) {
		for (int i = 0; i < 3; i++)
			if (pthread_sigqueue(threads[n], SIGRTMIN + 5,
					     (union sigval){.sival_int = n * 10 + i}))
				return 1;
		if (pthread_kill(threads[n], SIGUSR2))
			return 1;
	}
	return 0;
}

static int check_threads(void)
{
	(void)pthread_barrier_wait(&asked);
	for (int n = 0; n < THREADS; n++) {
		(void)pthread_join(threads[n], NULL);
		CHECK_EQ(failed[n], 0);
	}
	return 0;
}

static const struct live_row rows[] = {
	{.name = "queue", .make = make_queue, .check = check_queue},
	{.name = "kernel", .make = make_kernel, .check = check_kernel},
	{.name = "ignored", .make = make_ignored, .check = check_ignored},
	{.name = "trap", .make = make_trap, .check = check_trap},
	{.name = "threads", .make = make_threads, .check = check_threads},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
