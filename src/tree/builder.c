/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/builder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct plan_step *builder_step(struct builder *bu, enum plan_op op, uint32_t process,
			       const char *fmt, ...)
{
	struct plan_step *step;
	char text[200];
	va_list ap;

	step = arena_append(bu->arena, &bu->plan->steps, &bu->plan->n_steps, sizeof(*step));
	if (!step)
		return NULL;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*step = (struct plan_step){
		.op = op,
		.process = process,
		.child = PLAN_NONE,
		.target = PLAN_NONE,
		.group = PLAN_NONE,
		.reason = arena_strdup(bu->arena, text),
	};
	return step->reason ? step : NULL;
}

/* Near the root's own number: on a host, low ones are likely to be taken. */
static int32_t free_number(struct builder *bu, uint32_t ns)
{
	int32_t *next = &bu->next_number[ns];
	int32_t end = bu->tree->pid_ns[ns].pid_max;

	if (end <= RESERVED_PIDS || end > TREE_MAX_PID)
		end = TREE_MAX_PID;
	for (int32_t tries = 0; idmap_get(&bu->numbers, ns, *next) != IDMAP_NONE || *next >= end;) {
		if (++*next >= end)
			*next = 2;
		if (++tries > end) /* nothing below pid_max is free: the kernel has room above */
			end = TREE_MAX_PID;
	}
	return (*next)++;
}

/* Chooses what is 0 of @numbers, and takes note of all. */
static int take_numbers(struct builder *bu, uint32_t ns, int32_t *numbers, uint32_t process)
{
	for (uint32_t level = bu->tree->pid_ns[ns].level + 1; level-- > 0;
	     ns = bu->tree->pid_ns[ns].parent) {
		if (!numbers[level])
			numbers[level] = free_number(bu, ns);
		if (idmap_set(&bu->numbers, ns, numbers[level], process) < 0)
			return -ENOMEM;
	}
	return 0;
}

int builder_process(struct builder *bu, enum plan_role role, uint32_t ns, const int32_t *numbers,
		    uint32_t *ret_process)
{
	struct plan *plan = bu->plan;
	unsigned int levels = bu->tree->pid_ns[ns].level + 1;
	struct plan_process *p;
	struct placement *place;
	int32_t *own;

	p = arena_append(bu->arena, &plan->processes, &plan->n_processes, sizeof(*p));
	place = arena_append(bu->birth->arena, &bu->place, &bu->n_place, sizeof(*place));
	own = arena_new_n(bu->arena, int32_t, levels);
	if (!p || !place || !own)
		return -ENOMEM;
	if (numbers)
		memcpy(own, numbers, levels * sizeof(*own));
	*ret_process = (uint32_t)(plan->n_processes - 1);
	*p = (struct plan_process){.role = role, .pid_ns = ns, .n_pid = levels, .pid = own};
	*place = (struct placement){
		.forker = PLAN_NONE,
		.born_under = PLAN_NONE,
		.heir = PLAN_NONE,
		.exit_signal = SIGCHLD,
		.ns = ns,
		.joins = BIRTH_NONE,
		.group = BIRTH_NONE,
		.founds = BIRTH_NONE,
		.scaffolds = PLAN_NONE,
		.next_scaffold = PLAN_NONE,
		.children = {PLAN_NONE, PLAN_NONE},
		.last_child = {PLAN_NONE, PLAN_NONE},
		.next_child = PLAN_NONE,
	};
	return take_numbers(bu, ns, own, *ret_process);
}

/* Numbers of groups and sessions: whoever leads them gets an index later, if it has none yet. */
static int reserve(struct builder *bu, uint32_t ns, const int32_t *numbers)
{
	for (uint32_t level = bu->tree->pid_ns[ns].level + 1; level-- > 0;
	     ns = bu->tree->pid_ns[ns].parent)
		if (numbers[level] && idmap_get(&bu->numbers, ns, numbers[level]) == IDMAP_NONE &&
		    idmap_set(&bu->numbers, ns, numbers[level], BUILDER_RESERVED) < 0)
			return -ENOMEM;
	return 0;
}

