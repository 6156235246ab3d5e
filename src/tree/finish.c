/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a plan. Scaffolds and dead leaders exit, the last born first (placement.c says why);
 * terminals are dropped, subreaper flags set as they shall be, namespaces entered; zombies die.
 */
#include <errno.h>
#include <stdio.h>

#include "tree/builder.h"

/* ---- those who go */

static int set_flag(struct builder *bu, uint32_t process, bool on, const char *why)
{
	struct plan_step *step;

	step = builder_step(bu, PLAN_SUBREAPER, process == BUILDER_OUTSIDE ? PLAN_NONE : process,
			    "%s", why);
	if (!step)
		return -ENOMEM;
	step->on = on;
	return 0;
}

static int set_subreaper(struct builder *bu, uint32_t process)
{
	if (builder_in_tree(bu, process) && bu->birth->nodes[process].init)
		process = PLAN_NONE; /* init adopts without a flag, if nobody below has one */
	if (process == bu->subreaper)
		return 0;
	if (bu->subreaper != PLAN_NONE && set_flag(bu, bu->subreaper, false, "adopts no more") < 0)
		return -ENOMEM;
	bu->subreaper = process;
	if (process == PLAN_NONE)
		return 0;
	return set_flag(bu, process, true, "adopts orphans from here on");
}

static int dismiss(struct builder *bu, uint32_t process)
{
	uint32_t heir = bu->place[process].heir;
	char why[64] = "has done its work";

	if (heir == BUILDER_OUTSIDE)
		(void)snprintf(why, sizeof(why), "its children go to the outside");
	else if (heir != PLAN_NONE)
		(void)snprintf(why, sizeof(why), "its children go to %d", builder_number(bu, heir));
	if (heir != PLAN_NONE && set_subreaper(bu, heir) < 0)
		return -ENOMEM;
	if (bu->subreaper == process)
		bu->subreaper = PLAN_NONE; /* the flag goes with it */
	return births_dismiss(bu, process, why);
}

static int dismiss_all(struct builder *bu)
{
	for (size_t i = bu->n_order; i-- > 0;)
		if (!builder_in_tree(bu, bu->order[i]) && dismiss(bu, bu->order[i]) < 0)
			return -ENOMEM;
	return 0;
}

/* ---- the others */

/* Members of a session have the leader's terminal from birth; some have given it up. */
static int drop_terminals(struct builder *bu)
{
	const struct tree *tree = bu->tree;

	for (uint32_t i = 0; i < tree->n_processes; i++) {
		uint32_t leader = bu->place[i].session, tty = 0;
		bool had = leader == BIRTH_OUTSIDE && tree->shell_job &&
			   tree->processes[i].outside_session == tree->processes[0].outside_session;
		struct plan_step *step;

		if (builder_in_tree(bu, leader)) {
			tty = tree->processes[leader].tty;
			had = tty != 0;
		}
		if (tree->processes[i].tty || !had)
			continue;
		step = builder_step(bu, PLAN_TTY_DROP, i, "has no controlling terminal any more");
		if (!step)
			return -ENOMEM;
		step->tty = tty;
	}
	return 0;
}

static int set_flags(struct builder *bu)
{
	if (bu->subreaper == BUILDER_OUTSIDE && set_subreaper(bu, PLAN_NONE) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < bu->tree->n_processes; i++) {
		bool on = bu->tree->processes[i].subreaper;

		if (on == (bu->subreaper == i))
			continue;
		if (set_flag(bu, i, on, on ? "is a subreaper" : "is no subreaper in the end") < 0)
			return -ENOMEM;
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

int finish_plan(struct builder *bu)
{
	return dismiss_all(bu) < 0 || drop_terminals(bu) < 0 || set_flags(bu) < 0 ||
			       namespaces_end(bu) < 0 || make_zombies(bu) < 0
		       ? -ENOMEM
		       : 0;
}
