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
static int32_t free_number(struct builder *bu)
{
	while (idmap_get(&bu->numbers, 0, bu->next_number) != IDMAP_NONE)
		if (++bu->next_number >= TREE_MAX_PID)
			bu->next_number = 2;
	return bu->next_number++;
}

int builder_process(struct builder *bu, enum plan_role role, int32_t number, uint32_t *ret_process)
{
	struct plan *plan = bu->plan;
	struct plan_process *p;
	struct placement *place;

	p = arena_append(bu->arena, &plan->processes, &plan->n_processes, sizeof(*p));
	place = arena_append(bu->arena, &bu->place, &bu->n_place, sizeof(*place));
	if (!p || !place)
		return -ENOMEM;
	*ret_process = (uint32_t)(plan->n_processes - 1);
	if (!number)
		number = free_number(bu);
	*p = (struct plan_process){
		.role = role,
		.n_pid = 1,
		.pid = arena_memdup(bu->arena, &number, sizeof(number)),
	};
	*place = (struct placement){
		.forker = PLAN_NONE,
		.born_under = PLAN_NONE,
		.heir = PLAN_NONE,
		.exit_signal = SIGCHLD,
		.scaffolds = PLAN_NONE,
		.next_scaffold = PLAN_NONE,
		.children = {PLAN_NONE, PLAN_NONE},
		.last_child = {PLAN_NONE, PLAN_NONE},
		.next_child = PLAN_NONE,
	};
	if (!p->pid || idmap_set(&bu->numbers, 0, number, *ret_process) < 0)
		return -ENOMEM;
	return 0;
}

/* Numbers of groups and sessions: whoever leads them gets an index later, if it has none yet. */
static int reserve(struct builder *bu, int32_t number)
{
	if (number == 0 || idmap_get(&bu->numbers, 0, number) != IDMAP_NONE)
		return 0;
	return idmap_set(&bu->numbers, 0, number, BUILDER_RESERVED);
}

static int reserve_numbers(struct builder *bu)
{
	const struct tree *tree = bu->tree;

	for (size_t i = 0; i < tree->n_processes; i++) {
		const struct tree_process *p = &tree->processes[i];

		if (reserve(bu, p->pid[0]) < 0 || reserve(bu, p->sid[0]) < 0 ||
		    reserve(bu, p->pgid[0]) < 0 || reserve(bu, p->tty_pgrp) < 0)
			return -ENOMEM;
	}
	bu->next_number = tree->container ? 2 : tree->processes[0].pid[0];
	return 0;
}

static enum plan_role role_of(const struct birth_node *node)
{
	if (!node->dead)
		return PLAN_ROLE_TREE;
	return node->number ? PLAN_ROLE_LEADER : PLAN_ROLE_SCAFFOLD;
}

int builder_init(struct builder *bu)
{
	const struct birth *b = bu->birth;

	bu->numbers.arena = bu->birth->arena;
	bu->subreaper = PLAN_NONE;
	if (reserve_numbers(bu) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < b->n_nodes; i++) {
		const struct birth_node *node = &b->nodes[i];
		uint32_t process = PLAN_NONE;
		struct placement *place;

		if (builder_process(bu, role_of(node), node->number, &process) < 0)
			return -ENOMEM;
		if (i < bu->tree->n_processes)
			bu->plan->processes[process].id = bu->tree->processes[i].id;
		place = &bu->place[process];
		place->forker = node->forker == BIRTH_NONE ? PLAN_NONE : node->forker;
		place->session = node->session;
		place->exit_signal = node->exit_signal;
		memcpy(place->table, node->table, sizeof(place->table));
	}
	bu->plan->n_tree_processes = bu->tree->n_processes;
	return 0;
}
