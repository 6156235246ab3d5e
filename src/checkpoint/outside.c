/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What began outside. Sessions are inherited alone, so one that the root or somebody who came in from
 * outside is in, and that nobody of the tree leads, has a leader outside; so has a group of theirs,
 * as long as nobody of the tree leads it. Any other number without a process belongs to somebody of
 * the tree who is dead, and is kept exactly. In a PID namespace of the root's own what is outside has
 * no number at all. The outer numbers, which tell one session outside from another, are only looked
 * at here: the image counts them, in canonical order.
 */
#include "checkpoint/outside.h"

#include <errno.h>

#include "util/arena.h"
#include "util/context.h"

/* A set of numbers, in the order of their first appearance. */
struct numbers {
	pid_t *list;
	size_t n;
};

struct outside {
	struct collect *c;
	struct arena scratch;
	struct numbers sessions; /* of those whose parent is outside, and nobody's of the tree */
	struct numbers groups;
	struct numbers seen_sessions; /* in use by members of the tree, to be counted */
	struct numbers seen_groups;
};

static size_t find(const struct numbers *set, pid_t number)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->list[i] == number)
			return i;
	return set->n;
}

static bool has(const struct numbers *set, pid_t number)
{
	return find(set, number) < set->n;
}

/* Adds the number if it is new; *@ret_place counts from 1. */
static int put(struct outside *o, struct numbers *set, pid_t number, uint32_t *ret_place)
{
	size_t at = find(set, number);
	pid_t *slot;

	if (at == set->n) {
		slot = arena_append(&o->scratch, &set->list, &set->n, sizeof(*slot));
		if (!slot)
			return err_oom(o->c->ctx);
		*slot = number;
	}
	*ret_place = (uint32_t)at + 1;
	return 0;
}

static bool is_led(const struct outside *o, pid_t number)
{
	for (size_t i = 0; i < o->c->n_processes; i++)
		if (o->c->processes[i].pid == number)
			return true;
	return false;
}

/* Those who came in from outside, the root first, brought what they have from there. */
static int look_at_entrant(struct outside *o, const struct collect_process *p)
{
	uint32_t place;
	int r = 0;

	if (!is_led(o, p->stat.session))
		r = put(o, &o->sessions, p->stat.session, &place);
	if (r == 0 && !is_led(o, p->stat.session) && !is_led(o, p->stat.pgrp))
		r = put(o, &o->groups, p->stat.pgrp, &place);
	return r;
}

static int mark(struct outside *o, struct collect_process *p)
{
	Coppice__Process *msg = p->msg;
	int r;

	if (msg->sid[0] != 0 && !has(&o->sessions, p->stat.session))
		return 0;
	msg->sid[0] = 0;
	r = put(o, &o->seen_sessions, p->stat.session, &msg->outside_session);
	/* The group that the session's leader founded is outside as he is. */
	if (r < 0 || (msg->pgid[0] != 0 && p->stat.pgrp != p->stat.session &&
		      !has(&o->groups, p->stat.pgrp)))
		return r;
	msg->pgid[0] = 0;
	return put(o, &o->seen_groups, p->stat.pgrp, &msg->outside_group);
}

int outside_mark(struct collect *c)
{
	struct outside o = {.c = c};
	int r = 0;

	arena_init(&o.scratch, c->ctx);
	for (size_t i = 0; i < c->n_processes && r == 0; i++)
		if (!c->processes[i].parent)
			r = look_at_entrant(&o, &c->processes[i]);
	for (size_t i = 0; i < c->n_processes && r == 0; i++)
		r = mark(&o, &c->processes[i]);
	arena_deinit(&o.scratch);
	return r;
}
