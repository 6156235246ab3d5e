/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/model.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "util/macro.h"

enum pid_type {
	PIDTYPE_TGID,
	PIDTYPE_PGID,
	PIDTYPE_SID,
};

static int refuse(struct model *m, int r, const char *why)
{
	m->why = why;
	return r;
}

static struct model_task *living(struct model *m, uint32_t task)
{
	if (task >= m->n_tasks || m->tasks[task].state != MODEL_LIVING)
		return NULL;
	return &m->tasks[task];
}

static int no_such_task(struct model *m)
{
	return refuse(m, -ESRCH, "the process is not alive");
}

/* ---- numbers: kernel/pid.c, attach_pid() and __change_pid() */

static uint32_t *users(struct model_pid *pid, enum pid_type type)
{
	if (type == PIDTYPE_TGID)
		return &pid->n_tasks;
	return type == PIDTYPE_PGID ? &pid->n_groups : &pid->n_sessions;
}

static void attach_pid(struct model *m, uint32_t pid, enum pid_type type)
{
	++*users(&m->pids[pid], type);
}

static void detach_pid(struct model *m, uint32_t index, enum pid_type type)
{
	struct model_pid *pid = &m->pids[index];

	--*users(pid, type);
	if (!pid->n_tasks && !pid->n_groups && !pid->n_sessions)
		idmap_forget(&m->by_number, 0, pid->number); /* free_pid() */
}

static void change_group(struct model *m, struct model_task *t, uint32_t pid)
{
	detach_pid(m, t->pgid, PIDTYPE_PGID);
	t->pgid = pid;
	attach_pid(m, pid, PIDTYPE_PGID);
	m->pids[pid].session = t->sid;
}

static int new_pid(struct model *m, int32_t number, uint32_t *ret_pid)
{
	struct model_pid *pid;

	pid = arena_append(m->arena, &m->pids, &m->n_pids, sizeof(*pid));
	if (!pid)
		return -ENOMEM;
	pid->number = number;
	*ret_pid = (uint32_t)(m->n_pids - 1);
	if (number && idmap_set(&m->by_number, 0, number, *ret_pid) < 0)
		return -ENOMEM;
	return 0;
}

/* ---- the lists of children */

static void link_child(struct model *m, uint32_t parent, uint32_t child)
{
	struct model_task *c = &m->tasks[child], *p = &m->tasks[parent];

	c->parent = parent;
	c->prev = MODEL_NONE;
	c->next = p->children;
	if (c->next != MODEL_NONE)
		m->tasks[c->next].prev = child;
	p->children = child;
}

static void unlink_child(struct model *m, uint32_t child)
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

/* ---- fork: kernel/fork.c, copy_process() */

