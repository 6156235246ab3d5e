/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/state.h"

#include <errno.h>
#include <signal.h>

int tree_index_init(struct tree_index *index, struct arena *arena, const struct tree *tree)
{
	*index = (struct tree_index){.tree = tree, .by_pid = {.arena = arena}};
	for (size_t i = 0; i < tree->n_processes; i++)
		if (idmap_set(&index->by_pid, 0, tree->processes[i].pid[0], (uint32_t)i) < 0)
			return -ENOMEM;
	return 0;
}

static const struct tree_process *process_with(const struct tree_index *index, int32_t pid)
{
	uint32_t i = tree_find(index, pid);

	return i == IDMAP_NONE ? NULL : &index->tree->processes[i];
}

static bool is_leader(const struct tree_process *p)
{
	return p->sid[0] == p->pid[0];
}

static int check_parent(struct context *ctx, const struct tree *tree, const struct tree_process *p)
{
	if (p->parent == TREE_NONE || !tree->processes[p->parent].zombie)
		return 0;
	return err_msg(ctx, -EDOM,
		       "the parent %d of process %d is a zombie, and those have no children",
		       TREE_PID(tree, p->parent), p->pid[0]);
}

static int check_session(struct context *ctx, const struct tree_index *index,
			 const struct tree_process *p)
{
	const struct tree_process *leader = process_with(index, p->sid[0]);

	if (p->sid[0] == 0)
		return 0;
	if (leader && !is_leader(leader))
		return err_msg(
			ctx, -EDOM,
			"process %d is in session %d, but process %d is in session %d, and a "
			"leader cannot leave its session",
			p->pid[0], p->sid[0], p->sid[0], leader->sid[0]);
	if (!leader && p->sid[0] == 1)
		return err_msg(ctx, -EDOM,
			       "process %d is in session 1, whose leader, init, is missing",
			       p->pid[0]);
	return state_check_numbers(ctx, index, p, "session", p->sid);
}

/* setpgid() only ever moves within a session; setsid() fails while a group has the caller's PID. */
static int check_group(struct context *ctx, const struct tree_index *index,
		       const struct tree_process *p)
{
	const struct tree_process *leader = process_with(index, p->pgid[0]);

	if (is_leader(p) && p->pgid[0] != p->pid[0])
		return err_msg(ctx, -EDOM, "process %d leads a session but is in group %d",
			       p->pid[0], p->pgid[0]);
	if (p->pgid[0] == 0 && p->sid[0] != 0)
		return err_msg(ctx, -EDOM,
			       "the group of process %d is outside the tree but not its session",
			       p->pid[0]);
	if (leader && leader->sid[0] != p->sid[0])
		return err_msg(ctx, -EDOM, "group %d and process %d are in different sessions",
			       p->pgid[0], p->pgid[0]);
	return state_check_numbers(ctx, index, p, "group", p->pgid);
}

static int check_tables(struct context *ctx, const struct tree_process *p)
{
	for (int t = 0; t < TREE_TABLES; t++)
		if (p->zombie && p->table[t])
			return err_msg(ctx, -EDOM, "process %d is a zombie, and those have no %s",
				       p->pid[0], tree_table_name[t]);
	return 0;
}

static int check_tty(struct context *ctx, const struct tree_index *index,
		     const struct tree_process *p)
{
	const struct tree_process *leader = process_with(index, p->sid[0]);
	int r;

	if (!p->tty)
		return 0;
	if (p->sid[0] == 0) {
		if (index->tree->shell_job)
			return 0;
		r = err_msg(ctx, -EOPNOTSUPP,
			    "the controlling terminal of process %d belongs to a session outside "
			    "the tree",
			    p->pid[0]);
		return err_hint(ctx, r, "--shell-job gives it the terminal of the restoring shell");
	}
	if (!leader || leader->zombie)
		return err_msg(
			ctx, -EDOM,
			"process %d has a terminal, but the leader of session %d, whose death "
			"takes it from all members, is dead",
			p->pid[0], p->sid[0]);
	if (leader->tty != p->tty)
		return err_msg(ctx, -EDOM,
			       "the terminal of process %d is not that of its session's leader %d",
			       p->pid[0], p->sid[0]);
	return 0;
}

static int check_one(struct context *ctx, const struct tree_index *index,
		     const struct tree_process *p)
{
	int r;

	if ((r = check_parent(ctx, index->tree, p)) < 0 || (r = check_session(ctx, index, p)) < 0 ||
	    (r = check_group(ctx, index, p)) < 0 || (r = check_tables(ctx, p)) < 0)
		return r;
	return check_tty(ctx, index, p);
}

/* The shell job's session has one terminal. */
static int check_outside(struct context *ctx, const struct tree *tree)
{
	const struct tree_process *first = NULL;

	for (size_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];

		if (p->sid[0] || !p->tty)
			continue;
		if (first && first->tty != p->tty)
			return err_msg(ctx, -EDOM,
				       "processes %d and %d of one session have different "
				       "terminals",
				       first->pid[0], p->pid[0]);
		first = p;
	}
	return 0;
}

