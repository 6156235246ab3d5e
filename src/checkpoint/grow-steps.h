/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of growing (grow.c, grow-steps.c, grow-finish.c) share. */
#pragma once

#include "checkpoint/grow.h"
#include "tree/plan.h"
#include "util/arena.h"

/* A process of the plan. */
struct grown_process {
	const struct plan_process *plan;
	struct rebuild_process *rebuild; /* NULL: a scaffold or a dead leader */
	struct puppet *puppet;		 /* NULL: not made yet, or dead; owned by grown.tasks */
	pid_t number; /* on the tree's outermost level; a scaffold's may differ from the plan's */
	pid_t here;   /* in the coordinator's PID namespace; 0: not made yet */
	uint32_t user_ns;     /* UserNs.id, once it has joined that; 0 */
	uint32_t children_ns; /* index of the PID namespace that its next child is born into */
	uint32_t forker;      /* index, PLAN_NONE for the first */
	/* See rebuild_process.inherits; scaffolds hand it on. */
	const struct rebuild_process *inherits;
	/* Process whose memory must be in place before this one is born, or NULL. */
	struct rebuild_process *fill_first;
};

struct grown {
	struct context *ctx;
	struct rebuild *rebuild;
	const struct plan *plan;
	struct arena arena;
	bool container; /* the root is init of a PID namespace: its numbers are not ours */
	struct grown_process *processes; /* by index in the plan */
	struct puppet **tasks;		 /* every task that was made, in that order; owned */
	size_t n_tasks;
	/* Sorted: all that the tree needs for itself in the coordinator's PID namespace. */
	pid_t *numbers;
	size_t n_numbers;
	int *pid_ns; /* by index in the tree: a descriptor, or -EBADF; owned */
	size_t n_pid_ns;
	struct puppet **leaders; /* by index of plan.outside; none where nobody needs them */
	size_t n_leaders;
	bool let_go;
};

/* "process 812 (nginx)", "scaffold 813" for messages. */
const char *grown_name(struct grown *g, uint32_t process);
/* The number of @p as @observer sees it, which is on the observer's own level. */
pid_t grown_number_for(const struct grown_process *observer, const struct grown_process *p);
/* Is the number one that the tree needs? */
bool grown_needs(const struct grown *g, pid_t number);
int grown_add_task(struct grown *g, struct puppet *puppet);

/* Gives a task that is about to die what its remains are to have: name, credentials. (grow-steps.c) */
int grow_remains(struct grown *g, const struct rebuild_process *p, struct puppet *puppet);
/* The user namespaces of the image. (grow-ns.c) */
int grow_user_namespaces(struct grown *g);
/* The namespace steps. (grow-ns.c) */
int grow_user_join(struct grown *g, const struct plan_step *step);
int grow_ns_new(struct grown *g, const struct plan_step *step);
int grow_ns_enter(struct grown *g, const struct plan_step *step);
/* The threads of a process. (grow-threads.c) */
int grow_threads(struct grown *g, struct rebuild_process *p);

/* A clone whose forker is in a user namespace, so that not all numbers can be chosen. */
struct grow_aim {
	struct puppet *forker;
	uint32_t user_ns; /* UserNs.id that it is in */
	uint32_t pid_ns;  /* index of the one that the child is born into */
	uint64_t flags;
	int exit_signal;
	const int32_t *number; /* outermost first */
	size_t n_number;
};
/* On failure *@ret_child may be set all the same, as puppet_clone's. (grow-aim.c) */
int grow_clone_aimed(struct grown *g, const struct grow_aim *aim, struct puppet **ret_child);
/* The next number and the highest of each PID namespace of the tree's own, when all who are born
 * into it are there. (grow-ns.c) */
int grow_numbers(struct grown *g);
/* The root, and before it the leaders of sessions and groups outside; their end. (grow-root.c) */
int grow_root(struct grown *g);
int grow_end_leaders(struct grown *g);
/* Has the children of @process born into PID namespace @ns, an index in the tree, from now on.
 * (grow-ns.c) */
int grow_enter(struct grown *g, uint32_t process, uint32_t ns);
/* The root and its namespace apart, a stub is born in step @step, or is in a row of such steps that
 * one table can do. *@ret_done: how many of the @left steps from there on were done. (grow-clone.c) */
int grow_clones(struct grown *g, const struct plan_step *step, size_t left, size_t *ret_done);
/* @puppet stands for the process from now on. (grow-clone.c) */
int grow_born(struct grown *g, uint32_t process, struct puppet *puppet);
/* Executes all steps of the plan. (grow-steps.c) */
int grow_steps(struct grown *g);
/* Controlling terminals. (grow-tty.c) */
int grow_tty_open(struct grown *g, const struct plan_step *step);
int grow_tty_drop(struct grown *g, const struct plan_step *step);
int grow_tty_foreground(struct grown *g, const struct plan_step *step);
/* Threads, dead leaders, stopped jobs; forgets signals that growing has left. (grow-finish.c) */
int grow_finish(struct grown *g);
/* Stops all processes that are not stopped by SIGSTOP; they have become the program's own. */
int grow_stop_all(struct grown *g);
