/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The final tree: the state of parents, sessions, process groups, terminals, shared tables, PID and
 * user namespaces that a restore must end in, as plain data. The planner (tree/planner.h) finds
 * steps that lead there, the model kernel (tree/model.h) checks that they do.
 *
 * Processes are named by their index in tree.processes; index 0 is the tree root. Numbers (PIDs)
 * are lists with one number per PID namespace level, from the root's namespace (first) to the
 * process's own (last); 0 stands for "its owner is not visible on that level".
 *
 * A session or group number that no process of the tree has belongs to a leader that is dead. A
 * session whose first number is 0 belongs to the outside.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/checkpoint.pb-c.h"
#include "util/arena.h"
#include "util/context.h"

#define TREE_NONE UINT32_MAX

enum {
	TREE_LEVELS = 33,	    /* MAX_PID_NS_LEVEL + 1 */
	TREE_MAX_PROCESSES = 20000, /* more are refused: a bound for hostile input */
	TREE_MAX_PID = 4194304,	    /* PID_MAX_LIMIT: numbers are below it */
};

/* Tables that clone flags share between processes. */
enum tree_table {
	TREE_VM,
	TREE_FILES,
	TREE_FS,
	TREE_SIGHAND,
	TREE_SYSVSEM,
	TREE_IO,
	TREE_TABLES,
};

/* A namespace whose init is dead is left only where it is somebody's pid_ns_for_children. */
enum tree_ns_state {
	TREE_NS_LIVES,	/* its init is a living process of the tree */
	TREE_NS_ZOMBIE, /* its init is a zombie of the tree, and all that is left in it */
	TREE_NS_DEAD,	/* its init was reaped: nothing can be born there (ENOMEM) */
	TREE_NS_UNBORN, /* made by unshare(CLONE_NEWPID), its init not yet born */
};

struct tree_pid_ns {
	uint32_t parent;  /* index in tree.pid_ns; TREE_NONE for the root's namespace, which is 0 */
	uint32_t level;	  /* 0 for the root's namespace */
	uint32_t user_ns; /* index in tree.user_ns: its owner */
	enum tree_ns_state state;
	/* For whoever carries the plan out, at its very end; scaffolds keep below pid_max. */
	int32_t pid_max;  /* 0: not known */
	int32_t last_pid; /* 0: not known */
};

/* Maps and owner are in the checkpoint: the tree needs the nesting alone. */
struct tree_user_ns {
	uint32_t id;	 /* UserNs.id; 0 for the first */
	uint32_t parent; /* index in tree.user_ns; TREE_NONE for the first */
};

struct tree_process {
	uint32_t id; /* Process.id, from 1 */
	uint32_t
		parent; /* index; TREE_NONE: outside the tree (the root, and who joined from there) */
	uint32_t pid_ns; /* index in tree.pid_ns; its level + 1 is the length of the next three */
	uint32_t children_ns; /* pid_ns_for_children: pid_ns or one below; zombies: pid_ns */
	uint32_t user_ns;     /* index in tree.user_ns */
	const int32_t *pid;
	const int32_t *sid;
	const int32_t *pgid;
	uint32_t outside_session; /* which one, where sid[0] is 0 */
	uint32_t outside_group;	  /* which one, where pgid[0] is 0 */
	bool subreaper;
	bool zombie;
	int32_t exit_status; /* zombies: as wait() gives it */
	int32_t exit_signal; /* what the parent gets at its death: SIGCHLD unless never adopted */
	/* Equal numbers other than 0 share the table. Zombies have none: all 0. */
	uint32_t table[TREE_TABLES];
	uint32_t tty;	  /* number of the controlling terminal, 0: none */
	int32_t tty_pgrp; /* foreground group of the terminal, in the root's namespace, where this
			     process is its session's leader (with shell_job: the root); 0: not told */
};

struct tree {
	struct tree_process *processes;
	size_t n_processes;
	struct tree_pid_ns *pid_ns; /* parents before children */
	size_t n_pid_ns;
	/* Parents before children. The first is that of whoever restores, where the plan's processes are
	 * born; there is always that one. */
	struct tree_user_ns *user_ns;
	size_t n_user_ns;
	bool container; /* the root is the init of its PID namespace */
	bool shell_job; /* the root's session and terminal are the restorer's own */
};

/* CLONE_VM and so on, by enum tree_table; and the names of the tables, as users know them. */
extern const uint64_t tree_table_flag[TREE_TABLES];
extern const char *const tree_table_name[TREE_TABLES];

/*
 * The tree of a checkpoint. The result refers to the checkpoint's numbers and lives in @arena.
 * Messages are not trusted: -EBADMSG when they are no tree (tree_validate).
 */
int tree_from_checkpoint(struct context *ctx, struct arena *arena, const Coppice__Checkpoint *cp,
			 struct tree **ret_tree);

/*
 * Reads a tree file (JSON; docs/TREES.md). -EBADMSG with a chain that names the process and the
 * field when the text is not one.
 */
int tree_from_json(struct context *ctx, struct arena *arena, const char *text, size_t len,
		   struct tree **ret_tree);

/*
 * Are these the numbers of a tree at all (one root, no cycle, no number twice, parents alive,
 * levels that fit)? Says nothing about how such a tree can come about: that is the planner's.
 */
int tree_validate(struct context *ctx, const struct tree *tree);

/* Is @ns namespace @above, or below it? TREE_NONE is above all. */
static inline bool tree_ns_is_in(const struct tree *tree, uint32_t ns, uint32_t above)
{
	if (above == TREE_NONE)
		return true;
	while (ns != TREE_NONE && tree->pid_ns[ns].level > tree->pid_ns[above].level)
		ns = tree->pid_ns[ns].parent;
	return ns == above;
}

/* Is @ns below @above, and not the same? */
static inline bool tree_ns_is_below(const struct tree *tree, uint32_t ns, uint32_t above)
{
	return ns != above && tree_ns_is_in(tree, ns, above);
}

/* The deepest namespace that both are in. */
static inline uint32_t tree_ns_common(const struct tree *tree, uint32_t a, uint32_t b)
{
	while (!tree_ns_is_in(tree, a, b))
		b = tree->pid_ns[b].parent;
	return b;
}

/* "process 17" (outermost number) for messages. */
#define TREE_PID(tree, index) ((tree)->processes[index].pid[0])
