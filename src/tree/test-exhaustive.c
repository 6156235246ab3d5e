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
#include "tree/test-states.h"
#include "util/macro.h"
#include "util/strbuf.h"

/* ---- histories */

struct world {
	unsigned int most; /* processes at one time */
	bool groups;
	bool container;
	bool nested;	/* with a second PID namespace */
	bool strangers; /* processes come in from outside */
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
	if (is_whole(w, &s)) {
		struct state t = visible(&s);

		set_add(&w->final, canonical(&t));
	}
}

static bool is_init(const struct world *w, const struct state *s, unsigned int a)
{
	return s->inner == a + 1 || (a == 0 && w->container);
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
	reached(w, t);
	if (a == 0 || is_init(w, s, a))
		return;
	child->parent = s->p[a].parent; /* CLONE_PARENT */
	reached(w, t);
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

		if (!w->strangers || (ns && !inner_lives(s)))
			continue;
		t.p[t.n] = (struct proc){.parent = NOBODY, .ns = ns};
		t.n++;
		reached(w, t);
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
		}
	}
}

/* ---- the planner's answer */

struct answer {
	struct tree tree;
	struct tree_process process[MAX];
	struct tree_pid_ns ns[2];
	struct tree_user_ns user_ns;
	int32_t number[MAX][3][2];
};

/* The numbers of an id on both levels, as namespace @from sees them. */
static void numbers_of(const struct state *s, uint8_t id, int32_t root, uint8_t from,
		       int32_t ret[2])
{
	ret[0] = ret[1] = 0;
	if (id == OUTSIDE)
		return;
	ret[0] = id == 1 ? root : 10 + id;
	if (from && ns_of(s, id))
		ret[1] = id == s->inner ? 1 : 50 + id;
}

static void make_process(const struct state *s, unsigned int i, int32_t root, struct answer *a)
{
	const struct proc *p = &s->p[i];

	numbers_of(s, (uint8_t)(i + 1), root, p->ns, a->number[i][0]);
	numbers_of(s, p->sid, root, p->ns, a->number[i][1]);
	numbers_of(s, p->pgid, root, p->ns, a->number[i][2]);
	a->process[i] = (struct tree_process){
		.id = i + 1,
		.parent = p->parent == NOBODY ? TREE_NONE : p->parent,
		.pid_ns = p->ns,
		.children_ns = p->ns,
		.pid = a->number[i][0],
		.sid = a->number[i][1],
		.pgid = a->number[i][2],
		.zombie = p->zombie,
		.exit_signal = SIGCHLD,
	};
}

static void make_tree(const struct state *s, bool container, struct answer *a)
{
	int32_t root = container ? 1 : 1000;

	*a = (struct answer){
		.tree = {a->process, s->n, a->ns, s->inner ? 2 : 1, &a->user_ns, 1, container,
			 false},
		.ns = {{.parent = TREE_NONE}, {.parent = 0, .level = 1}},
		.user_ns = {.parent = TREE_NONE},
	};
	if (s->inner && !inner_lives(s))
		a->ns[1].state = TREE_NS_ZOMBIE;
	for (unsigned int i = 0; i < s->n; i++)
		make_process(s, i, root, a);
}

static void print_state(const struct state *s, const char *what)
{
	print_message("%s:", what);
	for (unsigned int i = 0; i < s->n; i++)
		print_message("  %u: %sparent %d sid %d pgid %d%s;", i + 1,
			      s->inner == i + 1 ? "inner init "
			      : s->p[i].ns	? "inner "
						: "",
			      s->p[i].parent == NOBODY ? 0 : s->p[i].parent + 1, s->p[i].sid,
			      s->p[i].pgid, s->p[i].zombie ? " zombie" : "");
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
	const struct world *w;
	bool all; /* also what breaks a rule that everybody sees */
	struct set seen;
	size_t n_reachable, n_impossible, n_wrong;
	/* States that the planner leads to, but the search does not: it had too few processes. */
	size_t n_beyond;
};

