/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree that forks, clones threads, spawns programs and orphans grandchildren as fast as it can is
 * seized again and again. While it is held nothing in it moves; afterwards it goes on.
 *
 * storm [ROUNDS]
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hold.h"

enum { FORKERS = 3, KINDS = 4 };
static const char *const kinds[KINDS] = {"fork", "orphan", "thread", "spawn"};

static struct board {
	_Atomic unsigned long moves[KINDS];
	_Atomic int wrong;
} * board;

static void moved(int kind)
{
	atomic_fetch_add(&board->moves[kind], 1);
}

static void keep_forking(void)
{
	while (true) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(7);
		if (pid > 0 && (waitpid(pid, &status, 0) != pid || status != 7 << 8))
			atomic_fetch_add(&board->wrong, 1);
		moved(0);
	}
}

/* Grandchildren lose their parent at once; the init of the namespace gets them. */
static void keep_orphaning(void)
{
	while (true) {
		pid_t pid = fork();

		if (pid == 0) {
			if (fork() == 0)
				moved(1);
			_exit(0);
		}
		(void)waitpid(pid, NULL, 0);
	}
}

static void *no_op(void *unused)
{
	moved(2);
	return unused;
}

static void keep_cloning(void)
{
	while (true) {
		pthread_t t[3];

		for (int i = 0; i < 3; i++)
			if (pthread_create(&t[i], NULL, no_op, NULL) != 0)
				atomic_fetch_add(&board->wrong, 1);
		for (int i = 0; i < 3; i++)
			(void)pthread_join(t[i], NULL);
	}
}

static void keep_spawning(void)
{
	char *const argv[] = {(char *)"true", NULL}, *const envp[] = {NULL};

	while (true) {
		int status;
		pid_t pid;

		if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) != 0 ||
		    waitpid(pid, &status, 0) != pid || status != 0)
			atomic_fetch_add(&board->wrong, 1);
		moved(3);
	}
}

static void start(void (*run)(void))
{
	if (fork() != 0)
		return;
	run();
	_exit(1);
}

static _Noreturn void be_init(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < FORKERS; i++)
		start(keep_forking);
	start(keep_orphaning);
	start(keep_cloning);
	start(keep_spawning);
	while (true)
		(void)waitpid(-1, NULL, 0);
}

static void total(unsigned long n[KINDS])
{
	for (int i = 0; i < KINDS; i++)
		n[i] = atomic_load(&board->moves[i]);
}

/* While the tree is held. */
static void watch(void *moves)
{
	unsigned long before[KINDS], after[KINDS];

	total(before);
	(void)usleep(3000);
	total(after);
	*(bool *)moves = memcmp(before, after, sizeof(before)) != 0;
}

static int wait_for_moves(void)
{
	unsigned long before[KINDS], now[KINDS];

	total(before);
	for (int kind = 0; kind < KINDS; kind++) {
		int patience = 20000;

		do {
			(void)usleep(500);
			total(now);
		} while (now[kind] < before[kind] + 2 && --patience > 0);
		if (patience > 0)
			continue;
		(void)printf("nothing more of kind %s\n", kinds[kind]);
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100, failed = 0, status;
	pid_t pid;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (unshare(CLONE_NEWPID) < 0) {
		(void)printf("unshare(CLONE_NEWPID): %s: skipped\n", strerror(errno));
		return 77;
	}
	pid = fork();
	if (pid == 0)
		be_init();
	(void)usleep(50000);
	for (int i = 0; i < rounds && !failed; i++) {
		bool moves = false;

		if (hold(pid, 2, watch, &moves) < 0)
			failed = 1;
		if (moves) {
			(void)printf("round %d: something moves though it is held\n", i);
			failed = 1;
		}
		if (!failed)
			failed = wait_for_moves() < 0;
	}
	if (atomic_load(&board->wrong) > 0) {
		(void)printf("%d times wrong in the tree itself\n", atomic_load(&board->wrong));
		failed = 1;
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	return failed;
}
