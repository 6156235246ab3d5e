/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model kernel: how Linux keeps parents, sessions, process groups, controlling terminals and
 * shared tables, as pure code. Plans are replayed on it before they are used (tree/replay.h) and
 * tests make random histories with it.
 *
 * There is one PID namespace. Each operation returns 0 or the -errno that the kernel would fail with, and then model.why says
 * the rule in words. A task is what the kernel calls a thread group; threads do not matter here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tree/idmap.h"
#include "tree/tree.h"
#include "util/arena.h"

#define MODEL_NONE UINT32_MAX

/* struct pid: its number stays in use while it is a process's, a session's or a group's. */
struct model_pid {
	int32_t number;
	uint32_t n_tasks;    /* attached as PIDTYPE_TGID: 0 or 1, */
	uint32_t n_sessions; /* PIDTYPE_SID, */
	uint32_t n_groups;   /* PIDTYPE_PGID */
	uint32_t task;	     /* n_tasks > 0: which */
	uint32_t session;    /* n_groups > 0: the pid of the session that all members are in */
};

enum model_state {
	MODEL_GONE,
	MODEL_LIVING,
	MODEL_ZOMBIE,
};

struct model_task {
	enum model_state state;
	uint32_t pid; /* model.pids; sid and pgid too */
	uint32_t sid; /* MODEL_OUTSIDE_PID: a session outside the tree */
	uint32_t pgid;
	uint32_t parent;	       /* task; MODEL_NONE: outside */
	uint32_t children, next, prev; /* list of tasks */
	bool subreaper;
	int32_t exit_signal;
	int32_t exit_status;
	uint32_t table[TREE_TABLES]; /* equal numbers share; 0: none, it has exited */
	uint32_t tty;
};

struct model_tty {
	uint32_t number;
	uint32_t session; /* pid; MODEL_NONE: nobody's */
	uint32_t group;	  /* pid, perhaps without members by now; MODEL_NONE: none */
};

/* The pid of everything outside the tree: invisible from inside, its numbers are 0. */
#define MODEL_OUTSIDE_PID 0

struct model {
	struct arena *arena;
	struct model_task *tasks;
	size_t n_tasks;
	struct model_pid *pids;
	size_t n_pids;
	struct model_tty *ttys;
	size_t n_ttys;
	struct idmap by_number; /* pids in use */
	bool container;		/* task 0 is the init of the PID namespace */
	uint32_t last_table;
	const char *why;
};

struct model_clone {
	uint64_t flags;
	int32_t exit_signal; /* ignored with CLONE_PARENT */
	int32_t pid;	     /* as clone3's set_tid */
};

/* A kernel with one task, 0: the tree root with number @pid, in a session and group outside. */
int model_init(struct model *m, struct arena *arena, int32_t pid, bool container);

int model_clone(struct model *m, uint32_t actor, const struct model_clone *args,
		uint32_t *ret_task);
int model_setsid(struct model *m, uint32_t actor);
/* @actor puts @target, itself or a child, into the group whose id is @group_pid (model.pids). */
int model_setpgid(struct model *m, uint32_t actor, uint32_t target, uint32_t group_pid);
int model_subreaper(struct model *m, uint32_t actor, bool on);
int model_exit(struct model *m, uint32_t actor, int32_t status);
int model_wait(struct model *m, uint32_t actor, uint32_t child);
int model_tty_open(struct model *m, uint32_t actor, uint32_t tty);
int model_tty_drop(struct model *m, uint32_t actor);
int model_tty_foreground(struct model *m, uint32_t actor, uint32_t tty, uint32_t group_pid);

/* Task 0 is born with a terminal that belongs to the session outside (shell job). */
int model_inherit_tty(struct model *m, uint32_t tty);
/* The number of the foreground group of a terminal; 0 when there is none. */
int32_t model_foreground(const struct model *m, uint32_t tty);

/* What is there now, as a final tree in @arena; ids and order follow the PIDs, the root first. */
int model_tree(const struct model *m, struct arena *arena, struct tree **ret_tree);
