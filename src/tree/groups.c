/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process groups. While the tree grows nobody calls setpgid, so everybody is in the group of the
 * session's leader. Then
 *   1. each group is founded: by the process with its number, or by a scaffold that has it;
 *   2. terminals get their foreground group, which may be one that nobody stays in;
 *   3. those who found no group join theirs;
 *   4. founders that are in another group than their own join that, once all who have left for their
 *      own group are there; where founders wait for one another in a circle, a scaffold forked
 *      into one of the groups keeps it alive;
 *   5. the scaffolds go.
 */
#include <errno.h>

#include "tree/builder.h"

struct group {
	int32_t number;
	uint32_t founder;  /* plan process that has the number */
	uint32_t member;   /* a tree process in its session */
	uint32_t expected; /* founders that are yet to join it */
	bool leaves;	   /* the founder is in another group in the end */
};

struct groups {
	struct builder *bu;
	struct group *group;
	size_t n;
	struct idmap by_number; /* to group */
	uint32_t *scaffolds;
	size_t n_scaffolds;
};

static int find_group(struct groups *g, int32_t number, uint32_t member)
{
	struct group *group;

	if (idmap_get(&g->by_number, 0, number) != IDMAP_NONE)
		return 0;
	group = arena_append(g->bu->birth->arena, &g->group, &g->n, sizeof(*group));
	if (!group || idmap_set(&g->by_number, 0, number, (uint32_t)(g->n - 1)) < 0)
		return -ENOMEM;
	*group = (struct group){.number = number, .founder = PLAN_NONE, .member = member};
	return 0;
}

static struct group *group_with(const struct groups *g, int32_t number)
{
	uint32_t i = idmap_get(&g->by_number, 0, number);

	return i == IDMAP_NONE ? NULL : &g->group[i];
}

/* A foreground group whose number has passed to a process of another session can't be made again. */
static int number_has_passed(const struct groups *g, int32_t number, uint32_t process)
{
	return err_msg(
		g->bu->ctx, -EOPNOTSUPP,
		"the foreground group %d of the terminal of process %d is gone and its number "
		"is in use again",
		number, builder_number(g->bu, process));
}

/* The foreground group of @process's terminal, with members or not. */
static int find_foreground(struct groups *g, uint32_t process)
{
	const struct tree *tree = g->bu->tree;
	const struct tree_process *p = &tree->processes[process];
	const struct group *group;

	if (!p->tty || !p->tty_pgrp || p->tty_pgrp == p->sid[0])
		return 0;
	if (find_group(g, p->tty_pgrp, process) < 0)
		return err_oom(g->bu->ctx);
	group = group_with(g, p->tty_pgrp);
	if (tree->processes[group->member].sid[0] != p->sid[0])
		return number_has_passed(g, p->tty_pgrp, process);
	return 0;
}

/* The group that a session's members are born into does not count. */
static int find_groups(struct groups *g)
{
	const struct tree *tree = g->bu->tree;
	int r = 0;

	for (uint32_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];

		if (p->pgid[0] && p->pgid[0] != p->sid[0] && find_group(g, p->pgid[0], i) < 0)
			return err_oom(g->bu->ctx);
	}
	for (uint32_t i = 0; i < tree->n_processes && r == 0; i++)
		r = find_foreground(g, i);
	return r;
}

static int join(struct groups *g, uint32_t process, uint32_t founder, const char *why)
{
	struct plan_step *step;
	int32_t number = founder == PLAN_NONE ? 0 : builder_number(g->bu, founder);

	step = builder_step(g->bu, PLAN_SETPGID, process, why, number);
	if (!step)
		return -ENOMEM;
	step->target = process;
	step->group = founder;
	return 0;
}

/* A scaffold forked by @forker, so in its session and its present group. */
static int fork_scaffold(struct groups *g, uint32_t forker, enum plan_role role, int32_t number,
			 int32_t group, uint32_t *ret_scaffold)
{
	struct plan_step *step;
	uint32_t *kept;

	kept = arena_append(g->bu->birth->arena, &g->scaffolds, &g->n_scaffolds, sizeof(*kept));
	if (!kept || builder_process(g->bu, role, number, ret_scaffold) < 0)
		return -ENOMEM;
	*kept = *ret_scaffold;
	g->bu->place[*ret_scaffold].forker = g->bu->place[*ret_scaffold].born_under = forker;
	step = builder_step(g->bu, PLAN_CLONE, forker, "scaffold: keeps group %d alive", group);
	if (!step)
		return -ENOMEM;
	step->child = *ret_scaffold;
	step->exit_signal = g->bu->place[*ret_scaffold].exit_signal;
	return 0;
}

static int found(struct groups *g, struct group *group)
{
	struct builder *bu = g->bu;
	uint32_t holder = idmap_get(&bu->numbers, 0, group->number);
	const struct tree_process *member = &bu->tree->processes[group->member];

	if (holder < bu->tree->n_processes) {
		const struct tree_process *p = &bu->tree->processes[holder];

		if (p->sid[0] != member->sid[0] || p->sid[0] == p->pid[0])
			return number_has_passed(g, group->number, group->member);
		group->founder = holder;
		group->leaves = p->pgid[0] != p->pid[0];
	} else if (holder < BUILDER_RESERVED) {
		return number_has_passed(g, group->number, group->member);
	} else if (fork_scaffold(g, group->member, PLAN_ROLE_LEADER, group->number, group->number,
				 &group->founder) < 0) {
		return err_oom(bu->ctx);
	}
	return join(g, group->founder, group->founder, "founds group %d") < 0 ? err_oom(bu->ctx)
									      : 0;
}

