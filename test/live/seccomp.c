/* SPDX-License-Identifier: Apache-2.0 */
/* Secure computing: strict mode, chains of filters, the same and different ones in threads. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "live.h"
#include "util/macro.h"

/* From then on system call @nr fails with @error. */
static int forbid(long nr, int error, unsigned int flags)
{
	const struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_SIZE(insns), (struct sock_filter *)insns};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static int fails_with(long nr, int error)
{
	return syscall(nr, -1, -1, -1, -1) == -1 && errno == error;
}

/* ---- a chain, without privilege and without no_new_privs ----------------------------------- */

static int take_chain(void)
{
	return forbid(SYS_getppid, 111, 0) || forbid(SYS_getpgrp, 112, SECCOMP_FILTER_FLAG_LOG) ||
	       forbid(SYS_getppid, 113, 0) || setresuid(1000, 1000, 1000);
}

static int check_chain(void)
{
	/* Of several equal actions the newest filter's counts. */
	CHECK(fails_with(SYS_getppid, 113));
	CHECK(fails_with(SYS_getpgrp, 112));
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_GET_SECCOMP), SECCOMP_MODE_FILTER);
	return 0;
}

static int make_chain(void)
{
	return child_start(take_chain, check_chain, NULL);
}

/* ---- system calls that a restore uses are forbidden ---------------------------------------- */

static int take_hostile(void)
{
	static const long calls[] = {SYS_mmap,	      SYS_munmap,   SYS_prctl,
				     SYS_recvfrom,    SYS_recvmsg,  SYS_sendmsg,
				     SYS_sigaltstack, SYS_pwrite64, SYS_socketpair};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (forbid(calls[i], 99, 0))
			return 1;
	return 0;
}

static int check_hostile(void)
{
	CHECK(fails_with(SYS_mmap, 99));
	CHECK(fails_with(SYS_munmap, 99));
	return 0;
}

static int make_hostile(void)
{
	return child_start(take_hostile, check_hostile, NULL);
}

/* ---- threads: a common part and parts of their own ----------------------------------------- */

static pthread_t threads[2];
static pthread_barrier_t ready, asked;
static int failed[2];

static void *be_thread(void *data)
{
	int n = (int)(intptr_t)data;

	if (n)
		failed[n] = forbid(SYS_getpgrp, 122, 0);
	(void)pthread_barrier_wait(&ready);
	(void)pthread_barrier_wait(&asked);
	failed[n] |= !fails_with(SYS_getppid, 121);
	failed[n] |= fails_with(SYS_getpgrp, 122) != n;
	return NULL;
}

static int take_threads(void)
{
	(void)pthread_barrier_init(&ready, NULL, 3);
	(void)pthread_barrier_init(&asked, NULL, 3);
	if (forbid(SYS_getppid, 121, 0))
		return 1;
	for (int n = 0; n < 2; n++)
		if (pthread_create(&threads[n], NULL, be_thread, (void *)(intptr_t)n))
			return 1;
	(void)pthread_barrier_wait(&ready);
	return 0;
}

static int check_threads(void)
{
	(void)pthread_barrier_wait(&asked);
	for (int n = 0; n < 2; n++) {
		(void)pthread_join(threads[n], NULL);
		CHECK_EQ(failed[n], 0);
	}
	return 0;
}

static int make_threads(void)
{
	return child_start(take_threads, check_threads, NULL);
}

/* A TSYNC after the restore finds that all threads have the same ancestry. */
static void *be_idle(void *unused)
{
	(void)unused;
	(void)pthread_barrier_wait(&asked);
	failed[0] = !fails_with(SYS_getpgrp, 132);
	return NULL;
}

static int take_sync(void)
{
	(void)pthread_barrier_init(&asked, NULL, 2);
	return forbid(SYS_getppid, 131, 0) || pthread_create(&threads[0], NULL, be_idle, NULL);
}

static int check_sync(void)
{
	CHECK_EQ(forbid(SYS_getpgrp, 132, SECCOMP_FILTER_FLAG_TSYNC), 0);
	(void)pthread_barrier_wait(&asked);
	(void)pthread_join(threads[0], NULL);
	CHECK_EQ(failed[0], 0);
	return 0;
}

static int make_sync(void)
{
	return child_start(take_sync, check_sync, NULL);
}

/* ---- strict mode --------------------------------------------------------------------------- */

static pid_t strict;
static int orders[2];

static int make_strict(void)
{
	char byte;

	if (pipe(orders) < 0)
		return 1;
	strict = fork();
	if (strict)
		return strict < 0;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		(void)syscall(SYS_exit, 1);
	if (read(orders[0], &byte, 1) == 1 && byte == 'x')
		(void)syscall(SYS_getpid); /* is killed */
	(void)syscall(SYS_exit, 2);
	return 1;
}

static int check_strict(void)
{
	int status;

	CHECK_EQ(write(orders[1], "x", 1), 1);
	CHECK_EQ(waitpid(strict, &status, 0), strict);
	CHECK_EQ(status, SIGKILL);
	return 0;
}

/* ---- refused ------------------------------------------------------------------------------- */

static int make_listener(void)
{
	const struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_SIZE(insns), (struct sock_filter *)insns};
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			  &program);

	if (fd < 0)
		return 1;
	(void)close((int)fd);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "chain", .make = make_chain, .check = child_check},
	{.name = "hostile", .make = make_hostile, .check = child_check},
	{.name = "threads", .make = make_threads, .check = child_check},
	{.name = "sync", .make = make_sync, .check = child_check},
	{.name = "strict", .make = make_strict, .check = check_strict},
	{.name = "listener", .make = make_listener, .refused = "SECCOMP_RET_USER_NOTIF"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
