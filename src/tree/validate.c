/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this a tree at all? Trees come from images and files that anybody may have written; what is
 * accepted here can be planned without looking over one's shoulder: every index in range, every
 * number in range and unique, no cycle.
 */
#include <errno.h>

#include "tree/idmap.h"
#include "tree/tree.h"

static uint32_t levels(const struct tree *tree, const struct tree_process *p)
{
	return tree->pid_ns[p->pid_ns].level + 1;
}

static int check_namespaces(struct context *ctx, const struct tree *tree)
{
	for (size_t i = 0; i < tree->n_pid_ns; i++) {
		const struct tree_pid_ns *ns = &tree->pid_ns[i];

		if ((i == 0) != (ns->parent == TREE_NONE))
			return err_msg(ctx, -EBADMSG, "PID namespace %zu: not below the first one",
				       i);
		if (i > 0 && (ns->parent >= i || ns->level != tree->pid_ns[ns->parent].level + 1))
			return err_msg(ctx, -EBADMSG, "PID namespace %zu: bad parent", i);
		if (ns->level >= TREE_LEVELS)
			return err_msg(ctx, -EBADMSG,
				       "PID namespace %zu: %u levels, the kernel has %d", i,
				       ns->level + 1, TREE_LEVELS);
		if (ns->user_ns >= tree->n_user_ns)
			return err_msg(ctx, -EBADMSG, "PID namespace %zu: no such owner", i);
	}
	return 0;
}

static int check_user_namespaces(struct context *ctx, const struct tree *tree)
{
	if (tree->n_user_ns == 0)
		return err_msg(ctx, -EBADMSG, "no user namespace");
	for (size_t i = 0; i < tree->n_user_ns; i++)
		if ((i == 0) != (tree->user_ns[i].parent == TREE_NONE) ||
		    (i > 0 && tree->user_ns[i].parent >= i))
			return err_msg(ctx, -EBADMSG, "user namespace %zu: bad parent", i);
	return 0;
}

static int check_number(struct context *ctx, const char *what, int32_t number, int32_t least)
{
	if (number < least || number >= TREE_MAX_PID)
		return err_msg(ctx, -EBADMSG, "%s %d is out of range", what, number);
	return 0;
}

static int check_process(struct context *ctx, const struct tree *tree, size_t i)
{
	const struct tree_process *p = &tree->processes[i];
	int r = 0;

	if (p->pid_ns >= tree->n_pid_ns)
		return err_msg(ctx, -EBADMSG, "its PID namespace does not exist");
	if (p->children_ns >= tree->n_pid_ns)
		return err_msg(ctx, -EBADMSG, "its children's PID namespace does not exist");
	if (p->user_ns >= tree->n_user_ns)
		return err_msg(ctx, -EBADMSG, "its user namespace does not exist");
	for (uint32_t l = 0; l < levels(tree, p) && r == 0; l++) {
		r = check_number(ctx, "pid", p->pid[l], 1);
		if (r == 0)
			r = check_number(ctx, "sid", p->sid[l], 0);
		if (r == 0)
			r = check_number(ctx, "pgid", p->pgid[l], 0);
	}
	if (r < 0)
		return r;
	if (p->parent != TREE_NONE && p->parent >= tree->n_processes)
		return err_msg(ctx, -EBADMSG, "its parent does not exist");
	if (p->parent == i)
		return err_msg(ctx, -EBADMSG, "it is its own parent");
	if (i == 0 && p->parent != TREE_NONE)
		return err_msg(ctx, -EBADMSG, "the root has a parent in the tree");
	if (i > 0 && p->pid[0] == 1)
		return err_msg(ctx, -EBADMSG, "it is the init above the root");
	if (p->exit_signal < 0 || p->exit_signal > 64)
		return err_msg(ctx, -EBADMSG, "exit signal %d", p->exit_signal);
	for (int t = 0; t < TREE_TABLES; t++)
		if (p->table[t] > INT32_MAX)
			return err_msg(ctx, -EBADMSG, "%s %u is out of range", tree_table_name[t],
				       p->table[t]);
	if (p->outside_session >= INT32_MAX || p->outside_group >= INT32_MAX)
		return err_msg(ctx, -EBADMSG, "a session or group outside is out of range");
	if (p->tty > INT32_MAX)
		return err_msg(ctx, -EBADMSG, "terminal %u is out of range", p->tty);
	return check_number(ctx, "foreground group", p->tty_pgrp, 0);
}

static int check_unique(struct context *ctx, const struct tree *tree)
{
	struct arena scratch;
	struct idmap map = {.arena = &scratch};
	int r = 0;

	arena_init(&scratch, ctx);
	for (size_t i = 0; i < tree->n_processes && r == 0; i++) {
		const struct tree_process *p = &tree->processes[i];
		uint32_t ns = p->pid_ns;

		for (uint32_t l = levels(tree, p); l-- > 0 && r == 0;
		     ns = tree->pid_ns[ns].parent) {
			if (idmap_get(&map, ns, p->pid[l]) != IDMAP_NONE)
				r = err_msg(ctx, -EBADMSG, "two processes have the PID %d",
					    p->pid[l]);
			else if (idmap_set(&map, ns, p->pid[l], (uint32_t)i) < 0)
				r = err_oom(ctx);
		}
	}
	arena_deinit(&scratch);
	return r;
}

/* Follows parents from each process; what was seen to end at the top is not followed again. */
static int check_acyclic(struct context *ctx, const struct tree *tree)
{
	struct arena scratch;
	uint32_t *seen; /* 0: not yet, else the walk that came by, plus 1 */
	int r = 0;

	arena_init(&scratch, ctx);
	seen = arena_new_n(&scratch, uint32_t, tree->n_processes);
	if (!seen)
		r = err_oom(ctx);
	for (uint32_t i = 0; i < tree->n_processes && r == 0; i++) {
		uint32_t p = i;

		while (p != TREE_NONE && !seen[p]) {
			seen[p] = i + 1;
			p = tree->processes[p].parent;
		}
		if (p != TREE_NONE && seen[p] == i + 1)
			r = err_msg(ctx, -EBADMSG, "process %d is its own ancestor",
				    TREE_PID(tree, p));
	}
	arena_deinit(&scratch);
	return r;
}

int tree_validate(struct context *ctx, const struct tree *tree)
{
	int r;

	if (tree->n_processes == 0 || tree->n_processes > TREE_MAX_PROCESSES)
		return err_msg(ctx, -EBADMSG, "%zu processes, at most %d can be planned",
			       tree->n_processes, TREE_MAX_PROCESSES);
	r = check_user_namespaces(ctx, tree);
	if (r == 0)
		r = check_namespaces(ctx, tree);
	if (r < 0)
		return r;
	for (size_t i = 0; i < tree->n_processes; i++) {
		r = check_process(ctx, tree, i);
		if (r < 0)
			return err_while(ctx, r, "process %d", TREE_PID(tree, i));
	}
	r = check_unique(ctx, tree);
	if (r < 0)
		return r;
	return check_acyclic(ctx, tree);
}
