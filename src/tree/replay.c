/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/replay.h"

#include <errno.h>
#include <sched.h>

#include "tree/model.h"
#include "tree/print.h"
#include "util/cleanup.h"

struct replay {
	const struct tree *tree;
	const struct plan *plan;
	struct model model;
	struct arena arena;
	uint32_t *task; /* by plan index; MODEL_NONE while it is not born */
	uint32_t *ns;	/* by index in tree.pid_ns: the model's; MODEL_NONE while it is not there */
	uint32_t *user_ns; /* by index in tree.user_ns, likewise */
	struct strbuf *diff;
	int n_diff;
};

static int32_t number_of(const struct replay *re, uint32_t process)
{
	return process < re->plan->n_processes ? re->plan->processes[process].pid[0] : 0;
}

/* A terminal that comes from the outside is the root's before the first step. */
static int give_terminal(struct replay *re)
{
	const struct tree *tree = re->tree;

	if (re->plan->root_session != PLAN_ROOT_SESSION_INHERITED)
		return 0;
	for (size_t i = 0; i < tree->n_processes; i++)
		if (tree->processes[i].sid[0] == 0 && tree->processes[i].tty)
			return model_inherit_tty(&re->model, tree->processes[i].tty);
	return model_inherit_tty(&re->model, TREE_NONE);
}

/* An array of @n entries of which only the first is known: 0. */
static uint32_t *new_map(struct replay *re, size_t n)
{
	uint32_t *map = arena_new_n(&re->arena, uint32_t, n);

	for (size_t i = 1; map && i < n; i++)
		map[i] = MODEL_NONE;
	return map;
}

static int make_leaders(struct replay *re)
{
	int r = 0;

	for (uint32_t i = 1; i < re->plan->n_outside && r == 0; i++)
		r = model_outside_leader(&re->model, re->plan->outside[i].session, NULL);
	return r;
}

static int start(struct replay *re)
{
	int r;

	re->task = new_map(re, re->plan->n_processes);
	re->ns = new_map(re, re->tree->n_pid_ns);
	re->user_ns = new_map(re, re->tree->n_user_ns);
	if (!re->task || !re->ns || !re->user_ns)
		return -ENOMEM;
	r = model_init(&re->model, &re->arena, number_of(re, 0), re->tree->container);
	if (r == 0)
		r = make_leaders(re);
	if (r < 0)
		return r;
	re->model.tasks[0].exit_signal = re->plan->root_exit_signal;
	if (!re->plan->root_under_leader)
		re->model.tasks[0].leader = MODEL_NONE;
	return give_terminal(re);
}

static uint32_t task_of(const struct replay *re, uint32_t process)
{
	return process < re->plan->n_processes ? re->task[process] : MODEL_NONE;
}

static uint32_t ns_of(const struct replay *re, uint32_t ns)
{
	return ns < re->tree->n_pid_ns ? re->ns[ns] : MODEL_NONE;
}

/* ---- clone */

static int bad_step(struct replay *re, int r, const char *why)
{
	re->model.why = why;
	return r;
}

/* As the plan's header says: setns to the namespace before, and back after. */
static int clone_into(struct replay *re, uint32_t actor, uint32_t ns,
		      const struct model_clone *args, uint32_t *ret_task)
{
	struct model *m = &re->model;
	uint32_t before;
	int r;

	if (actor >= m->n_tasks)
		return bad_step(re, -ESRCH, "the process is not alive");
	before = m->tasks[actor].children_ns;
	if (ns == before || (args->flags & CLONE_NEWPID))
		return model_clone(m, actor, args, ret_task);
	r = model_enter_pid(m, actor, ns);
	if (r == 0)
		r = model_clone(m, actor, args, ret_task);
	m->tasks[actor].children_ns = before;
	return r;
}

static int do_clone(struct replay *re, const struct plan_step *s)
{
	const struct plan_process *child = &re->plan->processes[s->child];
	uint32_t actor = task_of(re, s->process);
	const struct model_clone args = {
		.flags = s->flags | (s->new_pid_ns ? CLONE_NEWPID : 0),
		.exit_signal = s->exit_signal,
		.pid = child->pid,
		.n_pid = child->n_pid,
		/* from below it takes the fallback of PLAN_USER_JOIN */
		.set_tid = s->process == PLAN_NONE ||
			   (actor != MODEL_NONE && re->model.tasks[actor].user_ns == 0),
	};

	if (s->process == PLAN_NONE)
		return model_clone_outside(&re->model, s->outside, ns_of(re, s->pid_ns), &args,
					   &re->task[s->child]);
	return clone_into(re, actor, ns_of(re, s->pid_ns), &args, &re->task[s->child]);
}

