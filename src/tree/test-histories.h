/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All histories of a small process tree, for test-exhaustive.c: a search through the states that can be
 * reached, with some processes more than the final tree has.
 *
 * Without process groups, of the last process that there is room for hardly anything has to be tried. A
 * setsid() then can as well come after the next death, and a birth and a death that have nothing to do with
 * one another can change places. So somebody is born, the forker dies or becomes a zombie, in this case
 * another one dies. A test compares the outcome with that of the whole search.
 */
#pragma once

#include "tree/test-states.h"

/* ---- histories */

struct world {
	unsigned int most; /* processes at one time */
	bool groups;
	bool container;
	bool nested;	/* with a second PID namespace */
	bool strangers; /* processes come in from outside */
	bool whole;	/* states of that many processes are searched like all others */
	enum { NOT_LAST, BORN, FORKER_DEAD } last;
	struct set seen;
	struct set final; /* those of them that are trees, as they look from outside */
	struct state *queue;
	size_t n, room;
};

static bool id_is_used(const struct state *s, uint8_t id)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (s->p[i].sid == id || s->p[i].pgid == id)
			return true;
	return false;
}

/* Nobody is left who sees that @id was of the inner namespace. */
static void leave_inner(struct state *s, uint8_t id)
{
	uint8_t unused = DEAD;

	while (id_is_used(s, unused))
		unused++;
	for (unsigned int i = 0; i < s->n; i++) {
		if (s->p[i].pgid == id)
			s->p[i].pgid = unused;
		if (s->p[i].sid == id)
			s->p[i].sid = unused;
	}
}

static void forget_inner(struct state *s)
{
	for (uint8_t id = INNER; id < IDS; id++)
		if (id_is_used(s, id))
			leave_inner(s, id);
}

/*
 * What can be seen of a state. That a dead leader lived in the inner namespace shows in members there
 * alone.
 */
static struct state visible(const struct state *s)
{
	bool inside[IDS] = {false};
	struct state t = *s;

	for (unsigned int i = 0; i < s->n; i++)
		if (s->p[i].ns)
			inside[s->p[i].sid] = inside[s->p[i].pgid] = true;
	for (uint8_t id = INNER; id < IDS; id++)
		if (!inside[id] && id_is_used(&t, id))
			leave_inner(&t, id);
	return t;
}

/* Whoever has left a tree on a host for the outside is not of the tree. */
static bool is_whole(const struct world *w, const struct state *s)
{
	for (unsigned int i = 1; i < s->n; i++)
		if (!w->container && s->p[i].parent == NOBODY && s->p[i].ns == 0)
			return false;
	return true;
}

static void last_reached(struct world *w, const struct state *s);

static void reached(struct world *w, struct state s)
{
	if (s.n == w->most && !w->whole) {
		last_reached(w, &s);
		return;
	}
	if (!set_add(&w->seen, canonical(&s)))
		return;
	if (w->n == w->room) {
		w->room = w->room ? w->room * 2 : 1024;
		w->queue = realloc(w->queue, w->room * sizeof(*w->queue));
		assert_non_null(w->queue);
	}
	w->queue[w->n++] = s;
	if (is_whole(w, &s)) {
		struct state t = visible(&s);

		set_add(&w->final, canonical(&t));
	}
}

static bool is_init(const struct world *w, const struct state *s, unsigned int a)
{
	return s->inner == a + 1 || (a == 0 && w->container);
}

static void last_born(struct world *w, const struct state *s, unsigned int forker);

/* The last process of @s is @forker's child. */
static void born(struct world *w, struct state s, unsigned int forker)
{
	if (s.n == w->most && !w->whole)
		last_born(w, &s, forker);
	else
		reached(w, s);
}

/* Process @a, which is of namespace @ns or above, forks into it. */
static void fork_into(struct world *w, const struct state *s, unsigned int a, uint8_t ns)
{
	struct state t = *s;
	struct proc *child = &t.p[t.n];

	*child = s->p[a];
	child->parent = (uint8_t)a;
	child->ns = ns;
	t.n++;
	if (ns && !s->inner)
		t.inner = t.n;
	born(w, t, a);
	if (a == 0 || is_init(w, s, a))
		return;
	child->parent = s->p[a].parent; /* CLONE_PARENT */
	born(w, t, a);
}

