/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The final tree, taken from a checkpoint.
 *
 * What is outside. A checkpoint marks numbers of sessions and groups outside the tree with 0. Where
 * a real number was kept, this much can be told without looking at the machine: the root's session
 * is outside unless the root or another process of the tree leads it, since a session is only
 * ever inherited; and so is the group that this session's leader founded. All other numbers without
 * a process are taken for those of dead leaders, which keeps them exactly.
 */
#include "tree/tree.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "tree/idmap.h"

const uint64_t tree_table_flag[TREE_TABLES] = {
	[TREE_VM] = CLONE_VM,		[TREE_FILES] = CLONE_FILES,	[TREE_FS] = CLONE_FS,
	[TREE_SIGHAND] = CLONE_SIGHAND, [TREE_SYSVSEM] = CLONE_SYSVSEM, [TREE_IO] = CLONE_IO,
};

const char *const tree_table_name[TREE_TABLES] = {
	[TREE_VM] = "memory",
	[TREE_FILES] = "descriptor table",
	[TREE_FS] = "working directory and umask",
	[TREE_SIGHAND] = "signal handlers",
	[TREE_SYSVSEM] = "semaphore undo list",
	[TREE_IO] = "I/O context",
};

static int32_t *copy_numbers(struct arena *arena, const int32_t *from, size_t n)
{
	return arena_memdup(arena, from, n * sizeof(*from));
}

static int process_from_msg(struct context *ctx, struct arena *arena, const Coppice__Process *msg,
			    size_t n_processes, struct tree_process *p)
{
	if (msg->n_pid == 0 || msg->n_pid > TREE_LEVELS || msg->n_sid != msg->n_pid ||
	    msg->n_pgid != msg->n_pid)
		return err_msg(ctx, -EBADMSG, "pid, sid and pgid have %zu, %zu and %zu levels",
			       msg->n_pid, msg->n_sid, msg->n_pgid);
	if (msg->parent > n_processes)
		return err_msg(ctx, -EBADMSG, "parent %u does not exist", msg->parent);
	*p = (struct tree_process){
		.id = msg->id,
		.parent = msg->parent ? msg->parent - 1 : TREE_NONE,
		/* images of one namespace may have no record of it */
		.pid_ns = msg->pid_ns ? msg->pid_ns - 1 : 0,
		.children_ns = msg->pid_ns_for_children ? msg->pid_ns_for_children - 1
			       : msg->pid_ns		? msg->pid_ns - 1
							: 0,
		.user_ns = msg->user_ns,
		.pid = copy_numbers(arena, msg->pid, msg->n_pid),
		.sid = copy_numbers(arena, msg->sid, msg->n_sid),
		.pgid = copy_numbers(arena, msg->pgid, msg->n_pgid),
		.outside_session = msg->outside_session,
		.outside_group = msg->outside_group,
		.zombie = msg->state == COPPICE__RUN_STATE__RUN_STATE_ZOMBIE,
		.exit_status = msg->exit_status,
		.exit_signal = msg->exit_signal,
		.tty = msg->tty,
		.tty_pgrp = msg->tty_pgrp,
	};
	if (!p->pid || !p->sid || !p->pgid)
		return err_oom(ctx);
	if (p->zombie)
		return 0; /* exit() has let go of all tables, and nobody can read the flag */
	p->subreaper = msg->subreaper;
	p->table[TREE_VM] = msg->mm;
	p->table[TREE_FILES] = msg->fd_table;
	p->table[TREE_FS] = msg->fs;
	p->table[TREE_SIGHAND] = msg->sighand;
	p->table[TREE_SYSVSEM] = msg->sysvsem;
	p->table[TREE_IO] = msg->io_context;
	return 0;
}

static enum tree_ns_state state_of(Coppice__PidNsState state)
{
	switch (state) {
	case COPPICE__PID_NS_STATE__PID_NS_ZOMBIE:
		return TREE_NS_ZOMBIE;
	case COPPICE__PID_NS_STATE__PID_NS_DEAD:
		return TREE_NS_DEAD;
	case COPPICE__PID_NS_STATE__PID_NS_UNBORN:
		return TREE_NS_UNBORN;
	default:
		return TREE_NS_LIVES;
	}
}

static int pid_ns_from_msg(struct context *ctx, const Coppice__PidNs *msg, size_t i,
			   struct tree *tree)
{
	struct tree_pid_ns *ns = &tree->pid_ns[i];

	if ((i == 0) != (msg->parent == 0) || msg->parent > i)
		return err_msg(ctx, -EBADMSG, "PID namespace %zu has parent %u", i + 1,
			       msg->parent);
	*ns = (struct tree_pid_ns){
		.parent = i ? msg->parent - 1 : TREE_NONE,
		.level = i ? tree->pid_ns[msg->parent - 1].level + 1 : 0,
		.user_ns = msg->user_ns,
		.state = state_of(msg->state),
		.pid_max = msg->pid_max,
		.last_pid = msg->last_pid,
	};
	return 0;
}