/* A session number is in use as a whole: no group of another session can have it. */
static int check_ids(struct context *ctx, const struct tree_index *index, struct arena *scratch)
{
	const struct tree *tree = index->tree;
	struct idmap session_of = {.arena = scratch}; /* group or session number to process */

	for (uint32_t i = 0; i < tree->n_processes; i++) {
		int32_t sid = tree->processes[i].sid[0];

		if (sid && idmap_set(&session_of, 0, sid, i) < 0)
			return err_oom(ctx);
	}
	for (uint32_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];
		uint32_t other = idmap_get(&session_of, 0, p->pgid[0]);

		if (other != IDMAP_NONE && tree->processes[other].sid[0] != p->sid[0])
			return err_msg(ctx, -EDOM,
				       "group %d of process %d is in session %d, but process %d is "
				       "in session %d",
				       p->pgid[0], p->pid[0], p->sid[0], TREE_PID(tree, other),
				       tree->processes[other].sid[0]);
		if (p->pgid[0] && idmap_set(&session_of, 0, p->pgid[0], i) < 0)
			return err_oom(ctx);
	}
	return 0;
}

/*
 * A working directory is shared within one user namespace (userns_install()), by a process that was
 * in there when it forked: then it could not choose PIDs on the levels above.
 */
static int check_fs(struct context *ctx, const struct tree *tree, struct arena *scratch)
{
	struct idmap first = {.arena = scratch}; /* fs to a process */

	for (uint32_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];
		uint32_t table = p->table[TREE_FS], other;

		if (!table)
			continue;
		other = idmap_get(&first, 0, (int32_t)table);
		if (other == IDMAP_NONE && idmap_set(&first, 0, (int32_t)table, i) < 0)
			return err_oom(ctx);
		if (other == IDMAP_NONE || (p->user_ns == 0 && !tree->processes[other].user_ns))
			continue;
		return err_msg(ctx,
			       p->user_ns == tree->processes[other].user_ns ? -EOPNOTSUPP : -EDOM,
			       "processes %d and %d share their working directory in a nested user "
			       "namespace, or in two",
			       TREE_PID(tree, other), p->pid[0]);
	}
	return 0;
}

static int check_sighand(struct context *ctx, const struct tree *tree, struct arena *scratch)
{
	struct idmap first = {.arena = scratch}; /* sighand to a process */

	for (uint32_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];
		uint32_t table = p->table[TREE_SIGHAND], other;

		if (!table)
			continue;
		other = idmap_get(&first, 0, (int32_t)table);
		if (other == IDMAP_NONE && idmap_set(&first, 0, (int32_t)table, i) < 0)
			return err_oom(ctx);
		if (other != IDMAP_NONE &&
		    tree->processes[other].table[TREE_VM] != p->table[TREE_VM])
			return err_msg(ctx, -EDOM,
				       "processes %d and %d share signal handlers but not the "
				       "memory that those point into",
				       TREE_PID(tree, other), p->pid[0]);
	}
	return 0;
}

/* One terminal, one session. */
static int check_ttys(struct context *ctx, const struct tree *tree, struct arena *scratch)
{
	struct idmap owner = {.arena = scratch}; /* terminal to a process that has it */

	for (uint32_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];
		uint32_t other;

		if (!p->tty)
			continue;
		other = idmap_get(&owner, 0, (int32_t)p->tty);
		if (other == IDMAP_NONE && idmap_set(&owner, 0, (int32_t)p->tty, i) < 0)
			return err_oom(ctx);
		if (other != IDMAP_NONE && tree->processes[other].sid[0] != p->sid[0])
			return err_msg(ctx, -EDOM,
				       "processes %d and %d of different sessions have the same "
				       "controlling terminal",
				       TREE_PID(tree, other), p->pid[0]);
	}
	return 0;
}

int state_check(struct context *ctx, const struct tree_index *index)
{
	const struct tree *tree = index->tree;
	struct arena scratch;
	int r;

	r = state_check_namespaces(ctx, tree);
	for (size_t i = 0; i < tree->n_processes && r == 0; i++)
		r = check_one(ctx, index, &tree->processes[i]);
	if (r < 0)
		return r;
	arena_init(&scratch, ctx);
	if ((r = check_outside(ctx, tree)) == 0 && (r = check_ids(ctx, index, &scratch)) == 0 &&
	    (r = check_sighand(ctx, tree, &scratch)) == 0 &&
	    (r = check_fs(ctx, tree, &scratch)) == 0)
		r = check_ttys(ctx, tree, &scratch);
	if (r == 0)
		r = state_check_leaders(ctx, index, &scratch);
	arena_deinit(&scratch);
	return r;
}