static bool inner_lives(const struct state *s)
{
	return s->inner && !s->p[s->inner - 1].zombie;
}

static void do_fork(struct world *w, const struct state *s, unsigned int a)
{
	if (s->n == w->most)
		return;
	fork_into(w, s, a, s->p[a].ns);
	/* by CLONE_NEWPID, or by setns() */
	if (w->nested && s->p[a].ns == 0 && (!s->inner || inner_lives(s)))
		fork_into(w, s, a, 1);
}

/* Somebody outside forks into a namespace of the tree. */
static void do_enter(struct world *w, const struct state *s)
{
	for (uint8_t ns = w->container ? 0 : 1; ns < 2 && s->n < w->most; ns++) {
		struct state t = *s;

		if (!w->strangers || (ns && !inner_lives(s)) || (w->container && s->p[0].zombie))
			continue;
		t.p[t.n] = (struct proc){.parent = NOBODY, .ns = ns};
		t.n++;
		born(w, t, NOBODY);
	}
}

static bool id_is_group(const struct state *s, uint8_t id)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (s->p[i].pgid == id)
			return true;
	return false;
}

static void do_setsid(struct world *w, const struct state *s, unsigned int a)
{
	uint8_t id = (uint8_t)(a + 1);
	struct state t = *s;

	if (s->p[a].sid == id || id_is_group(s, id))
		return;
	t.p[a].sid = t.p[a].pgid = id;
	reached(w, t);
}

static uint8_t ns_of(const struct state *s, uint8_t id)
{
	if (id <= s->n)
		return s->p[id - 1].ns;
	return id >= INNER;
}

/* Namespace @ns, 0 or 1, sees the leaders in it and below. OUTSIDE is in none, or (host) in 0. */
static bool sees(const struct world *w, const struct state *s, uint8_t ns, uint8_t id)
{
	if (id == OUTSIDE)
		return !w->container && ns == 0;
	return ns_of(s, id) >= ns;
}

/* Somebody who sees what @from does puts @a into a group of its session. */
static void set_group(struct world *w, const struct state *s, unsigned int a, bool outside,
		      uint8_t from)
{
	uint8_t id = (uint8_t)(a + 1);
	struct state t = *s;

	t.p[a].pgid = id;
	reached(w, t);
	for (unsigned int i = 0; i < s->n; i++) {
		if (s->p[i].sid != s->p[a].sid || s->p[i].pgid == OUTSIDE ||
		    !(outside || sees(w, s, from, s->p[i].pgid)))
			continue;
		t.p[a].pgid = s->p[i].pgid;
		reached(w, t);
	}
	t.p[a].pgid = OUTSIDE; /* whose leader stays alive */
	if ((outside || sees(w, s, from, OUTSIDE)) && s->p[a].sid == OUTSIDE)
		reached(w, t);
}

/* By itself, by its parent, or by a parent outside that is in the session outside. */
static void do_setpgid(struct world *w, const struct state *s, unsigned int a)
{
	uint8_t parent = s->p[a].parent;

	if (!w->groups || s->p[a].sid == a + 1)
		return;
	set_group(w, s, a, false, s->p[a].ns);
	if (parent != NOBODY && s->p[parent].ns != s->p[a].ns && s->p[parent].sid == s->p[a].sid)
		set_group(w, s, a, false, s->p[parent].ns);
	if (parent == NOBODY && s->p[a].sid == OUTSIDE)
		set_group(w, s, a, true, 0);
}

