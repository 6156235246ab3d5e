/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random histories on the model kernel: whatever state one ends in can be reached, so there must be
 * a plan, and the plan must lead to exactly that state. Each failure prints its seed.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tree/model.h"
#include "tree/planner.h"
#include "tree/replay.h"
#include "util/cleanup.h"
#include "util/strbuf.h"

enum { MAX_OPS = 400, MAX_NS = 1024, DEPTH = 5 };

struct history {
	struct model m;
	uint64_t random;
	int32_t next_pid[MAX_NS]; /* by PID namespace; 0: the first one is 1 */
	bool tables;		  /* with shared tables and exit signals */
	bool ttys;
	bool nested;
	bool users;	/* user namespaces */
	bool strangers; /* processes come in from outside, from several sessions and groups */
};

static uint32_t pick(struct history *h, uint32_t n)
{
	h->random = h->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((h->random >> 33) % n);
}

static uint32_t pick_living(struct history *h)
{
	uint32_t t;

	do
		t = pick(h, (uint32_t)h->m.n_tasks);
	while (h->m.tasks[t].state != MODEL_LIVING);
	return t;
}

/* The numbers that the kernel would choose in @ns. */
static void choose_numbers(const struct history *h, uint32_t ns, int32_t pid[TREE_LEVELS],
			   struct model_clone *args)
{
	args->n_pid = h->m.namespaces[ns].level + 1;
	args->pid = pid;
	for (size_t level = args->n_pid; level-- > 0; ns = h->m.namespaces[ns].parent)
		pid[level] = h->next_pid[ns] + 1;
}

static void numbers_are_used(struct history *h, uint32_t task)
{
	for (uint32_t ns = h->m.tasks[task].ns; ns != MODEL_NONE; ns = h->m.namespaces[ns].parent)
		h->next_pid[ns]++;
}

static void choose_tables(struct history *h, struct model_clone *args)
{
	if (h->tables && pick(h, 3) == 0) {
		if (pick(h, 2))
			args->flags |= CLONE_VM | (pick(h, 2) ? CLONE_SIGHAND : 0);
		if (pick(h, 2))
			args->flags |= CLONE_FILES;
		if (pick(h, 4) == 0)
			args->flags |= (h->users ? 0 : CLONE_FS) | CLONE_SYSVSEM;
	}
	if (h->tables && pick(h, 8) == 0)
		args->exit_signal = pick(h, 2) ? 0 : SIGUSR1;
}

static void do_clone(struct history *h, bool sibling)
{
	struct model_clone args = {.exit_signal = SIGCHLD};
	uint32_t actor = pick_living(h), child, ns = h->m.tasks[actor].children_ns;
	int32_t pid[TREE_LEVELS + 1];

	if (sibling)
		args.flags |= CLONE_PARENT;
	choose_tables(h, &args);
	choose_numbers(h, ns, pid, &args);
	if (h->nested && pick(h, 8) == 0 && h->m.n_namespaces < MAX_NS - 1 &&
	    h->m.namespaces[ns].level < DEPTH) {
		args.flags |= CLONE_NEWPID;
		pid[args.n_pid++] = 1;
	}
	if (h->users && pick(h, 10) == 0)
		args.flags |= CLONE_NEWUSER;
	if (model_clone(&h->m, actor, &args, &child) == 0)
		numbers_are_used(h, child);
}

/* Somebody goes to another namespace for a child, or for good. */
static void do_enter(struct history *h)
{
	uint32_t actor = pick_living(h), own = h->m.tasks[actor].ns, child;
	struct model_clone args = {.exit_signal = SIGCHLD};
	int32_t pid[TREE_LEVELS];

	if (model_enter_pid(&h->m, actor, pick(h, (uint32_t)h->m.n_namespaces)) < 0)
		return;
	choose_numbers(h, h->m.tasks[actor].children_ns, pid, &args);
	args.flags = pick(h, 6) ? 0 : CLONE_PARENT;
	if (model_clone(&h->m, actor, &args, &child) == 0)
		numbers_are_used(h, child);
	if (pick(h, 8))
		(void)model_enter_pid(&h->m, actor, own);
}

