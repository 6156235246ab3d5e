/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who forked whom: the search for a *birth tree*.
 *
 * Parents change by adoption, but only upwards: a process's parent is, at any time, one of those it
 * descends from by fork. A session is inherited at fork and changed only by one's own setsid. So
 * (in one PID namespace) a history with a given end exists if and only if there is a birth tree over
 * the processes, zombies and dead session leaders of that end in which
 *   1. the parent of v is above v, and
 *   2. the forker of v was, before or after its own setsid, in the session that v was born in;
 *      v was born in its final session unless it leads it.
 * Other things that are only inherited, and so have to come down the same edges:
 *   3. an exit signal other than SIGCHLD: adoption resets it, so v was born as its parent's child, by
 *      the parent or (CLONE_PARENT) by a sibling with the same signal;
 *   4. a table that is shared by clone flags: those who share it are connected, through nothing but
 *      sharers and processes that are dead.
 *
 * All four say of a process y and one process t above it: whoever is between t and y is of a certain
 * sort (born in t's session; born as t's child with y's signal; a sharer). Hence the two rules that
 * the search lives on, for x above y: is x not of the sort, then x is above t; is x below t, then it
 * must be made of the sort where that is still open. What is open: the birth session of leaders, and
 * the signal and the tables of those who are dead in the end. Besides, two that are above the same
 * process must be above one another: where neither follows, the search tries both orders.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tree/relation.h"
#include "tree/tree.h"
#include "util/arena.h"
#include "util/context.h"

#define BIRTH_NONE    UINT32_MAX
#define BIRTH_OUTSIDE (UINT32_MAX - 1) /* the session outside the tree */
#define BIRTH_OPEN    (UINT32_MAX - 2) /* not decided yet */

struct birth_node {
	int32_t number;	  /* PID; 0: any */
	bool dead;	  /* not of the final tree: a leader that died, or a hub */
	bool zombie;	  /* of the final tree, but its tables are gone */
	uint32_t parent;  /* in the final tree; BIRTH_NONE: the root, and the dead */
	uint32_t session; /* the leader's node, its own if it leads one; BIRTH_OUTSIDE; BIRTH_OPEN
				for hubs: the one it is born in */
	uint32_t birth;	  /* the session it was born in */
	uint32_t direct;  /* who it was born a child of, where this matters (3) */
	int32_t exit_signal;
	uint32_t table[TREE_TABLES]; /* 0: its own */
	uint32_t hub[TREE_TABLES];   /* who the table came from; BIRTH_NONE: itself */
	uint32_t forker;	     /* the result; BIRTH_NONE: the root, which is node 0 */
};

struct birth {
	struct arena *arena;
	struct birth_node *nodes; /* tree processes in order, then dead leaders, then hubs */
	size_t n_nodes;
	struct relation above;
	uint32_t *order; /* the result: nodes, forkers before those they fork */
	uint64_t effort; /* inferences made */
	uint64_t limit;
};

/* The nodes of a tree that state_check has accepted. Returns 0 or -errno with a chain. */
int birth_init(struct birth *b, struct context *ctx, struct arena *arena, const struct tree *tree);

/* Fills forker and birth of every node, and order. 0, -EDOM, -ETIME (see planner_run) or -ENOMEM. */
int birth_solve(struct birth *b, struct context *ctx);

/* "process 17", "the dead leader 17" or "a helper", for messages and reasons */
const char *birth_name(const struct birth *b, uint32_t node, char *buf, size_t size);