static int clone_step(struct replay *re, const struct plan_step *s)
{
	int r;

	if (s->child >= re->plan->n_processes || re->task[s->child] != MODEL_NONE)
		return bad_step(re, -EEXIST, "the child exists already");
	if (s->pid_ns >= re->tree->n_pid_ns || s->pid_ns != re->plan->processes[s->child].pid_ns ||
	    s->new_pid_ns != (re->ns[s->pid_ns] == MODEL_NONE))
		return bad_step(re, -EINVAL, "the child's PID namespace is not the step's");
	r = do_clone(re, s);
	if (r < 0)
		return r;
	if (s->new_pid_ns)
		re->ns[s->pid_ns] = re->model.tasks[re->task[s->child]].ns;
	if (re->model.tasks[re->task[s->child]].exit_signal != s->exit_signal)
		return bad_step(re, -EINVAL, "a sibling's exit signal is its forker's");
	return 0;
}

/* ---- the other steps */

/* The pid of a group; where its founder is gone, that of its number. */
static uint32_t group_pid(const struct replay *re, const struct plan_step *s)
{
	uint32_t task = task_of(re, s->group);

	if (s->group == PLAN_NONE)
		return s->outside_group < re->model.n_outside
			       ? re->model.outside[s->outside_group].pgid
			       : MODEL_NONE;
	return task == MODEL_NONE ? MODEL_NONE : re->model.tasks[task].pid;
}

static int setpgid_step(struct replay *re, const struct plan_step *s)
{
	uint32_t target = task_of(re, s->target), group = group_pid(re, s);

	if (s->process != PLAN_NONE)
		return model_setpgid(&re->model, task_of(re, s->process), target, group);
	return model_setpgid_outside(&re->model, s->outside, target, group);
}

static int user_step(struct replay *re, const struct plan_step *s)
{
	if (s->user_ns == 0 || s->user_ns >= re->tree->n_user_ns ||
	    (s->op == PLAN_USER_NEW) != (re->user_ns[s->user_ns] == MODEL_NONE))
		return bad_step(re, -EINVAL, "the user namespace is there already, or not yet");
	if (s->op == PLAN_USER_JOIN)
		return model_join_user(&re->model, task_of(re, s->process),
				       re->user_ns[s->user_ns]);
	return model_user_new(&re->model, re->user_ns[re->tree->user_ns[s->user_ns].parent],
			      &re->user_ns[s->user_ns]);
}

static int new_ns_step(struct replay *re, const struct plan_step *s)
{
	if (s->pid_ns >= re->tree->n_pid_ns || re->ns[s->pid_ns] != MODEL_NONE)
		return bad_step(re, -EINVAL, "the PID namespace is there already");
	return model_unshare_pid(&re->model, task_of(re, s->process), &re->ns[s->pid_ns]);
}

static int do_step(struct replay *re, const struct plan_step *s)
{
	struct model *m = &re->model;
	uint32_t actor = task_of(re, s->process);

	switch (s->op) {
	case PLAN_CLONE:
		return clone_step(re, s);
	case PLAN_SETSID:
		return model_setsid(m, actor);
	case PLAN_SETPGID:
		return setpgid_step(re, s);
	case PLAN_SUBREAPER:
		return model_subreaper(m, actor, s->on);
	case PLAN_EXIT:
		return model_exit(m, actor, s->status);
	case PLAN_WAIT:
		return model_wait(m, actor, task_of(re, s->child));
	case PLAN_TTY_OPEN:
		return model_tty_open(m, actor, s->tty);
	case PLAN_TTY_DROP:
		return model_tty_drop(m, actor);
	case PLAN_TTY_FOREGROUND:
		return model_tty_foreground(m, actor, s->tty, group_pid(re, s));
	case PLAN_USER_NEW:
	case PLAN_USER_JOIN:
		return user_step(re, s);
	case PLAN_NS_NEW:
		return new_ns_step(re, s);
	case PLAN_NS_ENTER:
		return model_enter_pid(m, actor, ns_of(re, s->pid_ns));
	}
	return bad_step(re, -EINVAL, "no such step");
}

static void run_steps(struct replay *re)
{
	for (size_t i = 0; i < re->plan->n_steps; i++) {
		const struct plan_step *s = &re->plan->steps[i];
		int r = do_step(re, s);

		if (r == 0)
			continue;
		strbuf_printf(re->diff, "step %zu (%s by %d: %s): %s: %s\n", i + 1,
			      plan_op_name(s->op), number_of(re, s->process), s->reason,
			      err_name(r), re->model.why);
		re->n_diff++;
		return;
	}
}