static void do_user(struct history *h)
{
	uint32_t actor = pick_living(h), ns;

	if (pick(h, 2))
		(void)model_unshare_user(&h->m, actor, &ns);
	else
		(void)model_join_user(&h->m, actor, pick(h, (uint32_t)h->m.n_user_ns));
}

static void do_stranger(struct history *h)
{
	uint32_t ns = pick(h, (uint32_t)h->m.n_namespaces), child, leader;
	struct model_clone args = {.exit_signal = SIGCHLD, .flags = CLONE_PARENT};
	int32_t pid[TREE_LEVELS];

	if (ns == 0 && !h->m.container)
		return; /* would be no part of the tree */
	if (pick(h, 3) == 0)
		(void)model_outside_leader(&h->m, pick(h, 2) ? MODEL_NONE : 0, &leader);
	choose_numbers(h, ns, pid, &args);
	leader = pick(h, (uint32_t)h->m.n_outside);
	if (model_clone_outside(&h->m, leader, ns, &args, &child) == 0)
		numbers_are_used(h, child);
}

static void do_namespaces(struct history *h)
{
	uint32_t dice = pick(h, 10), ns;

	if (dice < 5)
		do_enter(h);
	else if (dice == 5 && h->m.n_namespaces < MAX_NS - 1)
		(void)model_unshare_pid(&h->m, pick_living(h), &ns);
	else if (dice < 8 && h->strangers)
		do_stranger(h);
	else if (h->users)
		do_user(h);
}

static void do_setpgid(struct history *h)
{
	uint32_t t = pick_living(h);
	uint32_t group = pick(h, 2) ? t : pick(h, (uint32_t)h->m.n_tasks);

	(void)model_setpgid(&h->m, t, t, h->m.tasks[group].pgid);
	if (pick(h, 2) && h->m.tasks[t].parent != MODEL_NONE)
		(void)model_setpgid(&h->m, h->m.tasks[t].parent, t, h->m.tasks[group].pgid);
	if (pick(h, 2))
		(void)model_setpgid(&h->m, t, t, h->m.tasks[t].pid);
}

static void do_tty(struct history *h)
{
	uint32_t t = pick_living(h);

	switch (pick(h, 4)) {
	case 0:
	case 1:
		(void)model_tty_open(&h->m, t, 1 + pick(h, 5));
		break;
	case 2:
		(void)model_tty_drop(&h->m, t);
		break;
	case 3:
		(void)model_tty_foreground(&h->m, t, h->m.tasks[t].tty,
					   h->m.tasks[pick_living(h)].pgid);
		break;
	}
}

/* The root of a tree that has others goes in one history of many: they end with it. */
static void do_exit(struct history *h)
{
	uint32_t t = pick_living(h);

	if (t || pick(h, 100) == 0)
		(void)model_exit(&h->m, t, (int32_t)pick(h, 256) << 8);
}

static void do_wait(struct history *h)
{
	uint32_t t = pick(h, (uint32_t)h->m.n_tasks);

	if (t && h->m.tasks[t].state == MODEL_ZOMBIE)
		(void)model_wait(&h->m, h->m.tasks[t].parent, t);
}

static void random_op(struct history *h)
{
	uint32_t dice = pick(h, 100);

	/* refusals are part of the game */
	if (h->nested && pick(h, 6) == 0)
		do_namespaces(h);
	else if (dice < 38)
		do_clone(h, dice < 5);
	else if (dice < 50)
		(void)model_setsid(&h->m, pick_living(h));
	else if (dice < 62)
		do_setpgid(h);
	else if (dice < 70)
		(void)model_subreaper(&h->m, pick_living(h), pick(h, 3) != 0);
	else if (dice < 85)
		do_exit(h);
	else if (dice < 94)
		do_wait(h);
	else if (h->ttys)
		do_tty(h);
}

