/* SPDX-License-Identifier: Apache-2.0 */
/* What a change of credentials clears: the dumpable flag and the parent-death signal. */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "live.h"
#include "util/macro.h"

/* Another user's, dumpable again, with a signal for its parent's death. */
static int take_user(void)
{
	return setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000) ||
	       prctl(PR_SET_DUMPABLE, 1) || prctl(PR_SET_PDEATHSIG, SIGURG);
}

static int check_user(void)
{
	int signal_now = 0;

	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	CHECK_EQ(prctl(PR_GET_PDEATHSIG, &signal_now), 0);
	CHECK_EQ(signal_now, SIGURG);
	return 0;
}

static int make_user(void)
{
	return child_start(take_user, check_user, NULL);
}

static int take_not_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 0);
}

static int check_not_dumpable(void)
{
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
	return 0;
}

static int make_not_dumpable(void)
{
	return child_start(take_not_dumpable, check_not_dumpable, NULL);
}

/* The signal comes when the parent dies after the restore. */
static pid_t between;
static int told[2];

static int make_orphan(void)
{
	char byte;

	if (pipe(told) < 0)
		return 1;
	between = fork();
	if (between < 0)
		return 1;
	if (!between) {
		pid_t child = fork();

		if (!child) {
			(void)close(told[0]);
			(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
			(void)!write(told[1], "", 1); /* nobody to tell if it fails */
			for (;;)
				(void)pause();
		}
		for (;;)
			(void)pause();
	}
	(void)close(told[1]);
	return read(told[0], &byte, 1) != 1;
}

/* The pipe's end tells that the orphan is dead. */
static int check_orphan(void)
{
	char byte;

	CHECK_EQ(kill(between, SIGKILL), 0);
	CHECK_EQ(waitpid(between, NULL, 0), between);
	CHECK_EQ(read(told[0], &byte, 1), 0);
	return 0;
}

/* Forked by another thread than the first. */
static int fork_result;

static void *fork_in_thread(void *unused)
{
	static pthread_mutex_t forever = PTHREAD_MUTEX_INITIALIZER;

	(void)unused;
	fork_result = child_start(take_user, NULL, NULL);
	(void)pthread_mutex_lock(&forever);
	(void)kill(getpid(), SIGUSR2);
	(void)pthread_mutex_lock(&forever);
	return NULL;
}

static int make_other_thread(void)
{
	pthread_t thread;
	sigset_t set;
	int sig;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&thread, NULL, fork_in_thread, NULL))
		return 1;
	return sigwait(&set, &sig) || fork_result;
}

static const struct live_row rows[] = {
	{.name = "user", .make = make_user, .check = child_check},
	{.name = "not-dumpable", .make = make_not_dumpable, .check = child_check},
	{.name = "orphan", .make = make_orphan, .check = check_orphan},
	{.name = "other-thread",
	 .make = make_other_thread,
	 .refused = "waits for the exit of one thread"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