/* ---- the outcome */

static void expect(struct replay *re, size_t i, const char *what, int64_t got, int64_t wanted)
{
	if (got == wanted)
		return;
	strbuf_printf(re->diff, "process %d: %s is %lld, wanted %lld\n", TREE_PID(re->tree, i),
		      what, (long long)got, (long long)wanted);
	re->n_diff++;
}

static int32_t parent_number(const struct replay *re, const struct model_task *t)
{
	return t->parent == MODEL_NONE ? 0
				       : re->model.pids[re->model.tasks[t->parent].pid].number[0];
}

/* The numbers of @pid on all levels that process @i sees. */
static void expect_numbers(struct replay *re, size_t i, const char *what, uint32_t pid,
			   const int32_t *wanted)
{
	const struct model_task *t = &re->model.tasks[re->task[i]];
	int32_t got[TREE_LEVELS];

	model_numbers(&re->model, pid, t->ns, got);
	for (uint32_t level = 0; level <= re->model.namespaces[t->ns].level; level++)
		expect(re, i, what, got[level], wanted[level]);
}

/* Whatever two things are told apart by the tree must be by the model, and the reverse. */
static int expect_same(struct replay *re, size_t i, const char *what, struct idmap maps[2],
		       uint32_t ns, uint32_t wanted, uint32_t got)
{
	uint32_t other = idmap_get(&maps[0], ns, (int32_t)wanted + 1);
	uint32_t reverse = idmap_get(&maps[1], 0, (int32_t)got + 1);

	if (other == IDMAP_NONE && reverse == IDMAP_NONE) {
		int r = idmap_set(&maps[0], ns, (int32_t)wanted + 1, got);

		return r < 0 ? r : idmap_set(&maps[1], 0, (int32_t)got + 1, got);
	}
	expect(re, i, what, got, other);
	return 0;
}

/* Which of the sessions or groups outside; the numbers that a tree gives them may be any. */
static int compare_outside(struct replay *re)
{
	struct idmap sessions[2] = {{.arena = &re->arena}, {.arena = &re->arena}};
	struct idmap groups[2] = {{.arena = &re->arena}, {.arena = &re->arena}};
	int r = 0;

	for (size_t i = 0; i < re->tree->n_processes && r == 0; i++) {
		const struct tree_process *p = &re->tree->processes[i];
		const struct model_task *t = &re->model.tasks[re->task[i]];

		if (p->sid[0] == 0)
			r = expect_same(re, i, "session outside", sessions, 0, p->outside_session,
					t->sid);
		if (r == 0 && p->pgid[0] == 0)
			r = expect_same(re, i, "group outside", groups, p->outside_session,
					p->outside_group, t->pgid);
	}
	return r;
}

static void compare_namespaces(struct replay *re, size_t i)
{
	const struct tree_process *p = &re->tree->processes[i];
	const struct model_task *t = &re->model.tasks[re->task[i]];

	expect(re, i, "PID namespace", t->ns, ns_of(re, p->pid_ns));
	expect(re, i, "user namespace", t->user_ns, re->user_ns[p->user_ns]);
	if (!p->zombie)
		expect(re, i, "PID namespace of children", t->children_ns,
		       ns_of(re, p->children_ns));
}

static void compare_process(struct replay *re, size_t i)
{
	const struct tree_process *p = &re->tree->processes[i];
	const struct model_task *t;

	if (re->task[i] == MODEL_NONE || re->model.tasks[re->task[i]].state == MODEL_GONE) {
		strbuf_printf(re->diff, "process %d is missing\n", p->pid[0]);
		re->n_diff++;
		return;
	}
	t = &re->model.tasks[re->task[i]];
	compare_namespaces(re, i);
	expect(re, i, "parent", parent_number(re, t),
	       p->parent == TREE_NONE ? 0 : TREE_PID(re->tree, p->parent));
	if (t->ns == ns_of(re, p->pid_ns)) {
		expect_numbers(re, i, "pid", t->pid, p->pid);
		expect_numbers(re, i, "session", t->sid, p->sid);
		expect_numbers(re, i, "group", t->pgid, p->pgid);
	}
	expect(re, i, "zombie", t->state == MODEL_ZOMBIE, p->zombie);
	expect(re, i, "exit signal", t->exit_signal, p->exit_signal);
	expect(re, i, "terminal", t->tty, p->tty);
	if (p->zombie)
		expect(re, i, "exit status", t->exit_status, p->exit_status);
	else
		expect(re, i, "subreaper", t->subreaper, p->subreaper);
	if (p->tty && p->tty_pgrp)
		expect(re, i, "foreground group", model_foreground(&re->model, p->tty),
		       p->tty_pgrp);
}

