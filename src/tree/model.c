/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/model.h"

#include <errno.h>
#include <signal.h>

#include "tree/model-internal.h"

int model_refuse(struct model *m, int r, const char *why)
{
	m->why = why;
	return r;
}

struct model_task *model_living(struct model *m, uint32_t task)
{
	if (task < m->n_tasks && m->tasks[task].state == MODEL_LIVING)
		return &m->tasks[task];
	(void)model_refuse(m, -ESRCH, "the process is not alive");
	return NULL;
}

/* ---- numbers: kernel/pid.c */

static uint32_t *users(struct model_pid *pid, enum pid_type type)
{
	if (type == PIDTYPE_TGID)
		return &pid->n_tasks;
	return type == PIDTYPE_PGID ? &pid->n_groups : &pid->n_sessions;
}

void model_attach(struct model *m, uint32_t pid, enum pid_type type)
{
	++*users(&m->pids[pid], type);
}

/* free_pid() */
static void forget_numbers(struct model *m, const struct model_pid *pid)
{
	uint32_t ns = pid->ns;

	if (ns == MODEL_NONE)
		return;
	for (uint32_t level = m->namespaces[ns].level + 1; level-- > 0;
	     ns = m->namespaces[ns].parent)
		idmap_forget(&m->by_number, ns, pid->number[level]);
}

void model_detach(struct model *m, uint32_t index, enum pid_type type)
{
	struct model_pid *pid = &m->pids[index];

	--*users(pid, type);
	if (!pid->n_tasks && !pid->n_groups && !pid->n_sessions)
		forget_numbers(m, pid);
}

void model_change_group(struct model *m, struct model_task *t, uint32_t pid)
{
	model_detach(m, t->pgid, PIDTYPE_PGID);
	t->pgid = pid;
	model_attach(m, pid, PIDTYPE_PGID);
	m->pids[pid].session = t->sid;
}

int model_new_pid(struct model *m, uint32_t ns, const int32_t *number, uint32_t *ret_pid)
{
	uint32_t levels = m->namespaces[ns].level + 1;
	struct model_pid *pid;

	pid = arena_append(m->arena, &m->pids, &m->n_pids, sizeof(*pid));
	if (!pid)
		return -ENOMEM;
	*pid = (struct model_pid){
		.ns = ns,
		.number = arena_memdup(m->arena, number, levels * sizeof(*number)),
	};
	if (!pid->number)
		return -ENOMEM;
	*ret_pid = (uint32_t)(m->n_pids - 1);
	while (levels-- > 0) {
		if (idmap_set(&m->by_number, ns, number[levels], *ret_pid) < 0)
			return -ENOMEM;
		ns = m->namespaces[ns].parent;
	}
	return 0;
}

bool model_ns_is_in(const struct model *m, uint32_t ns, uint32_t above)
{
	while (ns != MODEL_NONE && ns != above)
		ns = m->namespaces[ns].parent;
	return ns == above;
}

bool model_user_is_in(const struct model *m, uint32_t user_ns, uint32_t above)
{
	while (user_ns != MODEL_NONE && user_ns != above)
		user_ns = m->user_parent[user_ns];
	return user_ns == above;
}

/* ---- the lists of children */

void model_link_child(struct model *m, uint32_t parent, uint32_t child)
{
	struct model_task *c = &m->tasks[child], *p;

	c->parent = parent;
	c->leader = c->prev = c->next = MODEL_NONE;
	if (parent == MODEL_NONE)
		return;
	p = &m->tasks[parent];
	c->next = p->children;
	if (c->next != MODEL_NONE)
		m->tasks[c->next].prev = child;
	p->children = child;
}

void model_unlink_child(struct model *m, uint32_t child)
{
	struct model_task *c = &m->tasks[child];

	if (c->next != MODEL_NONE)
		m->tasks[c->next].prev = c->prev;
	if (c->prev != MODEL_NONE)
		m->tasks[c->prev].next = c->next;
	else if (c->parent != MODEL_NONE)
		m->tasks[c->parent].children = c->next;
	c->parent = c->next = c->prev = MODEL_NONE;
}

/* ---- the start */

int model_outside_leader(struct model *m, uint32_t session, uint32_t *ret_leader)
{
	struct model_outside *leader;
	struct model_pid *pid;
	uint32_t index;

	leader = arena_append(m->arena, &m->outside, &m->n_outside, sizeof(*leader));
	pid = arena_append(m->arena, &m->pids, &m->n_pids, sizeof(*pid));
	if (!leader || !pid)
		return -ENOMEM;
	index = (uint32_t)(m->n_pids - 1);
	leader->pgid = index;
	leader->sid = session < m->n_outside - 1 ? m->outside[session].sid : index;
	/* the leader's own, who stays */
	*pid = (struct model_pid){
		.ns = MODEL_NONE,
		.outside = (uint32_t)(m->n_outside - 1),
		.n_groups = 1,
		.n_sessions = 1,
		.session = leader->sid,
	};
	if (ret_leader)
		*ret_leader = pid->outside;
	return 0;
}

int model_init(struct model *m, struct arena *arena, int32_t pid, bool container)
{
	const struct model_clone root = {
		.exit_signal = SIGCHLD, .flags = 0, .pid = &pid, .n_pid = 1};
	struct model_ns *ns;
	uint32_t *user_ns, task;
	int r;

	*m = (struct model){.arena = arena, .by_number = {.arena = arena}};
	ns = arena_append(arena, &m->namespaces, &m->n_namespaces, sizeof(*ns));
	user_ns = arena_append(arena, &m->user_parent, &m->n_user_ns, sizeof(*user_ns));
	if (!ns || !user_ns)
		return -ENOMEM;
	*ns = (struct model_ns){.parent = MODEL_NONE, .init = MODEL_NONE};
	*user_ns = MODEL_NONE;
	r = model_outside_leader(m, MODEL_NONE, NULL);
	if (r == 0)
		r = model_clone_outside(m, 0, 0, &root, &task);
	if (r < 0)
		return r;
	m->container = container;
	if (container)
		m->namespaces[0].init = task;
	return 0;
}
