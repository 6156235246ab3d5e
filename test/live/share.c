/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that share tables without being threads; and what cannot be kept of such sharing. */
#include <linux/ioprio.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"
#include "util/macro.h"

enum { STACK = 65536 };

static pid_t sharers[3];
static int n_sharers;

static int be_sharer(void *unused)
{
	(void)unused;
	for (;;)
		(void)syscall(SYS_pause);
	return 0;
}

static int share(unsigned long flags)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (stack == MAP_FAILED)
		return 1;
	sharers[n_sharers] = clone(be_sharer, stack + STACK, (int)flags | SIGCHLD, NULL);
	return sharers[n_sharers++] < 0;
}

static int kcmp(int which, int type)
{
	return (int)syscall(SYS_kcmp, getpid(), sharers[which], type, 0, 0);
}

static int end_sharers(void)
{
	for (int i = 0; i < n_sharers; i++) {
		CHECK_EQ(kill(sharers[i], SIGKILL), 0);
		CHECK_EQ(waitpid(sharers[i], NULL, 0), sharers[i]);
	}
	return 0;
}

static int make_files(void)
{
	return share(CLONE_FILES) || share(0) || share(CLONE_FILES | CLONE_FS);
}

static int check_files(void)
{
	CHECK_EQ(kcmp(0, KCMP_FILES), 0);
	CHECK(kcmp(0, KCMP_FS) != 0);
	CHECK(kcmp(1, KCMP_FILES) != 0);
	CHECK_EQ(kcmp(2, KCMP_FILES), 0);
	CHECK_EQ(kcmp(2, KCMP_FS), 0);
	CHECK(kcmp(2, KCMP_VM) != 0);
	return end_sharers();
}

static int make_memory(void)
{
	return share(CLONE_VM) || share(CLONE_VM | CLONE_SIGHAND);
}

static int check_memory(void)
{
	CHECK_EQ(kcmp(0, KCMP_VM), 0);
	CHECK(kcmp(0, KCMP_SIGHAND) != 0);
	CHECK_EQ(kcmp(1, KCMP_VM), 0);
	CHECK_EQ(kcmp(1, KCMP_SIGHAND), 0);
	return end_sharers();
}

/* Lists and contexts are made by those who put something into them; the sharers have only theirs. */
static int make_io(void)
{
	return syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		       IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6)) < 0 ||
	       share(CLONE_IO) || share(0);
}

static int check_io(void)
{
	CHECK_EQ(kcmp(0, KCMP_IO), 0);
	CHECK(kcmp(1, KCMP_IO) != 0);
	return end_sharers();
}

static int make_undo(void)
{
	return share(CLONE_SYSVSEM) || share(0);
}

static int check_undo(void)
{
	CHECK_EQ(kcmp(0, KCMP_SYSVSEM), 0);
	CHECK(kcmp(1, KCMP_SYSVSEM) != 0);
	return end_sharers();
}

/* ---- refused ------------------------------------------------------------------------------- */

/* A sibling: its parent is ours, so that it is no part of the tree. */
static int make_outside(void)
{
	return share(CLONE_FILES | CLONE_PARENT);
}

static pthread_barrier_t ready;

static void *unshare_fs(void *unused)
{
	(void)unused;
	(void)unshare(CLONE_FS);
	(void)pthread_barrier_wait(&ready);
	for (;;)
		(void)pause();
	return NULL;
}

static void *unshare_files(void *unused)
{
	(void)unused;
	(void)unshare(CLONE_FILES);
	(void)pthread_barrier_wait(&ready);
	for (;;)
		(void)pause();
	return NULL;
}

static int make_thread(void *(*start)(void *))
{
	pthread_t thread;

	(void)pthread_barrier_init(&ready, NULL, 2);
	if (pthread_create(&thread, NULL, start, NULL))
		return 1;
	(void)pthread_barrier_wait(&ready);
	return 0;
}

static int make_thread_fs(void)
{
	return make_thread(unshare_fs);
}

static int make_thread_files(void)
{
	return make_thread(unshare_files);
}

static const struct live_row rows[] = {
	{.name = "files", .make = make_files, .check = check_files},
	{.name = "memory", .make = make_memory, .check = check_memory},
	{.name = "I/O context", .make = make_io, .check = check_io},
	{.name = "undo list", .make = make_undo, .check = check_undo},
	{.name = "outside",
	 .make = make_outside,
	 .refused = "shares a descriptor table with process"},
	{.name = "thread-fs",
	 .make = make_thread_fs,
	 .refused = "has a working directory, root and umask of its own"},
	{.name = "thread-files",
	 .make = make_thread_files,
	 .refused = "has a descriptor table of its own"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
