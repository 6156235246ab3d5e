/* SPDX-License-Identifier: Apache-2.0 */
#include "hold.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "puppet/puppet.h"
#include "util/arena.h"
#include "util/context.h"

enum { CALLS = 8 };

static int run_table(struct context *ctx, struct arena *arena, struct puppet *p)
{
	struct call_table t;
	uint32_t stack;
	int r;

	call_table_init(&t, arena);
	stack = call_space(&t, NULL, 24);
	for (int i = 0; i < CALLS; i++)
		(void)call_add(&t, "gettid", SYS_gettid);
	(void)call_add(&t, "sigaltstack", SYS_sigaltstack, CALL_IMM(0), CALL_DATA(stack));
	r = puppet_run(ctx, p, &t);
	/* Numbers may be of an inner PID namespace, but all are one task's. */
	for (uint32_t i = 1; i < CALLS && r == 0; i++)
		if (call_result(&t, i) != call_result(&t, 0) || call_result(&t, i) <= 0)
			r = err_msg(ctx, -EPROTO, "task %d changes its number", p->tid);
	return r;
}

static int run_tables(struct context *ctx, struct puppet_tree *tree, int tables)
{
	struct arena arena;
	int r = 0;

	arena_init(&arena, ctx);
	for (int n = 0; n < tables && r == 0; n++)
		for (size_t i = 0; i < tree->n_processes && r == 0; i++)
			for (size_t k = 0; k < tree->processes[i].n_tasks && r == 0; k++)
				r = run_table(ctx, &arena, tree->processes[i].tasks[k]);
	arena_deinit(&arena);
	return r;
}

static void print_chain(const struct context *ctx)
{
	for (unsigned int i = ctx->err.frames; i-- > 0;)
		(void)fprintf(stderr, "hold: %s\n", ctx->err.frame[i]);
}

int hold(pid_t root, int tables, hold_hook hook, void *data)
{
	struct context ctx = {};
	struct puppet_tree tree;
	int r, released;

	r = puppet_tree_seize(&ctx, root, &tree);
	if (r < 0) {
		print_chain(&ctx);
		return -1;
	}
	puppet_tree_enter(&ctx, &tree);
	r = run_tables(&ctx, &tree, tables / 2);
	if (hook)
		hook(data);
	if (r == 0)
		r = run_tables(&ctx, &tree, tables - tables / 2);
	if (r < 0)
		print_chain(&ctx);
	released = puppet_tree_release(&ctx, &tree, FATE_RUN);
	if (released < 0)
		print_chain(&ctx);
	return r < 0 || released < 0 ? -1 : 0;
}