static int new_task(struct model *m, int32_t number, uint32_t *ret_task)
{
	struct model_task *t;
	uint32_t pid = MODEL_NONE;
	int r;

	t = arena_append(m->arena, &m->tasks, &m->n_tasks, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*ret_task = (uint32_t)(m->n_tasks - 1);
	r = new_pid(m, number, &pid);
	if (r < 0)
		return r;
	*t = (struct model_task){
		.state = MODEL_LIVING,
		.pid = pid,
		.parent = MODEL_NONE,
		.children = MODEL_NONE,
		.next = MODEL_NONE,
		.prev = MODEL_NONE,
	};
	m->pids[pid].task = *ret_task;
	attach_pid(m, pid, PIDTYPE_TGID);
	return 0;
}

static void share_tables(struct model *m, struct model_task *t, const struct model_task *from,
			 uint64_t flags)
{
	for (int i = 0; i < TREE_TABLES; i++)
		t->table[i] =
			from && (flags & tree_table_flag[i]) ? from->table[i] : ++m->last_table;
}

int model_init(struct model *m, struct arena *arena, int32_t pid, bool container)
{
	uint32_t outside, root = 0;
	int r;

	*m = (struct model){.arena = arena, .by_number = {.arena = arena}, .container = container};
	r = new_pid(m, 0, &outside);
	if (r == 0)
		r = new_task(m, pid, &root);
	if (r < 0)
		return r;
	m->tasks[root].sid = m->tasks[root].pgid = outside;
	m->tasks[root].exit_signal = SIGCHLD;
	m->pids[outside].session = outside;
	/* by the root, and by the leader outside, who stays */
	m->pids[outside].n_sessions = m->pids[outside].n_groups = 2;
	share_tables(m, &m->tasks[root], NULL, 0);
	return 0;
}

static int check_clone(struct model *m, uint32_t actor, const struct model_clone *args)
{
	if (args->pid <= 0 || args->pid >= TREE_MAX_PID)
		return refuse(m, -EINVAL, "no such PID can be given");
	if ((args->flags & CLONE_SIGHAND) && !(args->flags & CLONE_VM))
		return refuse(m, -EINVAL, "signal handlers are shared only with the memory");
	if ((args->flags & CLONE_PARENT) && actor == 0)
		/* init: EINVAL (SIGNAL_UNKILLABLE); another root: its sibling is not in the tree */
		return refuse(m, -EINVAL, "the tree root cannot have a sibling");
	if (idmap_get(&m->by_number, 0, args->pid) != IDMAP_NONE)
		return refuse(m, -EEXIST, "the PID is in use");
	return 0;
}

int model_clone(struct model *m, uint32_t actor, const struct model_clone *args, uint32_t *ret_task)
{
	struct model_task *a = living(m, actor), *t;
	uint32_t child = MODEL_NONE;
	int r;

	if (!a)
		return no_such_task(m);
	r = check_clone(m, actor, args);
	if (r < 0)
		return r;
	r = new_task(m, args->pid, &child);
	if (r < 0)
		return refuse(m, r, "out of memory");
	a = &m->tasks[actor];
	t = &m->tasks[child];
	t->exit_signal = args->flags & CLONE_PARENT ? a->exit_signal : args->exit_signal;
	t->sid = a->sid;
	t->pgid = a->pgid;
	t->tty = a->tty;
	attach_pid(m, t->sid, PIDTYPE_SID);
	attach_pid(m, t->pgid, PIDTYPE_PGID);
	share_tables(m, t, a, args->flags);
	link_child(m, args->flags & CLONE_PARENT ? a->parent : actor, child);
	*ret_task = child;
	return 0;
}

/* ---- sessions and groups: kernel/sys.c */

static bool is_leader(const struct model_task *t)
{
	return t->sid == t->pid;
}

/* ksys_setsid() */
int model_setsid(struct model *m, uint32_t actor)
{
	struct model_task *a = living(m, actor);

	if (!a)
		return no_such_task(m);
	if (is_leader(a))
		return refuse(m, -EPERM, "it leads a session already");
	if (m->pids[a->pid].n_groups)
		return refuse(m, -EPERM, "a process group with its PID exists");
	detach_pid(m, a->sid, PIDTYPE_SID);
	a->sid = a->pid;
	attach_pid(m, a->sid, PIDTYPE_SID);
	change_group(m, a, a->pid);
	a->tty = 0; /* proc_clear_tty() */
	return 0;
}

/* setpgid(); PF_FORKNOEXEC is taken for granted: nothing in the model execs */
int model_setpgid(struct model *m, uint32_t actor, uint32_t target, uint32_t group_pid)
{
	struct model_task *a = living(m, actor);
	struct model_task *t = living(m, target);

	if (!a || !t)
		return no_such_task(m);
	if (target != actor && t->parent != actor)
		return refuse(m, -ESRCH, "only a process itself and its parent can set its group");
	if (target != actor && t->sid != a->sid)
		return refuse(m, -EPERM, "the child is in another session");
	if (is_leader(t))
		return refuse(m, -EPERM, "a session leader cannot change its group");
	if (group_pid >= m->n_pids || (group_pid == MODEL_OUTSIDE_PID && m->container))
		return refuse(m, -ESRCH, "that group cannot be seen");
	if (group_pid != t->pid &&
	    (!m->pids[group_pid].n_groups || m->pids[group_pid].session != t->sid))
		return refuse(m, -EPERM, "there is no such group in the session");
	change_group(m, t, group_pid);
	return 0;
}

/* prctl(PR_SET_CHILD_SUBREAPER) */
int model_subreaper(struct model *m, uint32_t actor, bool on)
{
	struct model_task *a = living(m, actor);

	if (!a)
		return no_such_task(m);
	a->subreaper = on;
	return 0;
}

/* ---- terminals: drivers/tty/tty_jobctrl.c */

static struct model_tty *tty_of(struct model *m, uint32_t number)
{
	struct model_tty *tty;

	for (size_t i = 0; i < m->n_ttys; i++)
		if (m->ttys[i].number == number)
			return &m->ttys[i];
	tty = arena_append(m->arena, &m->ttys, &m->n_ttys, sizeof(*tty));
	if (tty)
		*tty = (struct model_tty){number, MODEL_NONE, MODEL_NONE};
	return tty;
}

/* tiocsctty(), without stealing; the foreground becomes the caller's group */
int model_tty_open(struct model *m, uint32_t actor, uint32_t number)
{
	struct model_task *a = living(m, actor);
	struct model_tty *tty;

	if (!a)
		return no_such_task(m);
	if (!is_leader(a))
		return refuse(m, -EPERM, "only a session leader can acquire a terminal");
	if (a->tty)
		return refuse(m, -EPERM, "it has a terminal already");
	tty = tty_of(m, number);
	if (!tty)
		return refuse(m, -ENOMEM, "out of memory");
	if (tty->session != MODEL_NONE)
		return refuse(m, -EPERM, "the terminal belongs to another session");
	tty->session = a->sid;
	tty->group = a->pgid;
	a->tty = number;
	return 0;
}

int model_inherit_tty(struct model *m, uint32_t number)
{
	struct model_tty *tty = tty_of(m, number);

	if (!tty)
		return refuse(m, -ENOMEM, "out of memory");
	tty->session = tty->group = MODEL_OUTSIDE_PID;
	m->tasks[0].tty = number;
	return 0;
}

int32_t model_foreground(const struct model *m, uint32_t number)
{
	for (size_t i = 0; i < m->n_ttys; i++)
		if (m->ttys[i].number == number && m->ttys[i].group != MODEL_NONE)
			return m->pids[m->ttys[i].group].number;
	return 0;
}

/* session_clear_tty() */
static void session_clear_tty(struct model *m, uint32_t session, uint32_t number)
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
	struct model_task *a = living(m, actor);

	if (!a)
		return no_such_task(m);
	if (!a->tty)
		return refuse(m, -ENOTTY, "it has no terminal");
	if (is_leader(a))
		session_clear_tty(m, a->sid, a->tty);
	a->tty = 0;
	return 0;
}

