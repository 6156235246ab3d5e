/* SPDX-License-Identifier: Apache-2.0 */
/* Fork and namespaces: kernel/fork.c, kernel/pid_namespace.c, kernel/user_namespace.c */
#include <errno.h>
#include <sched.h>
#include <signal.h>

#include "tree/model-internal.h"

/* ---- namespaces */

static int new_user_ns(struct model *m, uint32_t parent, uint32_t *ret_user_ns)
{
	uint32_t *user_ns;

	user_ns = arena_append(m->arena, &m->user_parent, &m->n_user_ns, sizeof(*user_ns));
	if (!user_ns)
		return model_refuse(m, -ENOMEM, "out of memory");
	*user_ns = parent;
	*ret_user_ns = (uint32_t)(m->n_user_ns - 1);
	return 0;
}

/* create_pid_namespace(), by somebody in @user_ns */
static int new_pid_ns(struct model *m, uint32_t parent, uint32_t user_ns, uint32_t *ret_ns)
{
	const struct model_ns *p = &m->namespaces[parent];
	struct model_ns *ns;

	if (!model_user_is_in(m, user_ns, p->user_ns))
		return model_refuse(m, -EINVAL,
				    "its user namespace is not below the owner of the "
				    "PID namespace that it is in");
	if (p->level + 1 >= TREE_LEVELS)
		return model_refuse(m, -ENOSPC, "PID namespaces are nested too deep");
	ns = arena_append(m->arena, &m->namespaces, &m->n_namespaces, sizeof(*ns));
	if (!ns)
		return model_refuse(m, -ENOMEM, "out of memory");
	*ns = (struct model_ns){
		.parent = parent,
		.level = m->namespaces[parent].level + 1,
		.user_ns = user_ns,
		.init = MODEL_NONE,
	};
	*ret_ns = (uint32_t)(m->n_namespaces - 1);
	return 0;
}

/* copy_pid_ns() */
static int may_make_pid_ns(struct model *m, const struct model_task *a)
{
	return a->children_ns == a->ns
		       ? 0
		       : model_refuse(m, -EINVAL, "its children are born in another PID namespace");
}

int model_unshare_pid(struct model *m, uint32_t actor, uint32_t *ret_ns)
{
	struct model_task *a = model_living(m, actor);
	int r;

	if (!a)
		return -ESRCH;
	r = may_make_pid_ns(m, a);
	if (r == 0)
		r = new_pid_ns(m, a->ns, a->user_ns, ret_ns);
	if (r == 0)
		a->children_ns = *ret_ns;
	return r;
}

/* pidns_install() */
int model_enter_pid(struct model *m, uint32_t actor, uint32_t ns)
{
	struct model_task *a = model_living(m, actor);

	if (!a)
		return -ESRCH;
	if (ns >= m->n_namespaces)
		return model_refuse(m, -EINVAL, "there is no such PID namespace");
	if (!model_user_is_in(m, m->namespaces[ns].user_ns, a->user_ns))
		return model_refuse(m, -EPERM, "no capabilities in that PID namespace");
	if (!model_ns_is_in(m, ns, a->ns))
		return model_refuse(m, -EINVAL, "that PID namespace is not below the active one");
	a->children_ns = ns;
	return 0;
}

int model_user_new(struct model *m, uint32_t parent, uint32_t *ret_user_ns)
{
	if (parent >= m->n_user_ns)
		return model_refuse(m, -EINVAL, "there is no such user namespace");
	return new_user_ns(m, parent, ret_user_ns);
}

/* ksys_unshare(): with CLONE_NEWUSER goes CLONE_FS */
int model_unshare_user(struct model *m, uint32_t actor, uint32_t *ret_user_ns)
{
	struct model_task *a = model_living(m, actor);
	int r;

	if (!a)
		return -ESRCH;
	r = new_user_ns(m, a->user_ns, ret_user_ns);
	if (r < 0)
		return r;
	a->user_ns = *ret_user_ns;
	a->table[TREE_FS] = ++m->last_table;
	return 0;
}