/* Who founded the group that @process is to be in. */
static uint32_t destination(const struct groups *g, uint32_t process)
{
	int32_t number = g->bu->tree->processes[process].pgid[0];
	const struct group *group = group_with(g, number);

	if (group)
		return group->founder;
	return number ? g->bu->place[process].session : PLAN_NONE;
}

static int join_members(struct groups *g)
{
	const struct tree *tree = g->bu->tree;

	for (uint32_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];

		if (p->pgid[0] == 0 || p->pgid[0] == p->sid[0] || group_with(g, p->pid[0]))
			continue;
		if (join(g, i, destination(g, i), "is in group %d") < 0)
			return -ENOMEM;
	}
	return 0;
}

/* The founder of @group leaves it; returns the group it goes to, if somebody waits for that. */
static int leave(struct groups *g, struct group *group, struct group **ret_next)
{
	struct group *next;

	if (join(g, group->founder, destination(g, group->founder), "leaves its own group for %d") <
	    0)
		return -ENOMEM;
	group->leaves = false;
	next = group_with(g, g->bu->tree->processes[group->founder].pgid[0]);
	if (next)
		next->expected--;
	*ret_next = next;
	return 0;
}

static int leave_in_turn(struct groups *g, struct group *group)
{
	while (group && group->leaves && !group->expected)
		if (leave(g, group, &group) < 0)
			return -ENOMEM;
	return 0;
}

/* Out of a container no group outside can be named, so that nobody goes back to one from within. */
static int check_way_back(struct groups *g)
{
	const struct tree *tree = g->bu->tree;

	for (size_t i = 0; i < g->n && tree->container; i++) {
		const struct group *group = &g->group[i];

		if (!group->leaves || tree->processes[group->founder].pgid[0])
			continue;
		if (group->founder == 0)
			return err_msg(
				g->bu->ctx, -EOPNOTSUPP,
				"group %d has members, but init is in a group outside, which only "
				"its parent outside can put it back into: not supported yet",
				group->number);
		return err_msg(g->bu->ctx, -EDOM,
			       "group %d has members, so that process %d must have been in it, but "
			       "it is in a group outside, which cannot be entered from within",
			       group->number, group->number);
	}
	return 0;
}

static int leave_all(struct groups *g)
{
	for (size_t i = 0; i < g->n; i++) {
		struct group *next =
			g->group[i].leaves
				? group_with(g, g->bu->tree->processes[g->group[i].founder].pgid[0])
				: NULL;

		if (next)
			next->expected++;
	}
	for (size_t i = 0; i < g->n; i++)
		if (leave_in_turn(g, &g->group[i]) < 0)
			return -ENOMEM;
	/* What is left are circles: one scaffold opens each. */
	for (size_t i = 0; i < g->n; i++) {
		struct group *group = &g->group[i], *next;
		uint32_t scaffold;

		if (!group->leaves)
			continue;
		if (fork_scaffold(g, group->founder, PLAN_ROLE_SCAFFOLD, 0, group->number,
				  &scaffold) < 0 ||
		    leave(g, group, &next) < 0 || leave_in_turn(g, next) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int set_foregrounds(struct groups *g)
{
	const struct tree *tree = g->bu->tree;

	for (uint32_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];
		const struct group *group = group_with(g, p->tty_pgrp);
		struct plan_step *step;

		if (!p->tty || !group)
			continue;
		step = builder_step(g->bu, PLAN_TTY_FOREGROUND, i, "foreground of its terminal");
		if (!step)
			return -ENOMEM;
		step->group = group->founder;
		step->tty = p->tty;
	}
	return 0;
}

static int dismiss_scaffolds(struct groups *g)
{
	for (size_t i = 0; i < g->n_scaffolds; i++) {
		uint32_t scaffold = g->scaffolds[i];
		struct plan_step *step;

		if (!builder_step(g->bu, PLAN_EXIT, scaffold, "its group has members now"))
			return -ENOMEM;
		step = builder_step(g->bu, PLAN_WAIT, g->bu->place[scaffold].born_under,
				    "%d is not of the tree", builder_number(g->bu, scaffold));
		if (!step)
			return -ENOMEM;
		step->child = scaffold;
	}
	return 0;
}

int groups_plan(struct builder *bu)
{
	struct groups g = {.bu = bu, .by_number = {.arena = bu->birth->arena}};

	int r = find_groups(&g);

	for (size_t i = 0; i < g.n && r == 0; i++)
		r = found(&g, &g.group[i]);
	if (r < 0)
		return r;
	r = check_way_back(&g);
	if (r < 0)
		return r;
	if (set_foregrounds(&g) < 0 || join_members(&g) < 0 || leave_all(&g) < 0 ||
	    dismiss_scaffolds(&g) < 0)
		return err_oom(bu->ctx);
	return 0;
}
