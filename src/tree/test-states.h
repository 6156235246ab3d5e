/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small states of a process tree, for test-exhaustive.c: what they are, their canonical form, and sets
 * of them. Two states that differ in their numbers alone are one.
 *
 * There are at most two PID namespaces, the root's and one inside.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX = 8,	    /* processes */
	OUTSIDE = 0,	    /* the id of session and group outside; id i + 1 is led by process i */
	DEAD = MAX + 1,	    /* ids from here on: those of dead leaders, by first occurrence */
	INNER = DEAD + MAX, /* likewise, of leaders that lived in the inner namespace */
	IDS = INNER + MAX,  /* more never happen: 5 bits */
	NOBODY = MAX - 1,   /* a parent outside */
};

struct proc {
	uint8_t parent;
	uint8_t ns; /* 1: the inner one */
	uint8_t sid;
	uint8_t pgid;
	uint8_t zombie;
};

/* Process 0 is the root. */
struct state {
	unsigned int n;
	unsigned int inner; /* the init of the inner namespace, plus 1; 0: there is none */
	struct proc p[MAX];
};

typedef unsigned __int128 key;

/* ---- sets of states */

struct set {
	key *slots; /* 0: free; no state has that key */
	size_t room;
	size_t n;
};

static size_t slot_of(const struct set *set, key k)
{
	uint64_t h = ((uint64_t)k ^ (uint64_t)(k >> 64) * 31) * UINT64_C(0x9e3779b97f4a7c15);
	size_t at = (size_t)(h ^ h >> 32) & (set->room - 1);

	while (set->slots[at] && set->slots[at] != k)
		at = (at + 1) & (set->room - 1);
	return at;
}

static bool set_has(const struct set *set, key k)
{
	return set->room && set->slots[slot_of(set, k)];
}

/* False when it was there before. */
static bool set_add(struct set *set, key k)
{
	struct set old = *set;

	if (set_has(set, k))
		return false;
	if (set->n * 2 >= set->room) {
		set->room = set->room ? set->room * 2 : 1024;
		set->slots = calloc(set->room, sizeof(key));
		assert_non_null(set->slots);
		for (size_t i = 0; i < old.room; i++)
			if (old.slots[i])
				set->slots[slot_of(set, old.slots[i])] = old.slots[i];
		free(old.slots);
	}
	set->slots[slot_of(set, k)] = k;
	set->n++;
	return true;
}

/* ---- canonical form: the least key of all orders of the processes */

static uint64_t mix(uint64_t a, uint64_t b)
{
	a = (a ^ b) * UINT64_C(0xff51afd7ed558ccd);
	return a ^ a >> 29;
}

/* Colours that do not depend on the order; processes of one colour are nearly always twins. */
static void colour(const struct state *s, uint64_t c[MAX])
{
	for (unsigned int i = 0; i < s->n; i++)
		c[i] = mix(i == 0, s->p[i].zombie + 3 + s->p[i].ns * 29 + (s->inner == i + 1) * 31 +
					   (i && s->p[i].parent == NOBODY) * 37);
	for (int round = 0; round < 4; round++) {
		uint64_t led[IDS] = {0}, next[MAX];

		for (unsigned int i = 0; i < s->n; i++) {
			led[s->p[i].sid] += mix(c[i], 5);
			led[s->p[i].pgid] += mix(c[i], 7);
		}
		led[OUTSIDE] = 11;
		for (unsigned int i = 0; i < s->n; i++) {
			next[i] = mix(mix(c[i], led[s->p[i].sid]), mix(led[s->p[i].pgid], 13));
			next[i] = mix(next[i], led[i + 1] + (s->p[i].sid == i + 1) * 17 +
						       (s->p[i].pgid == i + 1) * 19);
			if (s->p[i].parent != NOBODY)
				next[i] = mix(next[i], c[s->p[i].parent]);
		}
		for (unsigned int i = 1; i < s->n; i++)
			if (s->p[i].parent != NOBODY)
				next[s->p[i].parent] += mix(c[i], 23);
		memcpy(c, next, sizeof(next));
	}
}

