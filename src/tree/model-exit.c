/* SPDX-License-Identifier: Apache-2.0 */
/* Death: kernel/exit.c; of a whole namespace: kernel/pid_namespace.c, zap_pid_ns_processes() */
#include <errno.h>
#include <signal.h>

#include "tree/model-internal.h"

/* prctl(PR_SET_CHILD_SUBREAPER) */
int model_subreaper(struct model *m, uint32_t actor, bool on)
{
	struct model_task *a;

	if (actor == MODEL_NONE) {
		m->outside_adopts = on;
		return 0;
	}
	a = model_living(m, actor);
	if (!a)
		return -ESRCH;
	a->subreaper = on;
	return 0;
}

/*
 * find_new_reaper(): the nearest living subreaper above without leaving the namespace, else its
 * init. (has_child_subreaper makes no difference: whoever is below a subreaper has it.) Without an
 * init in the tree the orphans leave it. A parent is in the namespace of its child or above it, so
 * that the same level means the same namespace.
 */
static uint32_t find_new_reaper(const struct model *m, uint32_t father)
{
	uint32_t ns = m->tasks[father].ns, r = m->tasks[father].parent;

	for (; r != MODEL_NONE && m->tasks[r].ns == ns; r = m->tasks[r].parent)
		if (m->tasks[r].subreaper && m->tasks[r].state == MODEL_LIVING)
			return r;
	return m->namespaces[ns].init;
}

/* forget_original_parent(), reparent_leader() */
static void forget_original_parent(struct model *m, uint32_t father, uint32_t reaper)
{
	uint32_t child;

	while ((child = m->tasks[father].children) != MODEL_NONE) {
		model_unlink_child(m, child);
		model_link_child(m, reaper, child);
		m->tasks[child].exit_signal = SIGCHLD;
	}
}

/* do_exit() without the parent's side */
static void become_zombie(struct model *m, struct model_task *t, int32_t status)
{
	if (model_is_leader(t) && t->tty)
		model_clear_tty(m, t->sid, t->tty);
	t->state = MODEL_ZOMBIE;
	t->exit_status = status;
	t->subreaper = false; /* the flag is still there, but means and shows nothing */
	t->children_ns = t->ns;
	for (int i = 0; i < TREE_TABLES; i++)
		t->table[i] = 0;
}

/* release_task() */
static void release_task(struct model *m, uint32_t task)
{
	struct model_task *t = &m->tasks[task];

	model_unlink_child(m, task);
	t->state = MODEL_GONE;
	model_detach(m, t->pid, PIDTYPE_TGID);
	model_detach(m, t->sid, PIDTYPE_SID);
	model_detach(m, t->pgid, PIDTYPE_PGID);
}

static bool goes_with(const struct model *m, uint32_t task, uint32_t init)
{
	return task != init && m->tasks[task].state != MODEL_GONE &&
	       model_ns_is_in(m, m->tasks[task].ns, m->tasks[init].ns);
}

/* Is a number of @init's namespace in use, as a group's, by somebody who stays, or by @init? */
static bool has_group_outside(const struct model *m, uint32_t init)
{
	for (uint32_t i = 0; i < m->n_tasks; i++) {
		const struct model_task *t = &m->tasks[i];

		if (t->state != MODEL_GONE && !goes_with(m, i, init) &&
		    t->pgid != m->tasks[init].pid &&
		    model_ns_is_in(m, m->pids[t->pgid].ns, m->tasks[init].ns))
			return true;
	}
	return false;
}

/* zap_pid_ns_processes(): kills everybody in the namespace and below, and waits for them. */
static int zap_namespace(struct model *m, uint32_t init)
{
	uint32_t ns = m->tasks[init].ns;

	if (has_group_outside(m, init))
		return model_refuse(
			m, -EBUSY,
			"it, or a process outside its namespace, is in a group led from "
			"within, whose number init would wait for without end");

	for (uint32_t i = 0; i < m->n_tasks; i++) {
		uint32_t parent = m->tasks[i].parent;

		if (goes_with(m, i, init) &&
		    (parent == MODEL_NONE || !model_ns_is_in(m, m->tasks[parent].ns, ns)))
			return model_refuse(
				m, -EBUSY,
				"a process of its namespace has a parent outside, which "
				"init would have to wait for");
	}
	for (uint32_t i = 0; i < m->n_tasks; i++)
		if (goes_with(m, i, init)) {
			become_zombie(m, &m->tasks[i], SIGKILL);
			release_task(m, i);
		}
	for (uint32_t i = 0; i < m->n_namespaces; i++)
		if (m->namespaces[i].init != MODEL_NONE && model_ns_is_in(m, i, ns))
			m->namespaces[i].dead = true;
	return 0;
}

static bool is_init(const struct model *m, uint32_t task)
{
	return m->namespaces[m->tasks[task].ns].init == task;
}

int model_exit(struct model *m, uint32_t actor, int32_t status)
{
	struct model_task *a = model_living(m, actor);
	uint32_t reaper;
	int r;

	if (!a)
		return -ESRCH;
	if (is_init(m, actor)) {
		r = zap_namespace(m, actor);
		if (r < 0)
			return r;
	}
	reaper = find_new_reaper(m, actor);
	if (a->children != MODEL_NONE && reaper == MODEL_NONE && (actor == 0 || !m->outside_adopts))
		return model_refuse(m, -ECHILD, "its orphans would leave the tree");
	forget_original_parent(m, actor, reaper);
	become_zombie(m, a, status);
	return 0;
}

/* wait_task_zombie() */
int model_wait(struct model *m, uint32_t actor, uint32_t child)
{
	if (actor != MODEL_NONE && !model_living(m, actor))
		return -ESRCH;
	if (child >= m->n_tasks || m->tasks[child].parent != actor ||
	    m->tasks[child].state != MODEL_ZOMBIE)
		return model_refuse(m, -ECHILD, "it is no zombie child of the caller");
	release_task(m, child);
	return 0;
}