/* tiocspgrp() */
int model_tty_foreground(struct model *m, uint32_t actor, uint32_t number, uint32_t group_pid)
{
	struct model_task *a = living(m, actor);
	struct model_tty *tty;

	if (!a)
		return no_such_task(m);
	tty = tty_of(m, number);
	if (!tty)
		return refuse(m, -ENOMEM, "out of memory");
	if (a->tty != number)
		return refuse(m, -ENOTTY, "it is not the caller's terminal");
	if (group_pid >= m->n_pids || !m->pids[group_pid].n_groups)
		return refuse(m, -ESRCH, "there is no such group");
	if (m->pids[group_pid].session != a->sid)
		return refuse(m, -EPERM, "the group is in another session");
	tty->group = group_pid;
	return 0;
}

/* ---- death: kernel/exit.c */

/*
 * find_new_reaper(): the nearest living subreaper above, else the namespace's init. Without an init
 * in the tree the orphans leave it.
 */
static uint32_t find_new_reaper(const struct model *m, uint32_t father)
{
	uint32_t r = m->tasks[father].parent;

	while (r != MODEL_NONE) {
		if (m->tasks[r].subreaper && m->tasks[r].state == MODEL_LIVING)
			return r;
		r = m->tasks[r].parent;
	}
	return m->container ? 0 : MODEL_NONE;
}

/* forget_original_parent(), reparent_leader() */
static void forget_original_parent(struct model *m, uint32_t father, uint32_t reaper)
{
	uint32_t child;

	while ((child = m->tasks[father].children) != MODEL_NONE) {
		unlink_child(m, child);
		link_child(m, reaper, child);
		m->tasks[child].exit_signal = SIGCHLD;
	}
}

int model_exit(struct model *m, uint32_t actor, int32_t status)
{
	struct model_task *a = living(m, actor);
	uint32_t reaper;

	if (!a)
		return no_such_task(m);
	if (actor == 0)
		return refuse(m, -EINVAL, "the tree root stays");
	reaper = find_new_reaper(m, actor);
	if (a->children != MODEL_NONE && reaper == MODEL_NONE)
		return refuse(m, -ECHILD, "its orphans would leave the tree");
	if (is_leader(a) && a->tty)
		session_clear_tty(m, a->sid, a->tty);
	forget_original_parent(m, actor, reaper);
	a->state = MODEL_ZOMBIE;
	a->exit_status = status;
	a->subreaper = false; /* the flag is still there, but means and shows nothing */
	for (int i = 0; i < TREE_TABLES; i++)
		a->table[i] = 0;
	return 0;
}

