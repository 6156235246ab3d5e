/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process groups. While the tree grows, only those groups are founded that somebody must be born
 * into; everybody else is in the group of its forker. Then
 *   1. each group is founded: by the process with its number, or by a scaffold that has it;
 *   2. terminals get their foreground group, which may be one that nobody stays in (foreground.c);
 *   3. those who found no group join theirs, or are put there by a parent who sees it;
 *   4. founders that are in another group than their own join that, once all who have left for their
 *      own group are there; where founders wait for one another in a circle, a scaffold forked
 *      into one of the groups keeps it alive;
 *   5. the scaffolds go.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tree/builder.h"

struct groups {
	struct builder *bu;
	uint32_t *expected; /* by group: founders that are yet to join it */
};

static uint32_t final_group(const struct builder *bu, uint32_t process)
{
	return bu->birth->nodes[process].group;
}

static int setpgid_step(struct builder *bu, uint32_t actor, uint32_t process, uint32_t group,
			const char *why)
{
	struct plan_step *step;

	step = builder_step(bu, PLAN_SETPGID, actor, why, bu->birth->groups[group].number);
	if (!step)
		return -ENOMEM;
	step->target = process;
	step->group = bu->groups[group].founder;
	if (step->group == PLAN_NONE)
		step->outside_group = bu->groups[group].outside;
	bu->place[process].group = group;
	return 0;
}

int groups_join(struct builder *bu, uint32_t process, uint32_t group, const char *why)
{
	return setpgid_step(bu, process, process, group, why);
}

