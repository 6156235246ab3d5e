/* SPDX-License-Identifier: Apache-2.0 */
/* Processes outside the tree that the program traces. */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"
#include "side.h"
#include "util/macro.h"

static pid_t tracee;

static int sleep_for_ever(void *unused _unused_)
{
	for (;;)
		(void)pause();
	return 0;
}

/* Our parent's child, so that it is no part of the tree. */
static int start_outside(void)
{
	static char stack[64 * 1024];

	tracee = clone(sleep_for_ever, stack + sizeof(stack), CLONE_PARENT | SIGCHLD, NULL);
	return tracee < 0;
}

static int seize(void)
{
	return ptrace(PTRACE_SEIZE, tracee, NULL, (void *)PTRACE_O_EXITKILL) < 0;
}

static int make(void)
{
	return start_outside() || seize();
}

static int make_side(void)
{
	return start_outside() || side_run(seize);
}

/* A child whose death is told by another signal looks much the same to wait(). */
static int make_clone_child(void)
{
	static char stack[64 * 1024];

	return clone(sleep_for_ever, stack + sizeof(stack), SIGUSR2, NULL) < 0;
}

/* The refused dump has harmed nobody. */
static int check(void)
{
	CHECK_EQ(kill(tracee, 0), 0);
	CHECK_EQ(ptrace(PTRACE_INTERRUPT, tracee, NULL, NULL), 0);
	CHECK_EQ(kill(tracee, SIGKILL), 0);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "outside", .make = make, .check = check, .refused = "traces process"},
	{.name = "of one thread", .make = make_side, .refused = "traces process"},
	{.name = "a child with another signal", .make = make_clone_child},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