static uint8_t new_id(uint8_t id, const uint8_t place[MAX], uint8_t dead[IDS], uint8_t n_dead[2])
{
	if (id == OUTSIDE)
		return OUTSIDE;
	if (id < DEAD)
		return (uint8_t)(place[id - 1] + 1);
	if (!dead[id])
		dead[id] = (uint8_t)(id < INNER ? DEAD + n_dead[0]++ : INNER + n_dead[1]++);
	return dead[id];
}

/* The state with process order[i] in place i. */
static void reorder(const struct state *s, const uint8_t order[MAX], struct state *ret)
{
	uint8_t place[MAX] = {0}, dead[IDS] = {0}, n_dead[2] = {0};

	for (uint8_t i = 0; i < s->n; i++)
		place[order[i]] = i;
	*ret = (struct state){.n = s->n, .inner = s->inner ? place[s->inner - 1] + 1u : 0};
	for (unsigned int i = 0; i < s->n; i++) {
		const struct proc *p = &s->p[order[i]];

		ret->p[i].parent = p->parent == NOBODY ? NOBODY : place[p->parent];
		ret->p[i].ns = p->ns;
		ret->p[i].sid = new_id(p->sid, place, dead, n_dead);
		ret->p[i].pgid = new_id(p->pgid, place, dead, n_dead);
		ret->p[i].zombie = p->zombie;
	}
	assert_true(n_dead[0] <= MAX && n_dead[1] <= MAX);
}

static key pack(const struct state *s)
{
	key k = s->n << 3 | s->inner;

	for (unsigned int i = 0; i < s->n; i++) {
		k = k << 3 | s->p[i].parent;
		k = k << 5 | s->p[i].sid;
		k = k << 5 | s->p[i].pgid;
		k = k << 2 | s->p[i].zombie << 1 | s->p[i].ns;
	}
	return k;
}

/* Of how many processes is the state with key @k? See pack(). */
static inline unsigned int state_size(key k)
{
	for (unsigned int n = 1; n <= MAX; n++)
		if (k >> 15 * n >> 3 == n)
			return n;
	return 0;
}

static void swap(uint8_t *a, uint8_t *b)
{
	uint8_t t = *a;

	*a = *b;
	*b = t;
}

static bool twins(const struct state *s, uint8_t a, uint8_t b)
{
	if (s->inner == a + 1u || s->inner == b + 1u)
		return false;
	for (unsigned int i = 0; i < s->n; i++) {
		const struct proc *p = &s->p[i];

		if (p->parent == a || p->parent == b)
			return false;
		if (p->sid == a + 1 || p->sid == b + 1 || p->pgid == a + 1 || p->pgid == b + 1)
			return false;
	}
	return memcmp(&s->p[a], &s->p[b], sizeof(s->p[a])) == 0;
}

/* Tries all orders of those with one colour from place @at on. */
static void least_order(const struct state *s, const uint64_t c[MAX], uint8_t order[MAX],
			unsigned int at, key *best, struct state *ret)
{
	struct state now;
	key k;

	if (at == s->n) {
		reorder(s, order, &now);
		k = pack(&now);
		if (k < *best) {
			*best = k;
			*ret = now;
		}
		return;
	}
	for (unsigned int i = at; i < s->n && c[order[i]] == c[order[at]]; i++) {
		if (i > at && twins(s, order[i], order[at]))
			continue;
		swap(&order[i], &order[at]);
		least_order(s, c, order, at + 1, best, ret);
		swap(&order[i], &order[at]);
	}
}

static key canonical(struct state *s)
{
	uint8_t order[MAX] = {0};
	uint64_t c[MAX];
	struct state best_state = *s;
	key best = ~(key)0;

	colour(s, c);
	for (uint8_t i = 1; i < s->n; i++) {
		unsigned int j = i;

		for (; j > 1 && c[order[j - 1]] > c[i]; j--)
			order[j] = order[j - 1];
		order[j] = i;
	}
	least_order(s, c, order, 1, &best, &best_state);
	*s = best_state;
	return best;
}