static int add_keeper(struct builder *bu, uint32_t process)
{
	uint32_t *kept;

	kept = arena_append(bu->birth->arena, &bu->keepers, &bu->n_keepers, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	*kept = process;
	return 0;
}

/* A scaffold forked by @forker, so in its session and its present group. */
static int fork_keeper(struct builder *bu, uint32_t forker, uint32_t group, enum plan_role role,
		       uint32_t *ret_keeper)
{
	const struct birth_group *g = &bu->birth->groups[group];
	const int32_t *numbers = role == PLAN_ROLE_LEADER ? g->numbers : NULL;
	uint32_t ns = role == PLAN_ROLE_LEADER ? g->ns : bu->place[forker].ns;
	char why[64];

	(void)snprintf(why, sizeof(why), "scaffold: keeps group %d alive", g->number);
	if (births_helper(bu, forker, ns, numbers, role, g->session, why, ret_keeper) < 0)
		return -ENOMEM;
	return add_keeper(bu, *ret_keeper);
}

int groups_ensure(struct builder *bu, uint32_t group, uint32_t process)
{
	struct builder_group *g = &bu->groups[group];

	if (g->founded)
		return 0;
	g->founded = true;
	if (bu->birth->groups[group].leader != BIRTH_NONE)
		return 0;
	if (bu->birth->groups[group].number == 0)
		return outside_pair(bu, bu->birth->groups[group].session, group, &g->outside);
	if (g->founder == PLAN_NONE &&
	    fork_keeper(bu, process, group, PLAN_ROLE_LEADER, &g->founder) < 0)
		return -ENOMEM;
	return groups_join(bu, g->founder, group, "founds group %d");
}

/* ---- members */

/* Somebody who sees the group, and so can found it; else that is left to who puts members there. */
static uint32_t who_sees(const struct builder *bu, uint32_t group)
{
	for (uint32_t i = 0; i < bu->tree->n_processes; i++)
		if (final_group(bu, i) == group &&
		    tree_ns_is_in(bu->tree, bu->birth->groups[group].ns, bu->place[i].ns))
			return i;
	return PLAN_NONE;
}

int groups_move(struct builder *bu, uint32_t process, uint32_t group)
{
	uint32_t actor = bu->place[process].born_under;

	if (groups_ensure(bu, group, actor) < 0 ||
	    setpgid_step(bu, actor, process, group, "goes to group %d, which it does not see") < 0)
		return -ENOMEM;
	if (actor == PLAN_NONE)
		bu->plan->steps[bu->plan->n_steps - 1].outside = bu->place[process].leader;
	return 0;
}

/* By itself, or by the scaffold that it was born under. */
static int go_to_group(struct builder *bu, uint32_t process, const char *why)
{
	uint32_t group = final_group(bu, process);

	if (!tree_ns_is_in(bu->tree, bu->birth->groups[group].ns, bu->place[process].ns))
		return groups_move(bu, process, group);
	if (groups_ensure(bu, group, process) < 0)
		return -ENOMEM;
	return groups_join(bu, process, group, why);
}

static bool founds_group(const struct builder *bu, uint32_t process)
{
	uint32_t founds = bu->place[process].founds;

	return founds != BIRTH_NONE && bu->groups[founds].founded;
}

static int found_groups(struct builder *bu)
{
	for (uint32_t g = 0; g < bu->birth->n_groups; g++) {
		uint32_t founder = bu->groups[g].founder;

		if (bu->birth->groups[g].number == 0 || bu->groups[g].founded)
			continue;
		if (founder == PLAN_NONE)
			founder = who_sees(bu, g);
		if (founder == PLAN_NONE)
			continue;
		if (groups_ensure(bu, g, founder) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int join_members(struct builder *bu)
{
	for (uint32_t i = 0; i < bu->tree->n_processes; i++)
		if (bu->place[i].group != final_group(bu, i) && !founds_group(bu, i) &&
		    go_to_group(bu, i, "is in group %d") < 0)
			return -ENOMEM;
	return 0;
}

/* ---- founders in other groups than their own */

static bool leaves(const struct builder *bu, uint32_t process)
{
	return founds_group(bu, process) && bu->place[process].group != final_group(bu, process);
}

/* The founder of a group leaves it, and then those who waited for that, as far as they are free. */
static int leave_in_turn(struct groups *gs, uint32_t process)
{
	struct builder *bu = gs->bu;

	while (process != PLAN_NONE && leaves(bu, process) &&
	       !gs->expected[bu->place[process].founds]) {
		uint32_t group = final_group(bu, process);

		if (go_to_group(bu, process, "leaves its own group for %d") < 0)
			return -ENOMEM;
		gs->expected[group]--;
		process = bu->groups[group].founder;
		if (process != PLAN_NONE && !builder_in_tree(bu, process))
			return 0;
	}
	return 0;
}

static int leave_all(struct groups *gs)
{
	struct builder *bu = gs->bu;

	gs->expected = arena_new_n(bu->birth->arena, uint32_t, bu->birth->n_groups);
	if (!gs->expected)
		return -ENOMEM;
	for (uint32_t i = 0; i < bu->tree->n_processes; i++)
		if (leaves(bu, i))
			gs->expected[final_group(bu, i)]++;
	for (uint32_t i = 0; i < bu->tree->n_processes; i++)
		if (leave_in_turn(gs, i) < 0)
			return -ENOMEM;
	/* What is left are circles: one scaffold opens each. */
	for (uint32_t i = 0; i < bu->tree->n_processes; i++) {
		uint32_t keeper, founds = bu->place[i].founds;

		if (!leaves(bu, i))
			continue;
		if (fork_keeper(bu, i, founds, PLAN_ROLE_SCAFFOLD, &keeper) < 0)
			return -ENOMEM;
		gs->expected[founds] = 0;
		if (leave_in_turn(gs, i) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Nobody goes back to a group that neither it nor its parent sees. */
static int check_way_back(const struct builder *bu)
{
	for (uint32_t i = 0; i < bu->tree->n_processes; i++) {
		uint32_t group = final_group(bu, i), founds = bu->place[i].founds;
		const struct birth_group *g = &bu->birth->groups[group];

		if (founds == BIRTH_NONE || founds == group || builder_group_is_set(bu, i) ||
		    tree_ns_is_in(bu->tree, g->ns, bu->place[i].ns))
			continue;
		return err_msg(bu->ctx, -EDOM,
			       "group %d has members, so that process %d must have been in it, but "
			       "it is in a group outside, which cannot be entered from within",
			       bu->birth->groups[founds].number, TREE_PID(bu->tree, i));
	}
	return 0;
}

static int dismiss_keepers(struct builder *bu)
{
	for (size_t i = 0; i < bu->n_keepers; i++)
		if (births_dismiss(bu, bu->keepers[i], "its group has members now") < 0)
			return -ENOMEM;
	return 0;
}

int groups_plan(struct builder *bu)
{
	struct groups gs = {.bu = bu};
	int r;

	r = check_way_back(bu);
	if (r < 0)
		return r;
	if (found_groups(bu) < 0)
		return err_oom(bu->ctx);
	r = foregrounds_set(bu);
	if (r < 0)
		return r;
	if (join_members(bu) < 0 || leave_all(&gs) < 0 || dismiss_keepers(bu) < 0)
		return err_oom(bu->ctx);
	return 0;
}
