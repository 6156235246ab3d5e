/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash safety: a coordinator that seizes a busy program again and again, enters it, runs tables and
 * leaves, is killed (SIGKILL) at random moments. The program must go on as if nothing had happened.
 *
 * crash [slow] [ROUNDS [SEED]]: the kill is repeated ROUNDS times; slow: the program has no descriptors
 * to spare, so that its calls go one by one.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "puppet/puppet.h"
#include "util/arena.h"
#include "util/context.h"
#include "worker.h"

static int run_table(struct context *ctx, struct arena *arena, struct puppet *p)
{
	struct call_table t;

	call_table_init(&t, arena);
	for (int i = 0; i < 10; i++)
		(void)call_add(&t, "getpid", SYS_getpid);
	return puppet_run(ctx, p, &t);
}

static int work(struct context *ctx, pid_t pid)
{
	struct puppet_tree tree;
	struct arena arena;
	int r;

	r = puppet_tree_seize(ctx, pid, &tree);
	if (r < 0)
		return r;
	arena_init(&arena, ctx);
	for (size_t i = 0; i < tree.n_processes && r == 0; i++)
		r = tree.processes[i].zombie ? -ESRCH
					     : puppet_enter(ctx, tree.processes[i].tasks[0], 1);
	for (size_t i = 0; i < tree.n_processes && r == 0; i++)
		for (size_t k = 0; k < tree.processes[i].n_tasks && r == 0; k++)
			r = run_table(ctx, &arena, tree.processes[i].tasks[k]);
	arena_deinit(&arena);
	return puppet_tree_release(ctx, &tree, FATE_RUN) < 0 || r < 0 ? -1 : 0;
}

/* The coordinator: until it is killed. */
static _Noreturn void coordinate(pid_t pid)
{
	struct context ctx = {};

	while (work(&ctx, pid) == 0)
		(void)usleep(100);
	for (unsigned int i = 0; i < ctx.err.frames; i++)
		(void)fprintf(stderr, "coordinator: %s\n", ctx.err.frame[i]);
	_exit(1);
}

static int kill_one(pid_t program, unsigned int after_us)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		coordinate(program);
	(void)usleep(after_us);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		return 0;
	(void)fprintf(stderr, "the coordinator failed (status %#x)\n", (unsigned int)status);
	return -1;
}

int main(int argc, char **argv)
{
	bool slow = argc > 1 && strcmp(argv[1], "slow") == 0;
	char **arg = argv + 1 + slow;
	int args = argc - 1 - slow, rounds = args > 0 ? atoi(arg[0]) : 1000;
	unsigned int seed = args > 1 ? (unsigned int)atoi(arg[1]) : (unsigned int)time(NULL);
	struct worker_board *board;
	pid_t program = worker_start(&board, slow);
	int failed = 0;

	(void)printf("%d rounds%s, seed %u\n", rounds, slow ? ", slow" : "", seed);
	srand(seed);
	for (int i = 0; i < rounds && !failed; i++) {
		char when[32];

		failed = kill_one(program, 200 + (unsigned int)rand() % 6000) < 0;
		(void)snprintf(when, sizeof(when), "round %d", i);
		/* The whole look takes a while: every tenth time, and at the end. */
		if (i % 10 == 9 || i == rounds - 1)
			failed |= worker_check(board, when) < 0;
	}
	(void)printf("epoll_wait gave EINTR %d times\n", atomic_load(&board->early_eintr));
	worker_stop(program);
	return failed;
}
