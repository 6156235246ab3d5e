/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the model kernel as a final tree. */
#include <errno.h>
#include <stdlib.h>

#include "tree/model-internal.h"

struct writer {
	const struct model *m;
	struct arena *arena;
	struct tree *tree;
	uint32_t *ns; /* by namespace of the model: index in the tree, MODEL_NONE: left out */
};

void model_numbers(const struct model *m, uint32_t index, uint32_t ns, int32_t *ret)
{
	const struct model_pid *pid = &m->pids[index];
	uint32_t levels = m->namespaces[ns].level + 1;

	for (uint32_t level = levels; level-- > 0; ns = m->namespaces[ns].parent)
		ret[level] = pid->ns != MODEL_NONE && model_ns_is_in(m, pid->ns, ns)
				     ? pid->number[level]
				     : 0;
}

static const int32_t *numbers_of(const struct writer *wr, uint32_t pid, uint32_t ns)
{
	int32_t *numbers = arena_new_n(wr->arena, int32_t, wr->m->namespaces[ns].level + 1);

	if (numbers)
		model_numbers(wr->m, pid, ns, numbers);
	return numbers;
}

static uint32_t outside_of(const struct model *m, uint32_t pid)
{
	return m->pids[pid].ns == MODEL_NONE ? m->pids[pid].outside : 0;
}

static int write_process(const struct writer *wr, const struct model_task *t,
			 struct tree_process *p)
{
	const struct model *m = wr->m;

	*p = (struct tree_process){
		.pid_ns = wr->ns[t->ns],
		.children_ns = wr->ns[t->children_ns],
		.user_ns = t->user_ns,
		.pid = numbers_of(wr, t->pid, t->ns),
		.sid = numbers_of(wr, t->sid, t->ns),
		.pgid = numbers_of(wr, t->pgid, t->ns),
		.outside_session = outside_of(m, t->sid),
		.outside_group = outside_of(m, t->pgid),
		.subreaper = t->subreaper,
		.zombie = t->state == MODEL_ZOMBIE,
		.exit_status = t->exit_status,
		.exit_signal = t->exit_signal,
		.tty = t->tty,
		.tty_pgrp = t->tty && model_is_leader(t) ? model_foreground(m, t->tty) : 0,
		.parent = t->parent, /* a task, for now */
	};
	for (int i = 0; i < TREE_TABLES; i++)
		p->table[i] = t->table[i];
	return p->pid && p->sid && p->pgid ? 0 : -ENOMEM;
}

static int compare_pids(const void *a, const void *b)
{
	const struct tree_process *p = a, *q = b;

	return (p->pid[0] > q->pid[0]) - (p->pid[0] < q->pid[0]);
}

/* Parents are tasks until the order of the processes is known. */
static int resolve_parents(const struct writer *wr)
{
	struct idmap by_pid = {.arena = wr->arena};
	const struct model *m = wr->m;
	struct tree *tree = wr->tree;

	for (size_t i = 0; i < tree->n_processes; i++)
		if (idmap_set(&by_pid, 0, tree->processes[i].pid[0], (uint32_t)i) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < tree->n_processes; i++) {
		struct tree_process *p = &tree->processes[i];

		p->id = (uint32_t)i + 1;
		if (p->parent != MODEL_NONE)
			p->parent =
				idmap_get(&by_pid, 0, m->pids[m->tasks[p->parent].pid].number[0]);
	}
	return 0;
}

static int write_processes(const struct writer *wr)
{
	const struct model *m = wr->m;
	struct tree *tree = wr->tree;

	tree->processes = arena_new_n(wr->arena, struct tree_process, m->n_tasks);
	if (!tree->processes)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_tasks; i++) {
		if (m->tasks[i].state == MODEL_GONE)
			continue;
		if (write_process(wr, &m->tasks[i], &tree->processes[tree->n_processes++]) < 0)
			return -ENOMEM;
	}
	qsort(tree->processes + 1, tree->n_processes - 1, sizeof(*tree->processes), compare_pids);
	return resolve_parents(wr);
}

/* ---- namespaces */

static void use_namespace(const struct writer *wr, uint32_t ns)
{
	for (; ns != MODEL_NONE; ns = wr->m->namespaces[ns].parent)
		wr->ns[ns] = 0;
}

static enum tree_ns_state state_of(const struct model *m, const struct model_ns *ns)
{
	if (!ns->dead)
		return ns->init == MODEL_NONE && ns->level ? TREE_NS_UNBORN : TREE_NS_LIVES;
	return m->tasks[ns->init].state == MODEL_ZOMBIE ? TREE_NS_ZOMBIE : TREE_NS_DEAD;
}

/* Those that somebody lives in, or would fork into; and those above. */
static int write_namespaces(const struct writer *wr)
{
	const struct model *m = wr->m;
	struct tree *tree = wr->tree;

	tree->pid_ns = arena_new_n(wr->arena, struct tree_pid_ns, m->n_namespaces);
	if (!tree->pid_ns)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_namespaces; i++)
		wr->ns[i] = MODEL_NONE;
	for (size_t i = 0; i < m->n_tasks; i++)
		if (m->tasks[i].state != MODEL_GONE) {
			use_namespace(wr, m->tasks[i].ns);
			use_namespace(wr, m->tasks[i].children_ns);
		}
	for (size_t i = 0; i < m->n_namespaces; i++) {
		const struct model_ns *ns = &m->namespaces[i];

		if (wr->ns[i] == MODEL_NONE)
			continue;
		wr->ns[i] = (uint32_t)tree->n_pid_ns;
		tree->pid_ns[tree->n_pid_ns++] = (struct tree_pid_ns){
			.parent = ns->parent == MODEL_NONE ? TREE_NONE : wr->ns[ns->parent],
			.level = ns->level,
			.user_ns = ns->user_ns,
			.state = state_of(m, ns),
		};
	}
	return 0;
}

static int write_user_namespaces(const struct writer *wr)
{
	const struct model *m = wr->m;
	struct tree *tree = wr->tree;

	tree->n_user_ns = m->n_user_ns;
	tree->user_ns = arena_new_n(wr->arena, struct tree_user_ns, m->n_user_ns);
	if (!tree->user_ns)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n_user_ns; i++)
		tree->user_ns[i] = (struct tree_user_ns){
			.id = i,
			.parent = m->user_parent[i] == MODEL_NONE ? TREE_NONE : m->user_parent[i],
		};
	return 0;
}

int model_tree(const struct model *m, struct arena *arena, struct tree **ret_tree)
{
	struct writer wr = {
		.m = m,
		.arena = arena,
		.tree = arena_new(arena, struct tree),
		.ns = arena_new_n(arena, uint32_t, m->n_namespaces),
	};

	if (!wr.tree || !wr.ns)
		return -ENOMEM;
	wr.tree->container = m->container;
	if (write_namespaces(&wr) < 0 || write_user_namespaces(&wr) < 0 || write_processes(&wr) < 0)
		return -ENOMEM;
	*ret_tree = wr.tree;
	return 0;
}
