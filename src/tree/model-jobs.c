/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions and groups: kernel/sys.c; controlling terminals: drivers/tty/tty_jobctrl.c */
#include <errno.h>

#include "tree/model-internal.h"

/* ksys_setsid() */
int model_setsid(struct model *m, uint32_t actor)
{
	struct model_task *a = model_living(m, actor);

	if (!a)
		return -ESRCH;
	if (model_is_leader(a))
		return model_refuse(m, -EPERM, "it leads a session already");
	if (m->pids[a->pid].n_groups)
		return model_refuse(m, -EPERM, "a process group with its PID exists");
	model_detach(m, a->sid, PIDTYPE_SID);
	a->sid = a->pid;
	model_attach(m, a->sid, PIDTYPE_SID);
	model_change_group(m, a, a->pid);
	a->tty = 0; /* proc_clear_tty() */
	return 0;
}

/*
 * setpgid() by a process in session @sid. PF_FORKNOEXEC is taken for granted: nothing in the model
 * execs.
 */
static int set_group(struct model *m, uint32_t sid, struct model_task *t, bool visible,
		     uint32_t group_pid)
{
	if (t->sid != sid)
		return model_refuse(m, -EPERM, "the child is in another session");
	if (model_is_leader(t))
		return model_refuse(m, -EPERM, "a session leader cannot change its group");
	if (!visible)
		return model_refuse(m, -ESRCH, "that group cannot be seen");
	if (group_pid != t->pid &&
	    (!m->pids[group_pid].n_groups || m->pids[group_pid].session != sid))
		return model_refuse(m, -EPERM, "there is no such group in the session");
	model_change_group(m, t, group_pid);
	return 0;
}

/* find_vpid() in namespace @ns; leaders outside are in namespace 0, or above it. */
static bool is_visible(const struct model *m, uint32_t pid, uint32_t ns)
{
	if (pid >= m->n_pids)
		return false;
	if (m->pids[pid].ns == MODEL_NONE)
		return !m->container && ns == 0;
	return model_ns_is_in(m, m->pids[pid].ns, ns);
}

int model_setpgid(struct model *m, uint32_t actor, uint32_t target, uint32_t group_pid)
{
	struct model_task *a = model_living(m, actor);
	struct model_task *t = model_living(m, target);

	if (!a || !t)
		return -ESRCH;
	if (target != actor && t->parent != actor)
		return model_refuse(m, -ESRCH,
				    "only a process itself and its parent can set its group");
	return set_group(m, a->sid, t, is_visible(m, group_pid, a->ns), group_pid);
}

int model_setpgid_outside(struct model *m, uint32_t leader, uint32_t target, uint32_t group_pid)
{
	struct model_task *t = model_living(m, target);

	if (!t)
		return -ESRCH;
	if (leader >= m->n_outside || t->parent != MODEL_NONE || t->leader != leader)
		return model_refuse(m, -ESRCH,
				    "only a process itself and its parent can set its group");
	return set_group(m, m->outside[leader].sid, t, group_pid < m->n_pids, group_pid);
}

/* ---- terminals */

static struct model_tty *tty_of(struct model *m, uint32_t number)
{
	struct model_tty *tty;

	for (size_t i = 0; i < m->n_ttys; i++)
		if (m->ttys[i].number == number)
			return &m->ttys[i];
	tty = arena_append(m->arena, &m->ttys, &m->n_ttys, sizeof(*tty));
	if (tty)
		*tty = (struct model_tty){number, MODEL_NONE, MODEL_NONE};
	else
		(void)model_refuse(m, -ENOMEM, "out of memory");
	return tty;
}

/* tiocsctty(), without stealing; the foreground becomes the caller's group */
int model_tty_open(struct model *m, uint32_t actor, uint32_t number)
{
	struct model_task *a = model_living(m, actor);
	struct model_tty *tty;

	if (!a)
		return -ESRCH;
	if (!model_is_leader(a))
		return model_refuse(m, -EPERM, "only a session leader can acquire a terminal");
	if (a->tty)
		return model_refuse(m, -EPERM, "it has a terminal already");
	tty = tty_of(m, number);
	if (!tty)
		return -ENOMEM;
	if (tty->session != MODEL_NONE)
		return model_refuse(m, -EPERM, "the terminal belongs to another session");
	tty->session = a->sid;
	tty->group = a->pgid;
	a->tty = number;
	return 0;
}

int model_inherit_tty(struct model *m, uint32_t number)
{
	struct model_tty *tty = tty_of(m, number);

	if (!tty)
		return -ENOMEM;
	tty->session = m->outside[0].sid;
	tty->group = m->outside[0].pgid;
	m->outside_tty = m->tasks[0].tty = number;
	return 0;
}

int32_t model_foreground(const struct model *m, uint32_t number)
{
	for (size_t i = 0; i < m->n_ttys; i++)
		if (m->ttys[i].number == number && m->ttys[i].group != MODEL_NONE) {
			const struct model_pid *pid = &m->pids[m->ttys[i].group];

			return pid->number ? pid->number[0] : 0;
		}
	return 0;
}

/* session_clear_tty() */
void model_clear_tty(struct model *m, uint32_t session, uint32_t number)
{
	for (size_t i = 0; i < m->n_tasks; i++)
		if (m->tasks[i].state != MODEL_GONE && m->tasks[i].sid == session)
			m->tasks[i].tty = 0;
	for (size_t i = 0; i < m->n_ttys; i++)
		if (m->ttys[i].number == number)
			m->ttys[i].session = m->ttys[i].group = MODEL_NONE;
}

/* disassociate_ctty(), no_tty(): a leader's terminal goes from all members */
int model_tty_drop(struct model *m, uint32_t actor)
{
	struct model_task *a = model_living(m, actor);

	if (!a)
		return -ESRCH;
	if (!a->tty)
		return model_refuse(m, -ENOTTY, "it has no terminal");
	if (model_is_leader(a))
		model_clear_tty(m, a->sid, a->tty);
	a->tty = 0;
	return 0;
}

/* tiocspgrp() */
int model_tty_foreground(struct model *m, uint32_t actor, uint32_t number, uint32_t group_pid)
{
	struct model_task *a = model_living(m, actor);
	struct model_tty *tty;

	if (!a)
		return -ESRCH;
	tty = tty_of(m, number);
	if (!tty)
		return -ENOMEM;
	if (a->tty != number)
		return model_refuse(m, -ENOTTY, "it is not the caller's terminal");
	if (!is_visible(m, group_pid, a->ns) || !m->pids[group_pid].n_groups)
		return model_refuse(m, -ESRCH, "there is no such group");
	if (m->pids[group_pid].session != a->sid)
		return model_refuse(m, -EPERM, "the group is in another session");
	tty->group = group_pid;
	return 0;
}