static int reserve_numbers(struct builder *bu)
{
	const struct tree *tree = bu->tree;

	for (size_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];

		if (reserve(bu, p->pid_ns, p->pid) < 0 || reserve(bu, p->pid_ns, p->sid) < 0 ||
		    reserve(bu, p->pid_ns, p->pgid) < 0 || reserve(bu, 0, &p->tty_pgrp) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < tree->n_pid_ns; i++)
		bu->next_number[i] = 2;
	if (!tree->container)
		bu->next_number[0] = tree->processes[0].pid[0];
	return 0;
}

static enum plan_role role_of(const struct birth_node *node)
{
	if (!node->dead)
		return PLAN_ROLE_TREE;
	return node->number ? PLAN_ROLE_LEADER : PLAN_ROLE_SCAFFOLD;
}

static int add_node(struct builder *bu, uint32_t i)
{
	const struct birth_node *node = &bu->birth->nodes[i];
	uint32_t process = PLAN_NONE;
	struct placement *place;

	if (builder_process(bu, role_of(node), node->ns, node->numbers, &process) < 0)
		return -ENOMEM;
	if (builder_in_tree(bu, i))
		bu->plan->processes[process].id = bu->tree->processes[i].id;
	place = &bu->place[process];
	place->forker = node->forker == BIRTH_NONE ? PLAN_NONE : node->forker;
	place->session = node->session;
	place->birth = node->birth;
	place->exit_signal = node->exit_signal;
	memcpy(place->table, node->table, sizeof(place->table));
	if (node->init)
		bu->ns_init[node->ns] = process;
	return 0;
}

static int init_arrays(struct builder *bu)
{
	struct arena *scratch = bu->birth->arena;
	size_t n_ns = bu->tree->n_pid_ns;

	bu->numbers.arena = scratch;
	bu->subreaper = PLAN_NONE;
	bu->next_number = arena_new_n(scratch, int32_t, n_ns);
	bu->ns_init = arena_new_n(scratch, uint32_t, n_ns);
	bu->groups = arena_new_n(scratch, struct builder_group, bu->birth->n_groups + 1);
	if (!bu->next_number || !bu->ns_init || !bu->groups)
		return -ENOMEM;
	for (size_t i = 0; i < n_ns; i++)
		bu->ns_init[i] = PLAN_NONE;
	for (size_t i = 0; i < bu->birth->n_groups; i++)
		bu->groups[i] = (struct builder_group){
			.founder = bu->birth->groups[i].leader, /* BIRTH_NONE is PLAN_NONE */
			.outside = PLAN_NONE,
		};
	bu->outside = (struct placement){
		.children = {PLAN_NONE, PLAN_NONE},
		.last_child = {PLAN_NONE, PLAN_NONE},
		.scaffolds = PLAN_NONE,
		.exit_signal = SIGCHLD,
	};
	return 0;
}

/* Groups that a living process founded, which is no session leader. */
static void find_founders(struct builder *bu)
{
	for (uint32_t g = 0; g < bu->birth->n_groups; g++) {
		const struct birth_group *group = &bu->birth->groups[g];
		uint32_t founder = idmap_get(&bu->numbers, 0, group->number);

		if (group->leader != BIRTH_NONE || !builder_in_tree(bu, founder))
			continue;
		bu->groups[g].founder = founder;
		bu->place[founder].founds = g;
	}
}

/* It is moved on the way, is not born into its group, or leaves that to found its own, and cannot go there itself. */
bool builder_group_is_set(const struct builder *bu, uint32_t process)
{
	const struct birth_node *node;
	uint32_t founds = bu->place[process].founds;

	if (process >= bu->birth->n_nodes)
		return false;
	node = &bu->birth->nodes[process];
	if (node->is_moved)
		return true;
	return !node->dead && node->group_is_set &&
	       (node->birth_group != node->group ||
		(founds != BIRTH_NONE && founds != node->group));
}

int builder_init(struct builder *bu)
{
	if (init_arrays(bu) < 0 || reserve_numbers(bu) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < bu->birth->n_nodes; i++)
		if (add_node(bu, i) < 0)
			return -ENOMEM;
	bu->plan->n_tree_processes = bu->tree->n_processes;
	find_founders(bu);
	return 0;
}
