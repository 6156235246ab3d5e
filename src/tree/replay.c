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

static int start(struct replay *re)
{
	int r;

	re->task = arena_new_n(&re->arena, uint32_t, re->plan->n_processes);
	if (!re->task)
		return -ENOMEM;
	for (size_t i = 0; i < re->plan->n_processes; i++)
		re->task[i] = MODEL_NONE;
	re->task[0] = 0;
	r = model_init(&re->model, &re->arena, number_of(re, 0), re->tree->container);
	if (r < 0)
		return r;
	re->model.tasks[0].exit_signal = re->plan->root_exit_signal;
	return give_terminal(re);
}

static uint32_t task_of(const struct replay *re, uint32_t process)
{
	return process < re->plan->n_processes ? re->task[process] : MODEL_NONE;
}

static int clone_step(struct replay *re, const struct plan_step *s)
{
	struct model_clone args = {
		.flags = s->flags,
		.exit_signal = s->exit_signal,
		.pid = number_of(re, s->child),
	};
	int r;

	if (s->child >= re->plan->n_processes || re->task[s->child] != MODEL_NONE) {
		re->model.why = "the child exists already";
		return -EEXIST;
	}
	r = model_clone(&re->model, task_of(re, s->process), &args, &re->task[s->child]);
	if (r == 0 && re->model.tasks[re->task[s->child]].exit_signal != s->exit_signal) {
		re->model.why = "a sibling's exit signal is its forker's";
		return -EINVAL;
	}
	return r;
}

/* The pid of a group; where its founder is gone, that of its number. */
static uint32_t group_pid(const struct replay *re, uint32_t process)
{
	uint32_t task = task_of(re, process);

	if (process == PLAN_NONE)
		return MODEL_OUTSIDE_PID;
	return task == MODEL_NONE ? MODEL_NONE : re->model.tasks[task].pid;
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
		return model_setpgid(m, actor, task_of(re, s->target), group_pid(re, s->group));
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
		return model_tty_foreground(m, actor, s->tty, group_pid(re, s->group));
	case PLAN_USER_NEW:
	case PLAN_USER_JOIN:
	case PLAN_NS_NEW:
	case PLAN_NS_ENTER:
		break;
	}
	m->why = "no such step";
	return -EINVAL;
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

static int32_t pid_number(const struct replay *re, uint32_t pid)
{
	return re->model.pids[pid].number;
}

static int32_t parent_number(const struct replay *re, const struct model_task *t)
{
	return t->parent == MODEL_NONE ? 0 : pid_number(re, re->model.tasks[t->parent].pid);
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
	expect(re, i, "pid", pid_number(re, t->pid), p->pid[0]);
	expect(re, i, "parent", parent_number(re, t),
	       p->parent == TREE_NONE ? 0 : TREE_PID(re->tree, p->parent));
	expect(re, i, "session", pid_number(re, t->sid), p->sid[0]);
	expect(re, i, "group", pid_number(re, t->pgid), p->pgid[0]);
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
	for (size_t i = 0; i < re->tree->n_processes; i++)
		compare_process(re, i);
	for (size_t i = re->plan->n_tree_processes; i < re->plan->n_processes; i++) {
		if (re->task[i] == MODEL_NONE || re->model.tasks[re->task[i]].state == MODEL_GONE)
			continue;
		strbuf_printf(re->diff, "process %d is left over\n", number_of(re, (uint32_t)i));
		re->n_diff++;
	}
	return re->n_diff ? 0 : compare_tables(re);
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
