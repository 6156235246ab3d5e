/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who forked whom: the search for a *birth tree*.
 *
 * Parents change by adoption. Whoever adopts is a subreaper that the orphan descends from by fork,
 * or the init of the namespace that the dead parent lived in. A session is inherited at fork and
 * changed only by one's own setsid. So a history with a given end exists if and only if there is a
 * birth tree over the processes, zombies and dead session leaders of that end (a forest, over the
 * outside) in which
 *   1. the parent of v is above v, unless it is an init or outside;
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
 *
 * PID namespaces add, N(v) being where v lives and P(v) its parent:
 *   5. birth leads from a namespace to itself or down, and an init is the first in its own: x above y
 *      takes N(x) at or above N(y), and y no init of N(x). Nothing but the outside is above the root.
 *   6. the namespace that v's parent lives in never changes: an orphan is adopted within the
 *      namespace of the dead parent. At v's birth it is that of the forker, or (CLONE_PARENT) of the
 *      forker's parent. So if x above y lives below N(P(y)), then all from x down to y were born as
 *      siblings, and siblings stay together: P(x) = P(y). No init has siblings.
 *   7. between y and its parent u, where that is no init, the line of parents must not leave N(u):
 *      for x between the two, N(P(x)) = N(u).
 *   8. setpgid() takes a process that sees the group's number: v itself, or its parent if that is in
 *      the session. A group whose number neither sees comes down by birth, like the session, from one
 *      above who sees it.
 *   9. who has the number of a group that is still the foreground of a terminal, but of another
 *      session, came after that session's leader, and is not above it.
 * Such rules never ask for an order in time that births could not keep: whatever must exist before
 * something else (init before those in its namespace, leader before members) lives at the same level
 * or above. Where a leader has to wait with its setsid for something, it leaves a scaffold behind.
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
#define BIRTH_OPEN    (UINT32_MAX - 1)	   /* not decided yet */
#define BIRTH_OUTSIDE UINT32_C(0x80000000) /* a parent outside; plus i: session i outside */

static inline bool birth_is_outside(uint32_t node)
{
	return node >= BIRTH_OUTSIDE && node < BIRTH_OPEN;
}

struct birth_node {
	int32_t number;		/* outermost PID; 0: any */
	const int32_t *numbers; /* on all levels; NULL: any */
	uint32_t ns;		/* PID namespace that it lives in */
	bool init;		/* of that namespace */
	bool dead;		/* not of the final tree: a leader that died, or a hub */
	bool zombie;		/* of the final tree, but its tables are gone */
	uint32_t parent;	/* in the final tree; BIRTH_OUTSIDE; BIRTH_NONE: the dead, any */
	uint32_t session;	/* the leader's node, its own if it leads one; BIRTH_OUTSIDE plus i;
				BIRTH_OPEN for hubs: the one it is born in */
	uint32_t birth;		/* the session it was born in */
	uint32_t direct;	/* who it was born a child of, where this matters (3) */
	int32_t exit_signal;
	uint32_t group;	      /* birth.groups: in the end, leaders their own; BIRTH_NONE: hubs */
	uint32_t birth_group; /* the one it must be born into (8); BIRTH_OPEN: any */
	bool group_is_set;    /* by its parent, if it is not the one it is born into */
	bool is_moved; /* result: its parent puts it into groups that children are born into */
	int32_t lost;  /* foreground group of its terminal, whose number another session has; 0 */
	uint32_t table[TREE_TABLES]; /* 0: its own */
	uint32_t hub[TREE_TABLES];   /* who the table came from; BIRTH_NONE: itself */
	uint32_t forker;	     /* the result; BIRTH_NONE: the outside */
};

/* A process group of the tree. */
struct birth_group {
	int32_t number;		/* outermost; 0: outside */
	const int32_t *numbers; /* on all levels of ns */
	uint32_t ns;		/* where it can be seen: that of the leader; TREE_NONE: above all */
	uint32_t session;	/* as birth_node.session */
	uint32_t outside;	/* number 0: tree_process.outside_group */
	uint32_t leader;	/* the node with that number, if it led the session; BIRTH_NONE */
	uint32_t member;	/* a process in it, or in its session */
};

struct birth {
	struct arena *arena;
	const struct tree *tree;
	struct birth_node *nodes; /* tree processes in order, then dead leaders, then hubs */
	size_t n_nodes;
	struct birth_group *groups;
	size_t n_groups;
	uint32_t *lost; /* nodes with birth_node.lost */
	size_t n_lost;
	uint32_t *outside; /* sessions outside, by index: tree_process.outside_session */
	size_t n_outside;
	uint32_t outer; /* the PID namespace of the outside; TREE_NONE: above the root's */
	bool rooted;	/* nothing is born from outside but what has its parent there */
	struct relation above;
	uint32_t *order; /* the result: nodes, forkers before those they fork */
	uint64_t effort; /* inferences made */
	uint64_t limit;
};

/* The nodes of a tree that state_check has accepted. Returns 0 or -errno with a chain. */
int birth_init(struct birth *b, struct context *ctx, struct arena *arena, const struct tree *tree);

/* Fills forker and birth of every node, and order. 0, -EDOM, -ETIME (see planner_run) or -ENOMEM. */
int birth_solve(struct birth *b, struct context *ctx);

/* -ETIME, with a chain that says so. */
int birth_gave_up(const struct birth *b, struct context *ctx);

/* Can a parent of @node, in its birth session, put it into @group? */
bool birth_parent_sees(const struct birth *b, uint32_t node, uint32_t group);

/* The namespace of @node's parent, which is not BIRTH_NONE; TREE_NONE: above all. */
uint32_t birth_parent_ns(const struct birth *b, uint32_t node);

/* "process 17", "the dead leader 17" or "a helper", for messages and reasons */
const char *birth_name(const struct birth *b, uint32_t node, char *buf, size_t size);