/* Ids are indexes plus 1, but user namespace 0, the one outside, has no record. */
static int namespaces_from_checkpoint(struct context *ctx, struct arena *arena,
				      const Coppice__Checkpoint *cp, struct tree *tree)
{
	int r = 0;

	tree->n_pid_ns = cp->n_pid_namespaces ? cp->n_pid_namespaces : 1;
	tree->n_user_ns = cp->n_user_namespaces + 1;
	tree->pid_ns = arena_new_n(arena, struct tree_pid_ns, tree->n_pid_ns);
	tree->user_ns = arena_new_n(arena, struct tree_user_ns, tree->n_user_ns);
	if (!tree->pid_ns || !tree->user_ns)
		return err_oom(ctx);
	tree->pid_ns[0].parent = TREE_NONE;
	tree->user_ns[0].parent = TREE_NONE;
	for (size_t i = 0; i < cp->n_user_namespaces; i++) {
		const Coppice__UserNs *msg = cp->user_namespaces[i];

		tree->user_ns[i + 1] = (struct tree_user_ns){.id = msg->id, .parent = msg->parent};
	}
	for (size_t i = 0; i < cp->n_pid_namespaces && r == 0; i++)
		r = pid_ns_from_msg(ctx, cp->pid_namespaces[i], i, tree);
	return r;
}

/* The numbers that stand for the outside; 0: there is none. */
struct outside {
	int32_t session; /* the root's, which nobody of the tree leads */
	int32_t group;	 /* the root's, likewise */
};

static struct outside find_outside(const struct idmap *by_pid, int32_t sid, int32_t pgid)
{
	return (struct outside){
		.session = idmap_get(by_pid, 0, sid) == IDMAP_NONE ? sid : 0,
		.group = idmap_get(by_pid, 0, pgid) == IDMAP_NONE ? pgid : 0,
	};
}

static void mark_outside(const struct outside *outside, int32_t *sid, int32_t *pgid)
{
	if (*sid == outside->session)
		*sid = 0;
	/* any other group without a leader in the tree was founded by somebody dead */
	if (*sid == 0 && (*pgid == outside->session || *pgid == outside->group))
		*pgid = 0;
}

static int add_number(struct context *ctx, struct idmap *by_pid, int32_t pid, size_t i)
{
	if (pid <= 0)
		return err_msg(ctx, -EBADMSG, "PID %d", pid);
	return idmap_set(by_pid, 0, pid, (uint32_t)i) < 0 ? err_oom(ctx) : 0;
}

static int mark_root(struct context *ctx, struct arena *arena, struct tree *tree)
{
	struct idmap by_pid = {.arena = arena};
	struct outside outside;

	for (size_t i = 0; i < tree->n_processes; i++) {
		int r = add_number(ctx, &by_pid, tree->processes[i].pid[0], i);

		if (r < 0)
			return r;
	}
	tree->container = tree->processes[0].pid[0] == 1;
	outside = find_outside(&by_pid, tree->processes[0].sid[0], tree->processes[0].pgid[0]);
	/* the numbers are copies of our own, see copy_numbers() */
	for (size_t i = 0; i < tree->n_processes; i++)
		mark_outside(&outside, (int32_t *)tree->processes[i].sid,
			     (int32_t *)tree->processes[i].pgid);
	return 0;
}

int tree_from_checkpoint(struct context *ctx, struct arena *arena, const Coppice__Checkpoint *cp,
			 struct tree **ret_tree)
{
	struct tree *tree = arena_new(arena, struct tree);
	int r;

	if (!tree)
		return err_oom(ctx);
	if (cp->n_processes == 0 || cp->n_processes > TREE_MAX_PROCESSES)
		return err_msg(ctx, -EBADMSG, "%zu processes, at most %d can be planned",
			       cp->n_processes, TREE_MAX_PROCESSES);
	if (cp->origin && cp->origin->root != cp->processes[0]->id)
		return err_msg(ctx, -EBADMSG, "the first process is not the tree root");
	tree->n_processes = cp->n_processes;
	tree->processes = arena_new_n(arena, struct tree_process, cp->n_processes);
	if (!tree->processes)
		return err_oom(ctx);
	r = namespaces_from_checkpoint(ctx, arena, cp, tree);
	if (r < 0)
		return r;
	tree->shell_job = cp->origin && cp->origin->shell_job;
	for (size_t i = 0; i < cp->n_processes; i++) {
		const Coppice__Process *msg = cp->processes[i];

		if (msg->id != i + 1)
			return err_msg(ctx, -EBADMSG, "process %zu has id %u", i + 1, msg->id);
		r = process_from_msg(ctx, arena, msg, cp->n_processes, &tree->processes[i]);
		if (r < 0)
			return err_while(ctx, r, "process %d", msg->n_pid ? msg->pid[0] : 0);
	}
	r = mark_root(ctx, arena, tree);
	if (r < 0)
		return r;
	r = tree_validate(ctx, tree);
	if (r < 0)
		return r;
	*ret_tree = tree;
	return 0;
}