static struct tree *random_tree(struct arena *arena, uint64_t seed, struct history *h)
{
	struct tree *tree = NULL;
	bool container;
	uint32_t ops;

	*h = (struct history){.random = seed * 2654435761u + 1};
	(void)pick(h, 2);
	container = pick(h, 2);
	ops = 3 + pick(h, pick(h, 8) ? 60 : MAX_OPS);
	h->tables = seed % 4 == 3;
	h->ttys = pick(h, 2);
	h->nested = seed % 8 >= 4 || getenv("NESTED");
	h->strangers = h->nested && pick(h, 2);
	h->users = h->nested && pick(h, 3) == 0;
	h->next_pid[0] = container ? 1 : 1000;
	assert_int_equal(model_init(&h->m, arena, h->next_pid[0], container), 0);
	if (pick(h, 2))
		(void)model_setsid(&h->m, 0);
	(void)model_subreaper(&h->m, 0, true);
	for (uint32_t i = 0; i < ops && h->m.tasks[0].state == MODEL_LIVING; i++)
		random_op(h);
	assert_int_equal(model_tree(&h->m, arena, &tree), 0);
	return tree;
}

static void print_tree(const struct tree *tree)
{
	for (size_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];

		for (uint32_t l = 1; l <= tree->pid_ns[p->pid_ns].level; l++)
			print_message("  [%d %d %d]", p->pid[l], p->sid[l], p->pgid[l]);
		if (tree->n_pid_ns > 1)
			print_message("  ns %u/%u user %u out %u/%u", p->pid_ns, p->children_ns,
				      p->user_ns, p->outside_session, p->outside_group);
		print_message("  pid %d parent %d sid %d pgid %d%s%s sig %d tty %u/%d tables %u %u "
			      "%u %u %u\n",
			      p->pid[0], p->parent == TREE_NONE ? 0 : TREE_PID(tree, p->parent),
			      p->sid[0], p->pgid[0], p->subreaper ? " subreaper" : "",
			      p->zombie ? " zombie" : "", p->exit_signal, p->tty, p->tty_pgrp,
			      p->table[0], p->table[1], p->table[2], p->table[3], p->table[4]);
	}
}

static void print_chain(const struct context *ctx)
{
	for (unsigned int i = 0; i < ctx->err.frames; i++)
		print_message("  %s\n", ctx->err.frame[i]);
}

/* 0, or the planner's error */
static int plan_and_replay(uint64_t seed, const struct tree *tree, struct arena *arena,
			   bool *ret_ok)
{
	_cleanup_strbuf_ struct strbuf diff = {0};
	struct context ctx = {0};
	struct plan *plan;
	int r;

	*ret_ok = true;
	r = planner_run(&ctx, arena, tree, NULL, &plan);
	if (r == 0 && replay_diff(tree, plan, &diff) == 0)
		return 0;
	*ret_ok = false;
	print_message("seed %llu: %s\n", (unsigned long long)seed,
		      r ? "no plan" : strbuf_text(&diff));
	print_chain(&ctx);
	if (tree->n_processes < 30 || getenv("SEED"))
		print_tree(tree);
	return r;
}

static void test_random_histories(void **state)
{
	const char *first_text = getenv("SEED"), *count_text = getenv("COUNT");
	uint64_t first = first_text ? strtoull(first_text, NULL, 10) : 1;
	uint64_t count = count_text ? strtoull(count_text, NULL, 10) : 4000;
	unsigned int failed = 0;

	(void)state;
	for (uint64_t seed = first; seed < first + count && failed < 5; seed++) {
		struct arena arena;
		struct history h;
		bool ok;

		arena_init(&arena, NULL);
		(void)plan_and_replay(seed, random_tree(&arena, seed, &h), &arena, &ok);
		failed += !ok;
		arena_deinit(&arena);
	}
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