static bool shares(const struct model *m, uint32_t task, enum tree_table table)
{
	for (size_t i = 0; i < m->n_tasks; i++)
		if (i != task && m->tasks[i].state == MODEL_LIVING &&
		    m->tasks[i].table[table] == m->tasks[task].table[table])
			return true;
	return false;
}

/* userns_install() */
int model_join_user(struct model *m, uint32_t actor, uint32_t user_ns)
{
	struct model_task *a = model_living(m, actor);

	if (!a)
		return -ESRCH;
	if (user_ns >= m->n_user_ns || user_ns == a->user_ns)
		return model_refuse(m, -EINVAL, "it is in that user namespace, or there is none");
	if (shares(m, actor, TREE_FS))
		return model_refuse(m, -EINVAL, "it shares its working directory");
	if (!model_user_is_in(m, user_ns, a->user_ns))
		return model_refuse(m, -EPERM, "no capabilities in that user namespace");
	a->user_ns = user_ns;
	return 0;
}

/* ---- copy_process() */

static int check_flags(struct model *m, const struct model_clone *args)
{
	if ((args->flags & CLONE_SIGHAND) && !(args->flags & CLONE_VM))
		return model_refuse(m, -EINVAL, "signal handlers are shared only with the memory");
	if ((args->flags & CLONE_NEWUSER) && (args->flags & CLONE_FS))
		return model_refuse(m, -EINVAL, "a new user namespace shares no working directory");
	return 0;
}

static int check_sibling(struct model *m, uint32_t actor)
{
	const struct model_task *a = &m->tasks[actor];

	if (m->namespaces[a->ns].init == actor)
		/* SIGNAL_UNKILLABLE */
		return model_refuse(m, -EINVAL, "an init cannot have a sibling");
	if (actor == 0)
		return model_refuse(m, -EINVAL, "the tree root's sibling is not in the tree");
	return 0;
}

static int check_number(struct model *m, uint32_t ns, int32_t number, uint32_t user_ns,
			bool set_tid)
{
	const struct model_ns *n = &m->namespaces[ns];

	if (number <= 0 || number >= TREE_MAX_PID)
		return model_refuse(m, -EINVAL, "no such PID can be given");
	if (ns && (n->init == MODEL_NONE) != (number == 1))
		return model_refuse(
			m, number == 1 ? -EEXIST : -EINVAL,
			"the first process of a PID namespace, and no other, has PID 1");
	if (set_tid && !model_user_is_in(m, n->user_ns, user_ns))
		return model_refuse(m, -EPERM, "no capability to choose PIDs on each level");
	if (idmap_get(&m->by_number, ns, number) != IDMAP_NONE)
		return model_refuse(m, -EEXIST, "the PID is in use");
	return 0;
}

/* alloc_pid() */
static int check_numbers(struct model *m, uint32_t ns, uint32_t user_ns,
			 const struct model_clone *args)
{
	uint32_t level = m->namespaces[ns].level + 1;
	bool dead = false;
	int r = 0;

	if (args->n_pid != level)
		return model_refuse(m, -EINVAL, "not one PID for each level");
	while (level-- > 0 && r == 0) {
		dead = dead || m->namespaces[ns].dead;
		r = check_number(m, ns, args->pid[level], user_ns, args->set_tid);
		ns = m->namespaces[ns].parent;
	}
	/* the kernel looks at the innermost one alone, and would make an init below a dead one */
	return r == 0 && dead ? model_refuse(m, -ENOMEM, "the PID namespace is dead") : r;
}

static int new_task(struct model *m, uint32_t ns, const int32_t *number, uint32_t *ret_task)
{
	struct model_task *t;
	uint32_t pid = MODEL_NONE;

	t = arena_append(m->arena, &m->tasks, &m->n_tasks, sizeof(*t));
	if (!t || model_new_pid(m, ns, number, &pid) < 0)
		return model_refuse(m, -ENOMEM, "out of memory");
	*ret_task = (uint32_t)(m->n_tasks - 1);
	*t = (struct model_task){
		.state = MODEL_LIVING,
		.ns = ns,
		.children_ns = ns,
		.pid = pid,
		.children = MODEL_NONE,
	};
	model_attach(m, pid, PIDTYPE_TGID);
	if (m->namespaces[ns].init == MODEL_NONE && ns)
		m->namespaces[ns].init = *ret_task;
	return 0;
}

