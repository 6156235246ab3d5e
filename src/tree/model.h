/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model kernel: how Linux keeps parents, sessions, process groups, controlling terminals, shared
 * tables, PID and user namespaces, as pure code. Plans are replayed on it before they are used
 * (tree/replay.h) and tests make random histories with it.
 *
 * Each operation returns 0 or the -errno that the kernel would fail with, and then model.why says the
 * rule in words. A task is what the kernel calls a thread group; threads do not matter here. Every
 * task has all capabilities in its own user namespace and those below, and none elsewhere.
 *
 * The outside, of which task 0 comes, is a coordinator and the leaders of sessions and groups that it
 * keeps there (struct plan_outside). It is in the PID namespace of task 0 or, where task 0 is the
 * init of one (a container), in the namespace above that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tree/idmap.h"
#include "tree/tree.h"
#include "util/arena.h"

#define MODEL_NONE UINT32_MAX

/* struct pid: its numbers stay in use while it is a process's, a session's or a group's. */
struct model_pid {
	uint32_t ns;	     /* model.namespaces; MODEL_NONE: a leader outside, number is NULL */
	int32_t *number;     /* on each level, outermost first */
	uint32_t outside;    /* ns is MODEL_NONE: which leader */
	uint32_t n_tasks;    /* attached as PIDTYPE_TGID: 0 or 1, */
	uint32_t n_sessions; /* PIDTYPE_SID, */
	uint32_t n_groups;   /* PIDTYPE_PGID */
	uint32_t session;    /* n_groups > 0: the pid of the session that all members are in */
};

struct model_ns {
	uint32_t parent; /* MODEL_NONE for the first */
	uint32_t level;
	uint32_t user_ns; /* the owner */
	uint32_t init;	  /* task; MODEL_NONE: not born yet, or (namespace 0) outside */
	bool dead;	  /* its init has exited: zap_pid_ns_processes() */
};

enum model_state {
	MODEL_GONE,
	MODEL_LIVING,
	MODEL_ZOMBIE,
};

struct model_task {
	enum model_state state;
	uint32_t ns;	      /* the active one */
	uint32_t children_ns; /* nsproxy->pid_ns_for_children */
	uint32_t user_ns;     /* cred->user_ns */
	uint32_t pid;	      /* model.pids; sid and pgid too */
	uint32_t sid;
	uint32_t pgid;
	uint32_t parent; /* task; MODEL_NONE: outside */
	uint32_t leader; /* parent outside: the leader there, MODEL_NONE: the coordinator */
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

/* A leader outside, who stays. Invisible from inside, its numbers are 0. */
struct model_outside {
	uint32_t sid; /* pids */
	uint32_t pgid;
};

struct model {
	struct arena *arena;
	struct model_task *tasks;
	size_t n_tasks;
	struct model_pid *pids;
	size_t n_pids;
	struct model_ns *namespaces;
	size_t n_namespaces;
	uint32_t *user_parent; /* user namespaces: the parent of each; 0, the first, has none */
	size_t n_user_ns;
	struct model_outside *outside;
	size_t n_outside;
	uint32_t outside_tty; /* the terminal of the first leader's session; 0: none */
	struct model_tty *ttys;
	size_t n_ttys;
	struct idmap by_number; /* pids in use, by namespace and number */
	bool container;		/* task 0 is the init of its PID namespace */
	bool outside_adopts;	/* the coordinator is a subreaper */
	uint32_t last_table;
	const char *why;
};

struct model_clone {
	/* CLONE_PARENT, CLONE_NEWPID, CLONE_NEWUSER and those of tree_table_flag; no others */
	uint64_t flags;
	int32_t exit_signal; /* ignored with CLONE_PARENT */
	/* The numbers on all levels, outermost first. */
	const int32_t *pid;
	size_t n_pid;
	/* They are chosen by the caller (clone3's set_tid), not by the kernel: needs capabilities. */
	bool set_tid;
};

/* A kernel with one task, 0: the tree root with number @pid, in a session and group outside. */
int model_init(struct model *m, struct arena *arena, int32_t pid, bool container);

/*
 * A further leader outside: of a session of its own, or (@session: an older one) of a group in that
 * one's session. Leader 0 is there from the start.
 */
int model_outside_leader(struct model *m, uint32_t session, uint32_t *ret_leader);

/* model-clone.c */
int model_clone(struct model *m, uint32_t actor, const struct model_clone *args,
		uint32_t *ret_task);
/*
 * Leader @leader outside enters @ns and clones there: a child of its own or (CLONE_PARENT) of the
 * coordinator.
 */
int model_clone_outside(struct model *m, uint32_t leader, uint32_t ns,
			const struct model_clone *args, uint32_t *ret_task);
/* unshare(CLONE_NEWPID) and setns(CLONE_NEWPID) */
int model_unshare_pid(struct model *m, uint32_t actor, uint32_t *ret_ns);
int model_enter_pid(struct model *m, uint32_t actor, uint32_t ns);
/* A user namespace below @parent, made by somebody outside. */
int model_user_new(struct model *m, uint32_t parent, uint32_t *ret_user_ns);
/* unshare(CLONE_NEWUSER) and setns(CLONE_NEWUSER) */
int model_unshare_user(struct model *m, uint32_t actor, uint32_t *ret_user_ns);
int model_join_user(struct model *m, uint32_t actor, uint32_t user_ns);

/* model-jobs.c */
int model_setsid(struct model *m, uint32_t actor);
/* @actor puts @target, itself or a child, into the group whose id is @group_pid (model.pids). */
int model_setpgid(struct model *m, uint32_t actor, uint32_t target, uint32_t group_pid);
/* Leader @leader outside does so. */
int model_setpgid_outside(struct model *m, uint32_t leader, uint32_t target, uint32_t group_pid);
int model_tty_open(struct model *m, uint32_t actor, uint32_t tty);
int model_tty_drop(struct model *m, uint32_t actor);
int model_tty_foreground(struct model *m, uint32_t actor, uint32_t tty, uint32_t group_pid);
/* Task 0 is born with a terminal that belongs to the session outside (shell job). */
int model_inherit_tty(struct model *m, uint32_t tty);
/* The outermost number of the foreground group of a terminal; 0 when there is none. */
int32_t model_foreground(const struct model *m, uint32_t tty);

/* model-exit.c */
/* MODEL_NONE: the coordinator */
int model_subreaper(struct model *m, uint32_t actor, bool on);
/*
 * The exit of a namespace's init takes everybody in it along. Refused (-EBUSY) while one of those has
 * a parent outside the namespace, who must wait for it, or leads a group with a member outside: in
 * the kernel init hangs until pid_allocated says that all numbers of the namespace are free.
 */
int model_exit(struct model *m, uint32_t actor, int32_t status);
/* MODEL_NONE: the coordinator, or a leader outside */
int model_wait(struct model *m, uint32_t actor, uint32_t child);

/* model-tree.c */
/* @pid as a process of namespace @ns sees it: numbers of all levels, 0 where it is not visible. */
void model_numbers(const struct model *m, uint32_t pid, uint32_t ns, int32_t *ret);
/* What is there now, as a final tree in @arena; ids and order follow the PIDs, the root first. */
int model_tree(const struct model *m, struct arena *arena, struct tree **ret_tree);