static enum tree_ns_state ns_state(const struct model *m, const struct model_ns *ns)
{
	if (ns->init == MODEL_NONE)
		return ns->level ? TREE_NS_UNBORN : TREE_NS_LIVES;
	if (!ns->dead)
		return TREE_NS_LIVES;
	return m->tasks[ns->init].state == MODEL_ZOMBIE ? TREE_NS_ZOMBIE : TREE_NS_DEAD;
}

static void compare_pid_namespace(struct replay *re, size_t i)
{
	const struct tree_pid_ns *wanted = &re->tree->pid_ns[i];
	const struct model_ns *got =
		re->ns[i] == MODEL_NONE ? NULL : &re->model.namespaces[re->ns[i]];

	/* The root's own is made before the first step, for whatever owner. */
	if (got && ns_state(&re->model, got) == wanted->state &&
	    (i == 0 || (got->user_ns == re->user_ns[wanted->user_ns] &&
			got->parent == re->ns[wanted->parent])))
		return;
	strbuf_printf(re->diff, "PID namespace %zu is not as it should be\n", i);
	re->n_diff++;
}

/* By process: the first one that has the same table. */
static int first_sharers(struct replay *re, enum tree_table t, bool of_model, uint32_t *first)
{
	struct idmap map = {.arena = &re->arena};

	for (uint32_t i = 0; i < re->tree->n_processes; i++) {
		uint32_t table = of_model ? re->model.tasks[re->task[i]].table[t]
					  : re->tree->processes[i].table[t];

		first[i] = i;
		if (!table)
			continue;
		first[i] = idmap_get(&map, 0, (int32_t)table);
		if (first[i] != IDMAP_NONE)
			continue;
		first[i] = i;
		if (idmap_set(&map, 0, (int32_t)table, i) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int compare_tables(struct replay *re)
{
	size_t n = re->tree->n_processes;
	uint32_t *got = arena_new_n(&re->arena, uint32_t, n);
	uint32_t *wanted = arena_new_n(&re->arena, uint32_t, n);

	if (!got || !wanted)
		return -ENOMEM;
	for (enum tree_table t = 0; t < TREE_TABLES; t++) {
		if (first_sharers(re, t, true, got) < 0 || first_sharers(re, t, false, wanted) < 0)
			return -ENOMEM;
		for (size_t i = 0; i < n; i++)
			expect(re, i, tree_table_name[t], TREE_PID(re->tree, got[i]),
			       TREE_PID(re->tree, wanted[i]));
	}
	return 0;
}

static int compare(struct replay *re)
{
	for (size_t i = 0; i < re->tree->n_pid_ns; i++)
		compare_pid_namespace(re, i);
	for (size_t i = 0; i < re->tree->n_processes; i++)
		compare_process(re, i);
	for (size_t i = re->plan->n_tree_processes; i < re->plan->n_processes; i++) {
		if (re->task[i] == MODEL_NONE || re->model.tasks[re->task[i]].state == MODEL_GONE)
			continue;
		strbuf_printf(re->diff, "process %d is left over\n", number_of(re, (uint32_t)i));
		re->n_diff++;
	}
	if (re->n_diff)
		return 0;
	return compare_outside(re) < 0 ? -ENOMEM : compare_tables(re);
}

int replay_diff(const struct tree *tree, const struct plan *plan, struct strbuf *diff)
{
	struct replay re = {.tree = tree, .plan = plan, .diff = diff};
	int r;

	arena_init(&re.arena, NULL);
	r = start(&re);
	if (r == 0)
		run_steps(&re);
	if (r == 0 && !re.n_diff)
		r = compare(&re);
	arena_deinit(&re.arena);
	return r < 0 ? r : re.n_diff;
}

int replay_check(struct context *ctx, const struct tree *tree, const struct plan *plan)
{
	_cleanup_strbuf_ struct strbuf diff = {0};
	const char *text;
	int r;

	r = replay_diff(tree, plan, &diff);
	if (r < 0)
		return err_oom(ctx);
	if (r == 0)
		return 0;
	text = strbuf_text(&diff);
	return err_msg(ctx, -ENOTRECOVERABLE,
		       "the plan does not lead to the tree, which is a bug of the planner: %.300s",
		       text ? text : "out of memory");
}