static void consider(struct census *c, const struct state *written)
{
	struct state s = visible(written);
	key k = canonical(&s);
	enum answer_kind kind;
	bool reachable;

	if (!set_add(&c->seen, k))
		return;
	reachable = set_has(&c->w->final, k);
	kind = ask(&s, c->w->container);
	c->n_reachable += reachable;
	c->n_beyond += !reachable && kind == PLANNED;
	c->n_impossible += !reachable && kind == REFUSED;
	if (kind != WRONG && (!reachable || kind == PLANNED))
		return;
	if (c->n_wrong++ < 5)
		print_state(&s, reachable ? "can be reached" : "cannot be reached");
}

/*
 * Rules that everybody sees at a glance, whose violations are not worth writing down for larger
 * states: they are for small ones.
 */
static bool is_sane(const struct state *s, int field)
{
	for (unsigned int i = 0; i < s->n; i++) {
		const struct proc *p = &s->p[i];

		if (p->sid && p->sid <= s->n && s->p[p->sid - 1].sid != p->sid)
			return false;
		if (p->parent != NOBODY && (s->p[p->parent].zombie || s->p[p->parent].ns > p->ns))
			return false;
		if (field == 0)
			continue;
		if (p->sid == i + 1 && p->pgid != p->sid)
			return false;
		if (p->pgid && p->pgid <= s->n && s->p[p->pgid - 1].sid != p->sid)
			return false;
	}
	return true;
}

/* Ids for sessions (@field 0) and groups (1) of process @i on; dead ones by first occurrence. */
static void write_ids(struct census *c, struct state *s, unsigned int i, int field, uint8_t dead[2])
{
	if (i == s->n) {
		if (!c->all && !is_sane(s, field))
			return;
		if (field == 0 && c->w->groups)
			write_ids(c, s, 0, 1, dead);
		else
			consider(c, s);
		return;
	}
	for (uint8_t id = 0; id <= (c->w->nested ? INNER + dead[1] : DEAD + dead[0]); id++) {
		uint8_t next[2] = {dead[0], dead[1]};

		if ((id > s->n && id < DEAD) || (id > DEAD + dead[0] && id < INNER))
			continue;
		next[0] = (uint8_t)(dead[0] + (id == DEAD + dead[0]));
		next[1] = (uint8_t)(dead[1] + (id == INNER + dead[1]));
		if (field == 0)
			s->p[i].sid = s->p[i].pgid = id;
		else
			s->p[i].pgid = id;
		write_ids(c, s, i + 1, field, next);
	}
}

static bool is_tree(const struct state *s)
{
	for (unsigned int i = 1; i < s->n; i++) {
		unsigned int at = i;

		for (unsigned int steps = 0; at && at != NOBODY && steps < s->n; steps++)
			at = s->p[at].parent;
		if (at && at != NOBODY)
			return false;
	}
	return true;
}

/* Which of those in the inner namespace is its init. */
static void write_inits(struct census *c, struct state *s)
{
	uint8_t dead[2] = {0, 0};
	bool any = false;

	if (!is_tree(s) || !is_whole(c->w, s))
		return;
	for (unsigned int i = 0; i < s->n; i++) {
		if (!s->p[i].ns)
			continue;
		any = true;
		s->inner = i + 1;
		write_ids(c, s, 0, 0, dead);
	}
	s->inner = 0;
	if (!any)
		write_ids(c, s, 0, 0, dead);
}

static void write_parents(struct census *c, struct state *s, unsigned int i)
{
	if (i == s->n) {
		write_inits(c, s);
		return;
	}
	for (uint8_t parent = 0; parent <= NOBODY; parent++) {
		if (parent == i || (parent >= s->n && (parent < NOBODY || !c->w->strangers)))
			continue;
		for (uint8_t kind = 0; kind < (c->w->nested ? 4 : 2); kind++) {
			s->p[i].parent = parent;
			s->p[i].zombie = kind & 1;
			s->p[i].ns = kind >> 1;
			write_parents(c, s, i + 1);
		}
	}
}

