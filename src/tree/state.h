/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that every state of the kernel keeps, whatever happened before. */
#pragma once

#include "tree/idmap.h"
#include "tree/tree.h"
#include "util/context.h"

/* Which process has a number; a session's or group's number without one is a dead leader's. */
struct tree_index {
	const struct tree *tree;
	struct idmap by_pid;
};

int tree_index_init(struct tree_index *index, struct arena *arena, const struct tree *tree);

static inline uint32_t tree_find(const struct tree_index *index, int32_t pid)
{
	return idmap_get(&index->by_pid, 0, pid);
}

/*
 * Where the leader of a session or group lives, as a process in @ns sees its numbers: on the deepest
 * level that it is visible on. TREE_NONE: outside.
 */
uint32_t tree_leader_ns(const struct tree *tree, uint32_t ns, const int32_t *numbers);

/*
 * Could these processes exist side by side? Returns 0; -EDOM with a chain that names process and
 * rule; -EOPNOTSUPP for what the planner does not know yet.
 */
int state_check(struct context *ctx, const struct tree_index *index);

/* state-namespaces.c, parts of it: */

/* PID namespaces and their inits, user namespaces. */
int state_check_namespaces(struct context *ctx, const struct tree *tree);
/* Are these (of a session or group, @what) numbers that @p can see of one leader? */
int state_check_numbers(struct context *ctx, const struct tree_index *index,
			const struct tree_process *p, const char *what, const int32_t *numbers);
/* Do all members see the same leaders, with numbers that nobody else has? */
int state_check_leaders(struct context *ctx, const struct tree_index *index, struct arena *scratch);
