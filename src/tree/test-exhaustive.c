/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every state of a small process tree, planned. A search over all histories, with some processes more
 * than the final tree has, says which states can be reached; the planner must find a plan that
 * leads exactly there for each of them, and must refuse every other state that could be written down.
 *
 * The kernel of this search is a third one, written for it: states are small and made canonical, so
 * that two trees which differ in their numbers alone are one. PR_SET_CHILD_SUBREAPER is no part
 * of the state: it can be set and cleared at any time, so an exiting process may hand its children
 * to any living ancestor. A zombie that is not to stay is waited for at once.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tree/planner.h"
#include "tree/replay.h"
#include "util/macro.h"
#include "util/strbuf.h"

enum {
	MAX = 8,	  /* processes */
	OUTSIDE = 0,	  /* the id of session and group outside; id i + 1 is led by process i */
	DEAD = MAX + 1,	  /* ids from here on: those of dead leaders, by first occurrence */
	IDS = DEAD + MAX, /* more never happen: 7 states in 4 bits */
	NOBODY = MAX - 1, /* the root's parent */
};

struct proc {
	uint8_t parent;
	uint8_t sid;
	uint8_t pgid;
	uint8_t zombie;
};

/* Process 0 is the root. */
struct state {
	unsigned int n;
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
		c[i] = mix(i == 0, s->p[i].zombie + 3);
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
			if (i)
				next[i] = mix(next[i], c[s->p[i].parent]);
		}
		for (unsigned int i = 1; i < s->n; i++)
			next[s->p[i].parent] += mix(c[i], 23);
		memcpy(c, next, sizeof(next));
	}
}

static uint8_t new_id(uint8_t id, const uint8_t place[MAX], uint8_t dead[IDS], uint8_t *n_dead)
{
	if (id == OUTSIDE)
		return OUTSIDE;
	if (id < DEAD)
		return (uint8_t)(place[id - 1] + 1);
	if (!dead[id])
		dead[id] = (uint8_t)(DEAD + (*n_dead)++);
	return dead[id];
}

/* The state with process order[i] in place i. */
static void reorder(const struct state *s, const uint8_t order[MAX], struct state *ret)
{
	uint8_t place[MAX] = {0}, dead[IDS] = {0}, n_dead = 0;

	for (uint8_t i = 0; i < s->n; i++)
		place[order[i]] = i;
	*ret = (struct state){.n = s->n};
	for (unsigned int i = 0; i < s->n; i++) {
		const struct proc *p = &s->p[order[i]];

		ret->p[i].parent = i ? place[p->parent] : NOBODY;
		ret->p[i].sid = new_id(p->sid, place, dead, &n_dead);
		ret->p[i].pgid = new_id(p->pgid, place, dead, &n_dead);
		ret->p[i].zombie = p->zombie;
	}
	assert_true(n_dead <= IDS - DEAD);
}

static key pack(const struct state *s)
{
	key k = s->n;

	for (unsigned int i = 0; i < s->n; i++) {
		k = k << 3 | s->p[i].parent;
		k = k << 5 | s->p[i].sid;
		k = k << 5 | s->p[i].pgid;
		k = k << 1 | s->p[i].zombie;
	}
	return k;
}

static void swap(uint8_t *a, uint8_t *b)
{
	uint8_t t = *a;

	*a = *b;
	*b = t;
}

