/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The foreground groups of terminals. A terminal keeps its foreground group (tty->ctrl.pgrp) when nobody
 * is in that any more; what TIOCGPGRP shows then is a number without a group. A scaffold founds such a
 * group, and leaves it.
 *
 * The number is free once the group is empty: a process or group of another session may have it now.
 * Whoever that is came later. So the session's leader has the group founded, made the foreground and left
 * as soon as it has its terminal, and all who need the number wait for that.
 */
#include <errno.h>
#include <string.h>

#include "tree/builder.h"

struct foregrounds {
	struct builder *bu;
	struct idmap by_number; /* birth.groups */
};

/* A group that nobody is in any more is known by its outermost number alone. */
static int lost_group(struct foregrounds *fs, uint32_t process, uint32_t *ret_group)
{
	struct birth *b = fs->bu->birth;
	uint32_t leader = b->nodes[process].session;
	struct birth_group *group;
	struct builder_group *state;
	uint32_t ns = leader < BIRTH_OUTSIDE ? b->nodes[leader].ns : 0;
	size_t n = b->n_groups;
	int32_t *numbers = arena_new_n(b->arena, int32_t, b->tree->pid_ns[ns].level + 1);

	state = arena_new_n(b->arena, struct builder_group, n + 1);
	group = arena_append(b->arena, &b->groups, &b->n_groups, sizeof(*group));
	if (!numbers || !group || !state)
		return -ENOMEM;
	memcpy(state, fs->bu->groups, n * sizeof(*state));
	fs->bu->groups = state;
	numbers[0] = b->tree->processes[process].tty_pgrp;
	*group = (struct birth_group){
		.number = numbers[0],
		.numbers = numbers,
		.ns = ns,
		.session = leader,
		.leader = BIRTH_NONE,
		.member = process,
	};
	state[n] = (struct builder_group){.founder = PLAN_NONE, .outside = PLAN_NONE};
	*ret_group = (uint32_t)n;
	return idmap_set(&fs->by_number, 0, numbers[0], *ret_group);
}

/* Who has the number, a member of the session, founds the group. */
static void find_founder(struct foregrounds *fs, uint32_t group)
{
	struct builder *bu = fs->bu;
	uint32_t holder = idmap_get(&bu->numbers, 0, bu->birth->groups[group].number);

	if (holder == BUILDER_RESERVED)
		return;
	bu->groups[group].founder = holder;
	bu->place[holder].founds = group;
}

/* The foreground group of @process's terminal, with members or not. */
static int find_foreground(struct foregrounds *fs, uint32_t process, uint32_t *ret_group)
{
	struct builder *bu = fs->bu;
	const struct tree_process *p = &bu->tree->processes[process];

	*ret_group = BIRTH_NONE;
	if (!p->tty || !p->tty_pgrp || p->tty_pgrp == p->sid[0] || bu->birth->nodes[process].lost)
		return 0;
	*ret_group = idmap_get(&fs->by_number, 0, p->tty_pgrp);
	if (*ret_group != IDMAP_NONE)
		return 0;
	if (lost_group(fs, process, ret_group) < 0)
		return -ENOMEM;
	find_founder(fs, *ret_group);
	return 0;
}

static int set_foreground(struct foregrounds *fs, uint32_t process)
{
	struct builder *bu = fs->bu;
	struct plan_step *step;
	uint32_t group;

	if (find_foreground(fs, process, &group) < 0)
		return -ENOMEM;
	if (group == BIRTH_NONE)
		return 0;
	if (groups_ensure(bu, group, process) < 0)
		return -ENOMEM;
	step = builder_step(bu, PLAN_TTY_FOREGROUND, process, "foreground of its terminal");
	if (!step)
		return -ENOMEM;
	step->group = bu->groups[group].founder;
	step->tty = bu->tree->processes[process].tty;
	return 0;
}

int foregrounds_set(struct builder *bu)
{
	struct foregrounds fs = {.bu = bu, .by_number = {.arena = bu->birth->arena}};
	int r = 0;

	for (uint32_t g = 0; g < bu->birth->n_groups; g++) {
		int32_t number = bu->birth->groups[g].number;

		if (number && idmap_set(&fs.by_number, 0, number, g) < 0)
			return err_oom(bu->ctx);
	}
	for (uint32_t i = 0; i < bu->tree->n_processes && r == 0; i++)
		r = set_foreground(&fs, i);
	return r < 0 ? err_oom(bu->ctx) : 0;
}

/* ---- groups whose number somebody else has */

/* A scaffold of @leader's with the number. It is gone before the number's owner is born. */
static int borrow_number(struct builder *bu, uint32_t leader, int32_t number, uint32_t *ret_helper)
{
	uint32_t ns = bu->place[leader].ns, owner = idmap_get(&bu->numbers, 0, number);
	int32_t numbers[TREE_LEVELS] = {number};

	if (births_helper(bu, leader, ns, numbers, PLAN_ROLE_LEADER, BIRTH_NONE,
			  "scaffold: for a foreground group whose number passes on",
			  ret_helper) < 0)
		return -ENOMEM;
	return idmap_set(&bu->numbers, 0, number, owner);
}

int foreground_lose(struct builder *bu, uint32_t leader)
{
	struct plan_step *step;
	uint32_t helper;

	bu->place[leader].has_lost = true;
	if (borrow_number(bu, leader, bu->birth->nodes[leader].lost, &helper) < 0)
		return -ENOMEM;
	step = builder_step(bu, PLAN_SETPGID, helper, "founds group %d",
			    bu->birth->nodes[leader].lost);
	if (!step)
		return -ENOMEM;
	step->target = step->group = helper;
	step = builder_step(bu, PLAN_TTY_FOREGROUND, leader, "foreground of its terminal");
	if (!step)
		return -ENOMEM;
	step->group = helper;
	step->tty = bu->tree->processes[leader].tty;
	return births_dismiss(bu, helper, "the foreground group is empty, its number free");
}

bool foreground_needs(const struct builder *bu, int32_t number)
{
	for (size_t i = 0; i < bu->birth->n_lost; i++) {
		uint32_t leader = bu->birth->lost[i];

		if (bu->birth->nodes[leader].lost == number && !bu->place[leader].has_lost)
			return true;
	}
	return false;
}
