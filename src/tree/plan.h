/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan: the steps that grow a process tree, as a pure value. It is printed (tree/print.h),
 * replayed on the model kernel (tree/model.h) and executed with puppets (checkpoint/grow.c).
 *
 * Processes are named by their index in plan.processes. Index 0 is the tree root, which exists
 * before the first step with its own number: as a child of the coordinator, in its PID namespace (as
 * whose init it was made, where the tree is a container), with no controlling terminal but (shell
 * job) the restorer's, and in the session and group of plan.outside[0]. Then come the other
 * processes of the tree in the order of tree.processes (so below plan.n_tree_processes plan and tree
 * index are the same), then dead leaders and scaffolds, which are gone when the plan has ended.
 *
 * Steps stand in an order that works; nothing else may be assumed of it, except that clones by one
 * process stand together where they can, so that they fit into one call table.
 *
 * Namespaces. Every process of the plan is born in the first user namespace (tree.user_ns[0]) and
 * acts from there until its PLAN_USER_JOIN, which stands as late as it can. "Active" is the PID
 * namespace that a process lives in, for good; *pid_ns_for_children* is where its next child would
 * be born, the active one unless a step says otherwise. Descriptors of namespaces are the executor's
 * affair: that of a PID namespace can be had as soon as its init or (PIDFD_GET_PID_FOR_CHILDREN_
 * NAMESPACE, or the process's own unshare()) the process of PLAN_NS_NEW is there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_NONE UINT32_MAX

enum plan_op {
	/*
	 * process clones child: flags (CLONE_* without the signal byte, and without CLONE_NEWPID),
	 * exit_signal, set_tid on all levels of the child (child's pid, innermost first). The child is
	 * born in pid_ns:
	 *   - that is where process is active: a plain clone;
	 *   - new_pid_ns: clone with CLONE_NEWPID; process is active in the parent of pid_ns;
	 *   - else process (which may be of any namespace above) calls setns(pid_ns, CLONE_NEWPID)
	 *     before and setns(its own) after, so that its pid_ns_for_children is as it was. pid_ns
	 *     has an init, or PLAN_NS_NEW has made it and the child is born as its init.
	 * The child's pid_ns_for_children is pid_ns.
	 *
	 * process PLAN_NONE: from outside. The leader of plan.outside[outside] is the forker (for
	 * outside 0 the same way as the root was made), by the third of the ways above unless pid_ns is
	 * its own. flags has CLONE_PARENT: the child becomes a child of the coordinator. Without it the
	 * child is one of that leader, who must not exit before a PLAN_SETPGID by PLAN_NONE for this
	 * child is done; then, as all leaders outside, it exits with the coordinator as subreaper.
	 */
	PLAN_CLONE,
	PLAN_SETSID, /* process */
	/*
	 * process puts target (itself or a child) into the group led by group; group PLAN_NONE: into
	 * the group of plan.outside[outside_group]. Numbers are resolved in process's active namespace.
	 * process PLAN_NONE: the leader of plan.outside[outside], whose child target is.
	 */
	PLAN_SETPGID,
	/* process sets or clears (on) PR_SET_CHILD_SUBREAPER; PLAN_NONE: the coordinator does, so that
	 * orphans of a tree that is no container become its children. */
	PLAN_SUBREAPER,
	/*
	 * process dies with status, as wait() gives it, and becomes a zombie; its children are
	 * adopted. Zombies of the tree stay; any other is reaped by a PLAN_WAIT that follows. The
	 * init of a namespace dies only when nobody else is in it.
	 */
	PLAN_EXIT,
	PLAN_WAIT, /* process reaps child; PLAN_NONE: the coordinator does */
	/* process, a session leader, makes tty its controlling terminal (TIOCSCTTY); right after
	 * its setsid, so that all members born later have it. */
	PLAN_TTY_OPEN,
	PLAN_TTY_DROP, /* process, no session leader, gives up its controlling terminal (TIOCNOTTY)
			*/
	PLAN_TTY_FOREGROUND, /* process makes the group led by group the foreground of tty */
	/*
	 * The coordinator (process is PLAN_NONE) makes user namespace user_ns, whose parent is there:
	 * with a helper of its own outside the tree that joins the parent, takes the owner's ids,
	 * calls unshare(CLONE_NEWUSER), has its maps and setgroups state written, is kept as a
	 * descriptor and exits. Needs nothing of the tree; all stand at the plan's beginning.
	 */
	PLAN_USER_NEW,
	/* process joins user_ns for good: setns(CLONE_NEWUSER), from the first user namespace. It does
	 * not share TREE_FS with anybody at that time, and afterwards clones only children that share
	 * that with it: set_tid from here needs the fallback (ns_last_pid) on levels that the first
	 * user namespace owns. */
	PLAN_USER_JOIN,
	/*
	 * process, active in the parent of pid_ns, calls unshare(CLONE_NEWPID), which makes pid_ns and
	 * its pid_ns_for_children; the owner is the user namespace that process is in. pid_ns is
	 * unborn until the first clone into it, by whoever that is. Scaffolds that do this for another
	 * process fork nobody afterwards.
	 */
	PLAN_NS_NEW,
	/* process calls setns(pid_ns, CLONE_NEWPID), which stays its pid_ns_for_children; pid_ns is
	 * alive, dead or unborn, in this case had by the ioctl. */
	PLAN_NS_ENTER,
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

/*
 * A session and a group outside the tree, which processes of the tree are born into. Each has a
 * leader: a child of the coordinator, not of the tree, with a number that no process of the plan
 * needs, made before the first step, alive until the last is done, and reaped. The first pair is the
 * root's, and is made as plan.root_session says.
 */
struct plan_outside {
	/* Index of the pair whose leader founded the session. Its own: this leader calls setsid().
	 * Else: a child of that leader's that calls setpgid(0, 0). */
	uint32_t session;
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
	/* SETPGID, TTY_FOREGROUND: the plan process whose number is the group's. PLAN_NONE: a group
	 * outside (only where that can be seen: not from within a container). */
	uint32_t group;
	uint32_t outside; /* CLONE and SETPGID by PLAN_NONE: whose leader acts, in plan.outside */
	uint32_t outside_group; /* SETPGID to PLAN_NONE: whose group, in plan.outside */
	uint32_t pid_ns;	/* CLONE, NS_NEW, NS_ENTER: index in tree.pid_ns */
	bool new_pid_ns;	/* CLONE */
	uint32_t user_ns;	/* USER_NEW, USER_JOIN: index in tree.user_ns */
	uint32_t tty;		/* TTY_*: tree_process.tty */
	uint64_t flags;		/* CLONE; CLONE_PARENT: the child becomes process's sibling */
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
	struct plan_outside *outside; /* at least one */
	size_t n_outside;
	/* The root is born a child of the leader of outside[0], not of the coordinator's (see
	 * PLAN_CLONE by PLAN_NONE without CLONE_PARENT); only with PLAN_ROOT_SESSION_NEW. */
	bool root_under_leader;
	int32_t root_exit_signal;
	uint64_t effort; /* what the search cost, in inferences */
};