/* wait_task_zombie(), release_task() */
int model_wait(struct model *m, uint32_t actor, uint32_t child)
{
	struct model_task *c;

	if (!living(m, actor))
		return no_such_task(m);
	if (child >= m->n_tasks || m->tasks[child].parent != actor ||
	    m->tasks[child].state != MODEL_ZOMBIE)
		return refuse(m, -ECHILD, "it is no zombie child of the caller");
	c = &m->tasks[child];
	unlink_child(m, child);
	c->state = MODEL_GONE;
	detach_pid(m, c->pid, PIDTYPE_TGID);
	detach_pid(m, c->sid, PIDTYPE_SID);
	detach_pid(m, c->pgid, PIDTYPE_PGID);
	return 0;
}

/* ---- the outcome */

static int compare_pids(const void *a, const void *b)
{
	const struct tree_process *p = a, *q = b;

	return (p->pid[0] > q->pid[0]) - (p->pid[0] < q->pid[0]);
}

static int number_of(const struct model *m, struct arena *arena, uint32_t pid, const int32_t **ret)
{
	*ret = arena_memdup(arena, &m->pids[pid].number, sizeof(int32_t));
	return *ret ? 0 : -ENOMEM;
}

static int model_process(const struct model *m, struct arena *arena, const struct model_task *t,
			 struct tree_process *p)
{
	*p = (struct tree_process){
		.subreaper = t->subreaper,
		.zombie = t->state == MODEL_ZOMBIE,
		.exit_status = t->exit_status,
		.exit_signal = t->exit_signal,
		.tty = t->tty,
		.tty_pgrp = t->tty && is_leader(t) ? model_foreground(m, t->tty) : 0,
		.parent = t->parent, /* a task, for now */
	};
	for (int i = 0; i < TREE_TABLES; i++)
		p->table[i] = t->table[i];
	if (number_of(m, arena, t->pid, &p->pid) < 0 || number_of(m, arena, t->sid, &p->sid) < 0 ||
	    number_of(m, arena, t->pgid, &p->pgid) < 0)
		return -ENOMEM;
	return 0;
}

/* Parents are tasks until the order of the processes is known. */
static int resolve_parents(const struct model *m, struct arena *arena, struct tree *tree)
{
	struct idmap by_pid = {.arena = arena};

	for (size_t i = 0; i < tree->n_processes; i++)
		if (idmap_set(&by_pid, 0, tree->processes[i].pid[0], (uint32_t)i) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < tree->n_processes; i++) {
		struct tree_process *p = &tree->processes[i];

		p->id = (uint32_t)i + 1;
		if (p->parent != MODEL_NONE)
			p->parent = idmap_get(&by_pid, 0, m->pids[m->tasks[p->parent].pid].number);
	}
	return 0;
}

int model_tree(const struct model *m, struct arena *arena, struct tree **ret_tree)
{
	struct tree *tree = arena_new(arena, struct tree);
	size_t n = 0;

	if (!tree)
		return -ENOMEM;
	tree->container = m->container;
	tree->processes = arena_new_n(arena, struct tree_process, m->n_tasks);
	tree->pid_ns = arena_new(arena, struct tree_pid_ns);
	if (!tree->processes || !tree->pid_ns)
		return -ENOMEM;
	tree->n_pid_ns = 1;
	tree->pid_ns[0].parent = TREE_NONE;
	tree->user_ns = arena_new(arena, struct tree_user_ns);
	if (!tree->user_ns)
		return -ENOMEM;
	tree->n_user_ns = 1;
	tree->user_ns[0].parent = TREE_NONE;
	for (size_t i = 0; i < m->n_tasks; i++) {
		if (m->tasks[i].state == MODEL_GONE)
			continue;
		if (model_process(m, arena, &m->tasks[i], &tree->processes[n++]) < 0)
			return -ENOMEM;
	}
	tree->n_processes = n;
	qsort(tree->processes + 1, n - 1, sizeof(*tree->processes), compare_pids);
	if (resolve_parents(m, arena, tree) < 0)
		return -ENOMEM;
	*ret_tree = tree;
	return 0;
}