/* Process @a is no more; its id lives on where it is used, and the last process takes its place. */
static void remove_process(struct state *s, unsigned int a)
{
	uint8_t old = (uint8_t)(a + 1), last = (uint8_t)s->n, unused = s->p[a].ns ? INNER : DEAD;

	while (id_is_used(s, unused))
		unused++;
	if (s->inner == old)
		s->inner = 0;
	else if (s->inner == last)
		s->inner = old;
	s->p[a] = s->p[s->n - 1];
	s->n--;
	for (unsigned int i = 0; i < s->n; i++) {
		struct proc *p = &s->p[i];

		p->sid = p->sid == old ? unused : p->sid == last ? old : p->sid;
		p->pgid = p->pgid == old ? unused : p->pgid == last ? old : p->pgid;
		if (p->parent != NOBODY && p->parent == last - 1)
			p->parent = (uint8_t)a;
	}
}

/* @a exits and its children go to @heir; it stays as a zombie, or is waited for. */
static void exit_to(struct world *w, const struct state *s, unsigned int a, uint8_t heir)
{
	struct state t = *s;

	for (unsigned int i = 1; i < t.n; i++)
		if (t.p[i].parent == a)
			t.p[i].parent = heir;
	t.p[a].zombie = 1;
	reached(w, t);
	remove_process(&t, a);
	if (s->inner && !t.inner)
		forget_inner(&t);
	reached(w, t);
}

/*
 * The last one in its namespace may go, unless a number of that is in use as a group's by somebody
 * who stays, or by init itself, which would wait for it forever. That init can take others along leads
 * to nothing new.
 */
static bool may_exit(const struct state *s, unsigned int a)
{
	for (unsigned int i = 0; i < s->n && s->inner == a + 1; i++) {
		uint8_t group = s->p[i].pgid;

		if ((i != a && s->p[i].ns) || group >= INNER ||
		    (group != a + 1 && group && group <= s->n && s->p[group - 1].ns))
			return false;
	}
	return true;
}

static void do_exit(struct world *w, const struct state *s, unsigned int a)
{
	uint8_t ns = s->p[a].ns, heir = s->p[a].parent;

	if (!may_exit(s, a))
		return;
	/* a subreaper above, if it has the flag, without leaving the namespace */
	for (; heir != NOBODY && s->p[heir].ns == ns; heir = s->p[heir].parent)
		exit_to(w, s, a, heir);
	if (ns)
		exit_to(w, s, a, (uint8_t)(s->inner - 1));
	else if (w->container)
		exit_to(w, s, a, 0);
	else if (w->strangers)
		exit_to(w, s, a, NOBODY);
}

/* The root stays as a zombie, or it were no tree; an init takes everybody along. */
static void do_exit_root(struct world *w, const struct state *s)
{
	struct state t = *s;

	if (w->container && (s->n > 1 || s->p[0].pgid > 1))
		return; /* the second: a group led from within; see may_exit() */
	for (unsigned int i = 1; i < t.n; i++) {
		if (t.p[i].parent == 0 && !w->strangers)
			return; /* nobody outside is part of this search */
		if (t.p[i].parent == 0)
			t.p[i].parent = NOBODY;
	}
	t.p[0].zombie = 1;
	reached(w, t);
}

/* ---- the last process */

/* A zombie more, and as many processes as can be: somebody has to go. */
static void last_reached(struct world *w, const struct state *s)
{
	if (w->last != BORN)
		return;
	w->last = FORKER_DEAD;
	for (unsigned int a = 1; a < s->n; a++)
		if (!s->p[a].zombie)
			do_exit(w, s, a);
	w->last = BORN;
}

static void last_born(struct world *w, const struct state *s, unsigned int forker)
{
	if (forker == NOBODY || forker == 0)
		return;
	w->last = BORN;
	do_exit(w, s, forker);
	w->last = NOT_LAST;
}

static void explore(struct world *w)
{
	struct state root = {.n = 1, .p = {{.parent = NOBODY}}};

	reached(w, root);
	for (size_t i = 0; i < w->n; i++) {
		struct state s = w->queue[i];

		do_enter(w, &s);
		for (unsigned int a = 0; a < s.n; a++) {
			if (s.p[a].zombie)
				continue;
			do_fork(w, &s, a);
			do_setsid(w, &s, a);
			do_setpgid(w, &s, a);
			if (a)
				do_exit(w, &s, a);
			else
				do_exit_root(w, &s);
		}
	}
}
