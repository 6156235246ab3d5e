/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the birth tree to steps:
 *   1. growth, top down: each process forks those who need its first session, starts its own, takes
 *      its terminal, forks the others;
 *   2. groups, which are free within a session;
 *   3. scaffolds and dead leaders exit, the last born first (placement.c says why);
 *   4. finish: terminals dropped, subreaper flags as they shall be, zombies die.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "tree/builder.h"

enum { NAME = 40 };

static const char *session_name(const struct builder *bu, uint32_t session, char buf[NAME])
{
	if (session == BIRTH_OUTSIDE)
		(void)snprintf(buf, NAME, "the session outside");
	else
		(void)snprintf(buf, NAME, "session %d", builder_number(bu, session));
	return buf;
}

/* Why @v is cloned like this; @born: the session its forker is in. */
static void say_clone(const struct builder *bu, uint32_t v, const char *born, char *buf,
		      size_t size)
{
	const struct placement *p = &bu->place[v];
	int32_t under = builder_number(bu, p->born_under);

	switch (bu->plan->processes[v].role) {
	case PLAN_ROLE_LEADER:
		(void)snprintf(buf, size, "in %s: to lead session %d, whose leader is dead", born,
			       builder_number(bu, v));
		return;
	case PLAN_ROLE_SCAFFOLD:
		if (p->heir == PLAN_NONE)
			(void)snprintf(buf, size, "scaffold: shared tables come down from it");
		else
			(void)snprintf(buf, size,
				       "scaffold in %s: its exit hands its children to %d", born,
				       builder_number(bu, p->heir));
		return;
	case PLAN_ROLE_TREE:
		break;
	}
	if (bu->place[p->born_under].heir != PLAN_NONE)
		(void)snprintf(buf, size, "in %s%s; goes to %d when %d exits", born,
			       p->sibling ? ", by CLONE_PARENT" : "",
			       builder_number(bu, bu->place[p->born_under].heir), under);
	else if (p->sibling)
		(void)snprintf(buf, size, "in %s, yet a child of %d: by CLONE_PARENT", born, under);
	else
		(void)snprintf(buf, size, "in %s, a child of %d", born, under);
}

static uint64_t clone_flags(const struct builder *bu, uint32_t v)
{
	const struct placement *p = &bu->place[v], *forker = &bu->place[p->forker];
	uint64_t flags = p->sibling ? CLONE_PARENT : 0;

	for (int t = 0; t < TREE_TABLES; t++)
		if (p->table[t] && p->table[t] == forker->table[t])
			flags |= tree_table_flag[t];
	return flags;
}

static int clone_children(struct builder *bu, uint32_t process, bool late, uint32_t session)
{
	char name[NAME], why[160];

	session_name(bu, session, name);
	for (uint32_t v = bu->place[process].children[late]; v != PLAN_NONE;
	     v = bu->place[v].next_child) {
		struct plan_step *step;

		say_clone(bu, v, name, why, sizeof(why));
		step = builder_step(bu, PLAN_CLONE, process, "%s", why);
		if (!step)
			return -ENOMEM;
		step->child = v;
		step->flags = clone_flags(bu, v);
		step->exit_signal = bu->place[v].exit_signal;
	}
	return 0;
}

static uint32_t birth_session(const struct builder *bu, uint32_t process)
{
	if (process < bu->birth->n_nodes)
		return bu->birth->nodes[process].birth;
	return bu->place[process].session;
}

static uint32_t tty_of(const struct builder *bu, uint32_t process)
{
	return process < bu->tree->n_processes ? bu->tree->processes[process].tty : 0;
}

static int start_session(struct builder *bu, uint32_t process)
{
	struct plan_step *step;

	if (!builder_step(bu, PLAN_SETSID, process, "leads session %d",
			  builder_number(bu, process)))
		return -ENOMEM;
	if (!tty_of(bu, process))
		return 0;
	step = builder_step(bu, PLAN_TTY_OPEN, process, "controlling terminal of session %d",
			    builder_number(bu, process));
	if (!step)
		return -ENOMEM;
	step->tty = tty_of(bu, process);
	return 0;
}

static int grow_one(struct builder *bu, uint32_t process)
{
	uint32_t born = birth_session(bu, process);

	if (clone_children(bu, process, false, born) < 0)
		return -ENOMEM;
	if (bu->place[process].session != process)
		return 0;
	if (start_session(bu, process) < 0)
		return -ENOMEM;
	return clone_children(bu, process, true, process);
}