static void join_jobs(struct model *m, struct model_task *t, uint32_t sid, uint32_t pgid)
{
	t->sid = sid;
	t->pgid = pgid;
	model_attach(m, sid, PIDTYPE_SID);
	model_attach(m, pgid, PIDTYPE_PGID);
}

static void share_tables(struct model *m, struct model_task *t, const struct model_task *from,
			 uint64_t flags)
{
	for (int i = 0; i < TREE_TABLES; i++)
		t->table[i] =
			from && (flags & tree_table_flag[i]) ? from->table[i] : ++m->last_table;
}

/* What @flags make for the child of a process in @user_ns, born in @ns. */
static int child_namespaces(struct model *m, uint32_t actor, uint64_t flags, uint32_t *ns,
			    uint32_t *user_ns)
{
	const struct model_task *a = &m->tasks[actor];
	int r = 0;

	*ns = a->children_ns;
	*user_ns = a->user_ns;
	if (flags & CLONE_NEWPID)
		r = may_make_pid_ns(m, a);
	if (r == 0 && (flags & CLONE_NEWUSER))
		r = new_user_ns(m, *user_ns, user_ns);
	if (r == 0 && (flags & CLONE_NEWPID))
		r = new_pid_ns(m, a->ns, *user_ns, ns);
	return r;
}

/* Takes back what child_namespaces() made. */
static int undo_namespaces(struct model *m, size_t n_ns, size_t n_user_ns, int r)
{
	m->n_namespaces = n_ns;
	m->n_user_ns = n_user_ns;
	return r;
}

int model_clone(struct model *m, uint32_t actor, const struct model_clone *args, uint32_t *ret_task)
{
	size_t n_ns = m->n_namespaces, n_user_ns = m->n_user_ns;
	struct model_task *a = model_living(m, actor), *t;
	uint32_t child = MODEL_NONE, ns, user_ns;
	int r;

	if (!a)
		return -ESRCH;
	r = check_flags(m, args);
	if (r == 0 && (args->flags & CLONE_PARENT))
		r = check_sibling(m, actor);
	if (r < 0)
		return r;
	r = child_namespaces(m, actor, args->flags, &ns, &user_ns);
	/* the capability is looked for in the child's new credentials, below those of its forker */
	if (r == 0)
		r = check_numbers(m, ns, a->user_ns, args);
	if (r == 0)
		r = new_task(m, ns, args->pid, &child);
	if (r < 0)
		return undo_namespaces(m, n_ns, n_user_ns, r);
	a = &m->tasks[actor];
	t = &m->tasks[child];
	t->user_ns = user_ns;
	t->exit_signal = args->flags & CLONE_PARENT ? a->exit_signal : args->exit_signal;
	t->tty = a->tty;
	join_jobs(m, t, a->sid, a->pgid);
	share_tables(m, t, a, args->flags);
	model_link_child(m, args->flags & CLONE_PARENT ? a->parent : actor, child);
	if (args->flags & CLONE_PARENT)
		t->leader = a->leader;
	*ret_task = child;
	return 0;
}

int model_clone_outside(struct model *m, uint32_t leader, uint32_t ns,
			const struct model_clone *args, uint32_t *ret_task)
{
	struct model_task *t;
	int r;

	if (leader >= m->n_outside || ns >= m->n_namespaces)
		return model_refuse(m, -EINVAL, "there is no such leader or namespace");
	r = check_numbers(m, ns, 0, args);
	if (r == 0)
		r = new_task(m, ns, args->pid, ret_task);
	if (r < 0)
		return r;
	t = &m->tasks[*ret_task];
	t->exit_signal = args->exit_signal;
	join_jobs(m, t, m->outside[leader].sid, m->outside[leader].pgid);
	t->tty = m->outside[leader].sid == m->outside[0].sid ? m->outside_tty : 0;
	share_tables(m, t, NULL, 0);
	model_link_child(m, MODEL_NONE, *ret_task);
	if (!(args->flags & CLONE_PARENT))
		t->leader = leader;
	return 0;
}