/* Final states of @n processes. */
static size_t count(const struct world *w, unsigned int n)
{
	size_t found = 0;

	for (size_t i = 0; i < w->final.room; i++)
		found += w->final.slots[i] && state_size(w->final.slots[i]) == n;
	return found;
}

static void world_deinit(struct world *w)
{
	free(w->seen.slots);
	free(w->final.slots);
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

static const char *kind_of(const struct world *w)
{
	if (w->nested)
		return w->container ? "container with a nested namespace and strangers"
				    : "host with a nested namespace and strangers";
	return w->container ? "container" : "host";
}

/* Returns how many states the search was too small for. */
static size_t census(unsigned int n, unsigned int enough, struct world w)
{
	struct census c = {.w = &w, .all = !w.nested || n < 3};
	struct state s = {.n = n, .p = {{.parent = NOBODY}}};

	explore_all(n, enough, &w);
	write_parents(&c, &s, 1);
	print_message(
		"%u processes%s, %s: %zu states reachable with up to %u at a time (%zu searched) "
		"and planned, %zu more planned, %zu impossible and refused\n",
		n, w.groups ? " with groups" : "", kind_of(&w), c.n_reachable, w.most, w.n,
		c.n_beyond, c.n_impossible);
	assert_int_equal(c.n_wrong, 0);
	assert_int_equal(c.n_reachable, count(&w, n));
	world_deinit(&w);
	free(c.seen.slots);
	return c.n_beyond;
}

static void reached_are_planned(unsigned int n, struct world w)
{
	size_t found = 0, wrong = 0;

	explore(&w);
	for (size_t i = 0; i < w.n; i++) {
		struct state s = visible(&w.queue[i]);

		if (s.n != n || !is_whole(&w, &s))
			continue;
		found++;
		if (ask(&s, w.container) != PLANNED && wrong++ < 5)
			print_state(&s, "can be reached");
	}
	print_message(
		"%u processes with groups, %s: %zu states reached with up to %u at a time, %zu "
		"of them planned\n",
		n, kind_of(&w), found, w.most, found - wrong);
	assert_int_equal(wrong, 0);
	world_deinit(&w);
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
	for (unsigned int n = 1; n < ARRAY_SIZE(enough); n++) {
		const struct world w = {.container = n % 2};

		assert_int_equal(census(n, is_long() ? 0 : enough[n], w), 0);
	}
	if (is_long())
		(void)census(5, 7, (struct world){.container = true});
}

static void test_groups(void **state)
{
	static const unsigned int enough[] = {0, 2, 3, 4};

	(void)state;
	for (unsigned int n = 1; n < ARRAY_SIZE(enough); n++)
		for (int container = 0; container < 2; container++) {
			const struct world w = {.groups = true, .container = container};

			assert_int_equal(census(n, is_long() ? 0 : enough[n], w), 0);
		}
}

static void test_nested(void **state)
{
	(void)state;
	for (unsigned int n = 1; n <= 3; n++)
		for (int container = 0; container < 2; container++) {
			struct world w = {
				.container = container, .nested = true, .strangers = true};

			assert_int_equal(census(n, n + 1, w), 0);
			w.groups = true;
			if (n < 3 || is_long())
				assert_int_equal(census(n, n + 1, w), 0);
		}
	for (int container = 0; container < 2 && is_long(); container++)
		(void)census(
			4, 5,
			(struct world){.container = container, .nested = true, .strangers = true});
}

/* Four with groups are too many to write all down: those that can be reached without a fifth. */
static void test_four_nested(void **state)
{
	(void)state;
	for (int container = 0; container < 2 && is_long(); container++)
		reached_are_planned(4, (struct world){.most = 4,
						      .container = container,
						      .groups = true,
						      .nested = true,
						      .strangers = true});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_four_nested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
