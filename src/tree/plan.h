/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan: the steps that grow a process tree, as a pure value. It is printed (tree/print.h),
 * replayed on the model kernel (tree/model.h) and executed with puppets (checkpoint/grow.c).
 *
 * Processes are named by their index in plan.processes. Index 0 is the tree root, which exists
 * before the first step with its own number: as a child of the coordinator, with no controlling
 * terminal but (shell job) the restorer's, and in the session that plan.root_session says. Then
 * come the other processes of the tree in the order of tree.processes (so below
 * plan.n_tree_processes plan and tree index are the same), then dead leaders and scaffolds, which
 * are gone when the plan has ended.
 *
 * Steps stand in an order that works; nothing else may be assumed of it, except that clones by one
 * process stand together where they can, so that they fit into one call table.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_NONE UINT32_MAX

enum plan_op {
	/* process clones child: flags (CLONE_* without the signal byte), exit_signal. process is
	 * PLAN_NONE where the coordinator itself must be the forker, from outside. */
	PLAN_CLONE,
	PLAN_SETSID,	/* process */
	PLAN_SETPGID,	/* process puts target (itself or a child) into the group led by group */
	PLAN_SUBREAPER, /* process sets or clears (on) PR_SET_CHILD_SUBREAPER */
	/* process dies with status, as wait() gives it, and becomes a zombie; its children are
	 * adopted. Zombies of the tree stay; any other is reaped by a PLAN_WAIT that follows. */
	PLAN_EXIT,
	PLAN_WAIT, /* process reaps child; PLAN_NONE: the coordinator does */
	/* process, a session leader, makes tty its controlling terminal (TIOCSCTTY); right after
	 * its setsid, so that all members born later have it. */
	PLAN_TTY_OPEN,
	PLAN_TTY_DROP, /* process, no session leader, gives up its controlling terminal (TIOCNOTTY)
			*/
	PLAN_TTY_FOREGROUND, /* process makes the group led by group the foreground of tty */
};

enum plan_role {
	PLAN_ROLE_TREE, /* a process of the final tree */
	PLAN_ROLE_LEADER, /* leads a session or group of the tree, dead in the end: needs its number */
	PLAN_ROLE_SCAFFOLD, /* exists for a while; any other number that is free would do */
};

enum plan_root_session {
	/* Nothing of the root's first session is left in the end: any session will do. */
	PLAN_ROOT_SESSION_ANY,
	/* The root is born into a new session and group outside, which members of the tree keep; the
	 * leader, a process of the coordinator's, stays until the last step is done. */
	PLAN_ROOT_SESSION_NEW,
	/* The restorer's own session and group (shell job). */
	PLAN_ROOT_SESSION_INHERITED,
};

struct plan_process {
	uint32_t id; /* Process.id; 0: not of the final tree */
	enum plan_role role;
	uint32_t pid_ns;    /* index in tree.pid_ns */
	unsigned int n_pid; /* levels */
	const int32_t *pid; /* outermost first. clone3(set_tid) wants the innermost first */
};

struct plan_step {
	enum plan_op op;
	uint32_t process;
	uint32_t child;	 /* CLONE, WAIT */
	uint32_t target; /* SETPGID */
	/* SETPGID, TTY_FOREGROUND: the plan process whose number is the group's. PLAN_NONE: the
	 * root's first group, outside (only where that can be seen: not in a container). */
	uint32_t group;
	uint32_t tty;	/* TTY_*: tree_process.tty */
	uint64_t flags; /* CLONE; CLONE_PARENT: the child becomes process's sibling */
	/* CLONE: 0 must be passed to the kernel with CLONE_PARENT (the child gets its sibling's);
	 * here stands what the child ends up with. */
	int32_t exit_signal;
	int32_t status;	    /* EXIT */
	bool on;	    /* SUBREAPER */
	const char *reason; /* why: "so that it is born in session 12"; never NULL */
};

struct plan {
	struct plan_process *processes;
	size_t n_processes;
	size_t n_tree_processes;
	struct plan_step *steps;
	size_t n_steps;
	enum plan_root_session root_session;
	int32_t root_exit_signal;
	uint64_t effort; /* what the search cost, in inferences */
};