/* Breadth first. Returns the order in which the processes came to be, in @ret_order. */
static int grow_all(struct builder *bu, uint32_t **ret_order)
{
	size_t n = bu->plan->n_processes, known = 1;
	uint32_t *order = arena_new_n(bu->birth->arena, uint32_t, n);

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < known; i++) {
		const struct placement *p = &bu->place[order[i]];

		for (int late = 0; late < 2; late++)
			for (uint32_t v = p->children[late]; v != PLAN_NONE;
			     v = bu->place[v].next_child)
				order[known++] = v;
		if (grow_one(bu, order[i]) < 0)
			return -ENOMEM;
	}
	assert(known == n);
	*ret_order = order;
	return 0;
}

/* ---- those who go */

static int set_subreaper(struct builder *bu, uint32_t process)
{
	struct plan_step *step;

	if (process == 0 && bu->tree->container)
		process = PLAN_NONE; /* init adopts without a flag, if nobody below has one */
	if (process == bu->subreaper)
		return 0;
	if (bu->subreaper != PLAN_NONE &&
	    !builder_step(bu, PLAN_SUBREAPER, bu->subreaper, "adopts no more"))
		return -ENOMEM;
	bu->subreaper = process;
	if (process == PLAN_NONE)
		return 0;
	step = builder_step(bu, PLAN_SUBREAPER, process, "adopts orphans from here on");
	if (!step)
		return -ENOMEM;
	step->on = true;
	return 0;
}

static int dismiss(struct builder *bu, uint32_t process)
{
	const struct placement *p = &bu->place[process];
	struct plan_step *step;

	if (p->heir != PLAN_NONE && set_subreaper(bu, p->heir) < 0)
		return -ENOMEM;
	step = p->heir == PLAN_NONE ? builder_step(bu, PLAN_EXIT, process, "has done its work")
				    : builder_step(bu, PLAN_EXIT, process, "its children go to %d",
						   builder_number(bu, p->heir));
	if (!step)
		return -ENOMEM;
	step = builder_step(bu, PLAN_WAIT, p->born_under, "%d is not of the tree",
			    builder_number(bu, process));
	if (!step)
		return -ENOMEM;
	step->child = process;
	return 0;
}

static int dismiss_all(struct builder *bu, const uint32_t *order, size_t n)
{
	while (n-- > 0)
		if (order[n] >= bu->tree->n_processes && dismiss(bu, order[n]) < 0)
			return -ENOMEM;
	return 0;
}

/* ---- the end */

/* Members of a session have the leader's terminal from birth; some have given it up. */
static int drop_terminals(struct builder *bu)
{
	const struct tree *tree = bu->tree;

	for (uint32_t i = 0; i < tree->n_processes; i++) {
		uint32_t leader = bu->place[i].session;
		struct plan_step *step;

		if (tree->processes[i].tty)
			continue;
		if (leader == BIRTH_OUTSIDE ? !tree->shell_job : !tty_of(bu, leader))
			continue;
		step = builder_step(bu, PLAN_TTY_DROP, i, "has no controlling terminal any more");
		if (!step)
			return -ENOMEM;
		step->tty = leader == BIRTH_OUTSIDE ? 0 : tty_of(bu, leader);
	}
	return 0;
}

static int set_flags(struct builder *bu)
{
	for (uint32_t i = 0; i < bu->tree->n_processes; i++) {
		bool on = bu->tree->processes[i].subreaper;
		struct plan_step *step;

		if (on == (bu->subreaper == i))
			continue;
		step = builder_step(bu, PLAN_SUBREAPER, i,
				    on ? "is a subreaper" : "is no subreaper in the end");
		if (!step)
			return -ENOMEM;
		step->on = on;
	}
	return 0;
}

static int make_zombies(struct builder *bu)
{
	for (uint32_t i = 0; i < bu->tree->n_processes; i++) {
		struct plan_step *step;

		if (!bu->tree->processes[i].zombie)
			continue;
		step = builder_step(bu, PLAN_EXIT, i, "is a zombie");
		if (!step)
			return -ENOMEM;
		step->status = bu->tree->processes[i].exit_status;
	}
	return 0;
}

int growth_plan(struct builder *bu)
{
	uint32_t *order = NULL;
	size_t n;
	int r;

	r = builder_init(bu) < 0 ? err_oom(bu->ctx) : placement_find(bu);
	if (r < 0)
		return r;
	n = bu->plan->n_processes;
	if (grow_all(bu, &order) < 0)
		return err_oom(bu->ctx);
	r = groups_plan(bu);
	if (r < 0)
		return r;
	if (dismiss_all(bu, order, n) < 0 || drop_terminals(bu) < 0 || set_flags(bu) < 0 ||
	    make_zombies(bu) < 0)
		return err_oom(bu->ctx);
	return 0;
}