static bool twins(const struct state *s, uint8_t a, uint8_t b)
{
	for (unsigned int i = 0; i < s->n; i++) {
		const struct proc *p = &s->p[i];

		if (i && (p->parent == a || p->parent == b))
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

/* ---- histories */

struct world {
	unsigned int most; /* processes at one time */
	bool groups;
	bool container;
	struct set seen;
	struct state *queue;
	size_t n, room;
};

static void reached(struct world *w, struct state s)
{
	if (!set_add(&w->seen, canonical(&s)))
		return;
	if (w->n == w->room) {
		w->room = w->room ? w->room * 2 : 1024;
		w->queue = realloc(w->queue, w->room * sizeof(*w->queue));
		assert_non_null(w->queue);
	}
	w->queue[w->n++] = s;
}

static void do_fork(struct world *w, const struct state *s, unsigned int a)
{
	struct state t = *s;
	struct proc *child = &t.p[t.n];

	if (s->n == w->most)
		return;
	*child = s->p[a];
	child->parent = (uint8_t)a;
	t.n++;
	reached(w, t);
	if (a == 0)
		return;
	child->parent = s->p[a].parent; /* CLONE_PARENT */
	reached(w, t);
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

/* A container cannot see groups outside: nobody goes back into one, but init by its parent outside. */
static void do_setpgid(struct world *w, const struct state *s, unsigned int a)
{
	uint8_t id = (uint8_t)(a + 1);
	struct state t = *s;

	if (!w->groups || s->p[a].sid == id)
		return;
	t.p[a].pgid = id;
	reached(w, t);
	for (unsigned int i = 0; i < s->n; i++) {
		if (s->p[i].sid != s->p[a].sid || s->p[i].pgid == OUTSIDE)
			continue;
		t.p[a].pgid = s->p[i].pgid;
		reached(w, t);
	}
	t.p[a].pgid = OUTSIDE; /* whose leader stays alive */
	if ((!w->container || a == 0) && s->p[a].sid == OUTSIDE)
		reached(w, t);
}

static bool id_is_used(const struct state *s, uint8_t id)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (s->p[i].sid == id || s->p[i].pgid == id)
			return true;
	return false;
}

/* Process @a is no more; its id lives on where it is used, and the last process takes its place. */
static void remove_process(struct state *s, unsigned int a)
{
	uint8_t old = (uint8_t)(a + 1), last = (uint8_t)s->n, unused = DEAD;

	while (id_is_used(s, unused))
		unused++;
	s->p[a] = s->p[s->n - 1];
	s->n--;
	for (unsigned int i = 0; i < s->n; i++) {
		struct proc *p = &s->p[i];

		p->sid = p->sid == old ? unused : p->sid == last ? old : p->sid;
		p->pgid = p->pgid == old ? unused : p->pgid == last ? old : p->pgid;
		if (p->parent == last - 1 && i)
			p->parent = (uint8_t)a;
	}
}

static void do_exit(struct world *w, const struct state *s, unsigned int a)
{
	for (unsigned int heir = s->p[a].parent;; heir = s->p[heir].parent) {
		struct state t = *s;

		for (unsigned int i = 1; i < t.n; i++)
			if (t.p[i].parent == a)
				t.p[i].parent = (uint8_t)heir;
		t.p[a].zombie = 1;
		reached(w, t);
		remove_process(&t, a);
		reached(w, t);
		if (heir == 0)
			return;
	}
}

static void explore(struct world *w)
{
	struct state root = {.n = 1, .p = {{.parent = NOBODY}}};

	reached(w, root);
	for (size_t i = 0; i < w->n; i++) {
		struct state s = w->queue[i];

		for (unsigned int a = 0; a < s.n; a++) {
			if (s.p[a].zombie)
				continue;
			do_fork(w, &s, a);
			do_setsid(w, &s, a);
			do_setpgid(w, &s, a);
			if (a)
				do_exit(w, &s, a);
		}
	}
}

/* ---- the planner's answer */

struct answer {
	struct tree tree;
	struct tree_process process[MAX];
	struct tree_pid_ns ns;
	struct tree_user_ns user_ns;
	int32_t number[MAX][3];
};

static int32_t number_of(uint8_t id, int32_t root)
{
	if (id == OUTSIDE)
		return 0;
	return id == 1 ? root : 10 + id;
}

static void make_tree(const struct state *s, bool container, struct answer *a)
{
	int32_t root = container ? 1 : 1000;

	*a = (struct answer){
		.tree = {a->process, s->n, &a->ns, 1, &a->user_ns, 1, container, false},
		.ns = {.parent = TREE_NONE},
		.user_ns = {.parent = TREE_NONE},
	};
	for (unsigned int i = 0; i < s->n; i++) {
		const struct proc *p = &s->p[i];

		a->number[i][0] = number_of((uint8_t)(i + 1), root);
		a->number[i][1] = number_of(p->sid, root);
		a->number[i][2] = number_of(p->pgid, root);
		a->process[i] = (struct tree_process){
			.id = i + 1,
			.parent = i ? p->parent : TREE_NONE,
			.pid = &a->number[i][0],
			.sid = &a->number[i][1],
			.pgid = &a->number[i][2],
			.zombie = p->zombie,
			.exit_signal = SIGCHLD,
		};
	}
}

static void print_state(const struct state *s, const char *what)
{
	print_message("%s:", what);
	for (unsigned int i = 0; i < s->n; i++)
		print_message("  %u: parent %d sid %d pgid %d%s;", i + 1,
			      i ? s->p[i].parent + 1 : 0, s->p[i].sid, s->p[i].pgid,
			      s->p[i].zombie ? " zombie" : "");
	print_message("\n");
}

enum answer_kind {
	PLANNED, /* and the plan leads there */
	REFUSED, /* as impossible, or as not supported */
	WRONG,
};

static enum answer_kind ask(const struct state *s, bool container)
{
	struct strbuf diff = {0};
	struct context ctx = {0};
	enum answer_kind kind;
	struct plan *plan;
	struct answer a;
	struct arena arena;
	int r;

	make_tree(s, container, &a);
	arena_init(&arena, NULL);
	r = planner_run(&ctx, &arena, &a.tree, NULL, &plan);
	if (r == 0)
		kind = replay_diff(&a.tree, plan, &diff) == 0 ? PLANNED : WRONG;
	else
		kind = r == -EDOM || r == -EOPNOTSUPP ? REFUSED : WRONG;
	if (kind == WRONG)
		print_message("planner: %d %s %s\n", r, ctx.err.frame[0], strbuf_text(&diff));
	strbuf_deinit(&diff);
	arena_deinit(&arena);
	return kind;
}

/* ---- all states that can be written down */

struct census {
	const struct set *reachable;
	struct set seen;
	bool groups;
	bool container;
	size_t n_reachable, n_impossible, n_wrong;
	/* States that the planner leads to, but the search does not: it had too few processes. */
	size_t n_beyond;
};

static void consider(struct census *c, const struct state *written)
{
	struct state s = *written;
	key k = canonical(&s);
	enum answer_kind kind;
	bool reachable;

	if (!set_add(&c->seen, k))
		return;
	reachable = set_has(c->reachable, k);
	kind = ask(&s, c->container);
	c->n_reachable += reachable;
	c->n_beyond += !reachable && kind == PLANNED;
	c->n_impossible += !reachable && kind == REFUSED;
	if (kind != WRONG && (!reachable || kind == PLANNED))
		return;
	if (c->n_wrong++ < 5)
		print_state(&s, reachable ? "can be reached" : "cannot be reached");
}

/* Ids for sessions (@field 0) and groups (1) of process @i on; dead ones by first occurrence. */
static void write_ids(struct census *c, struct state *s, unsigned int i, int field, uint8_t dead)
{
	uint8_t last = (uint8_t)(DEAD + dead);

	if (i == s->n && field == 0 && c->groups) {
		write_ids(c, s, 0, 1, dead);
		return;
	}
	if (i == s->n) {
		consider(c, s);
		return;
	}
	for (uint8_t id = 0; id <= last; id++) {
		if (id > s->n && id < DEAD)
			continue;
		if (field == 0)
			s->p[i].sid = s->p[i].pgid = id;
		else
			s->p[i].pgid = id;
		write_ids(c, s, i + 1, field, (uint8_t)(dead + (id == last)));
	}
}

static bool is_tree(const struct state *s)
{
	for (unsigned int i = 1; i < s->n; i++) {
		unsigned int at = i;

		for (unsigned int steps = 0; at && steps < s->n; steps++)
			at = s->p[at].parent;
		if (at)
			return false;
	}
	return true;
}

static void write_parents(struct census *c, struct state *s, unsigned int i)
{
	if (i == s->n) {
		if (is_tree(s))
			write_ids(c, s, 0, 0, 0);
		return;
	}
	for (uint8_t parent = 0; parent < s->n; parent++)
		for (uint8_t zombie = 0; zombie < 2 && parent != i; zombie++) {
			s->p[i].parent = parent;
			s->p[i].zombie = zombie;
			write_parents(c, s, i + 1);
		}
}

static size_t count(const struct world *w, unsigned int n)
{
	size_t found = 0;

	for (size_t i = 0; i < w->n; i++)
		found += w->queue[i].n == n;
	return found;
}

static void world_deinit(struct world *w)
{
	free(w->seen.slots);
	free(w->queue);
}

/*
 * All histories, with more and more processes at a time until that leads to nothing new. @enough: as many
 * as an earlier run has found to do; 0: find out.
 */
static void explore_all(unsigned int n, unsigned int enough, struct world *w)
{
	const struct world start = *w;
	size_t before = 0, now = 0;

	for (unsigned int most = enough ? enough : n + 1; now == 0 || now != before; most++) {
		before = now;
		world_deinit(w);
		*w = start;
		w->most = most;
		explore(w);
		now = count(w, n);
		if (enough)
			return;
	}
}

/* Returns how many states the search was too small for. */
static size_t census(unsigned int n, unsigned int enough, bool groups, bool container)
{
	struct world w = {.groups = groups, .container = container};
	struct census c = {.reachable = &w.seen, .groups = groups, .container = container};
	struct state s = {.n = n, .p = {{.parent = NOBODY}}};

	explore_all(n, enough, &w);
	write_parents(&c, &s, 1);
	print_message(
		"%u processes%s, %s: %zu states reachable with up to %u at a time (%zu searched) "
		"and planned, %zu more planned, %zu impossible and refused\n",
		n, groups ? " with groups" : "", container ? "container" : "host", c.n_reachable,
		w.most, w.n, c.n_beyond, c.n_impossible);
	assert_int_equal(c.n_wrong, 0);
	world_deinit(&w);
	free(c.seen.slots);
	return c.n_beyond;
}

/*
 * COPPICE_TEST_LONG=1 takes some minutes: five processes, and no knowledge of how many processes at a
 * time are enough for fewer. What five need goes beyond any search here; the rest is then proven by
 * its plans.
 */
static bool is_long(void)
{
	return getenv("COPPICE_TEST_LONG");
}

static void test_sessions(void **state)
{
	static const unsigned int enough[] = {0, 2, 3, 4, 6};

	(void)state;
	for (unsigned int n = 1; n < ARRAY_SIZE(enough); n++)
		assert_int_equal(census(n, is_long() ? 0 : enough[n], false, n % 2), 0);
	if (is_long())
		(void)census(5, 7, false, true);
}

static void test_groups(void **state)
{
	static const unsigned int enough[] = {0, 2, 3, 4};

	(void)state;
	for (unsigned int n = 1; n < ARRAY_SIZE(enough); n++)
		for (int container = 0; container < 2; container++)
			assert_int_equal(census(n, is_long() ? 0 : enough[n], true, container), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
