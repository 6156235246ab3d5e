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
#include "tree/test-histories.h"
#include "util/macro.h"
#include "util/strbuf.h"

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
	if (container && s->p[0].zombie)
		a->ns[0].state = TREE_NS_ZOMBIE;
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
	bool all;  /* also what breaks a rule that everybody sees */
	bool each; /* groups: also what breaks their rules, and with sessions that cannot be */
	struct set structures, sessions, seen;
	bool base;	   /* groups: the sessions can be, found by the search, */
	bool base_planned; /* or have a plan */
	size_t n_reachable, n_impossible, n_wrong;
	/* States that the planner leads to, but the search does not: it had too few processes. */
	size_t n_beyond;
};

static bool is_new(struct set *set, struct state s)
{
	return set_add(set, canonical(&s));
}

static void judge(struct census *c, const struct state *s, bool reachable)
{
	enum answer_kind kind = ask(s, c->w->container);

	c->n_reachable += reachable;
	c->n_beyond += !reachable && kind == PLANNED;
	c->n_impossible += !reachable && kind == REFUSED;
	if (kind != WRONG && (!reachable || kind == PLANNED))
		return;
	if (c->n_wrong++ < 5)
		print_state(s, reachable ? "can be reached" : "cannot be reached");
}

static void consider(struct census *c, const struct state *written)
{
	struct state s = visible(written);
	key k = canonical(&s);

	if (set_add(&c->seen, k))
		judge(c, &s, set_has(&c->w->final, k));
}

/* ---- process groups in one namespace */

static bool is_session(const struct state *s, uint8_t id)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (s->p[i].sid == id)
			return true;
	return false;
}

/*
 * What setpgid() and setsid() keep true of the group of process @i: a leader of a session leads its group,
 * a group is in one session, which is that of the process with its number, an init that has died is in no
 * group led from within, and (a container) nobody but the root, which its parent outside can put there, has
 * come back to the group outside. Of @i and those before.
 */
static bool is_lawful_group(const struct world *w, const struct state *s, unsigned int i)
{
	const struct proc *p = &s->p[i];
	uint8_t group = p->pgid;

	if ((p->sid == i + 1 && group != p->sid) || (group == OUTSIDE && p->sid != OUTSIDE) ||
	    (is_session(s, group) && group != p->sid) ||
	    (group && group <= s->n && s->p[group - 1].sid != p->sid) ||
	    (i == 0 && w->container && p->zombie && group > 1))
		return false;
	for (unsigned int j = 0; j < i; j++)
		if ((s->p[j].pgid == group && s->p[j].sid != p->sid) ||
		    (w->container && group == OUTSIDE && s->p[j].pgid == i + 1) ||
		    (w->container && j && s->p[j].pgid == OUTSIDE && group == j + 1))
			return false;
	return true;
}

/*
 * In one namespace the groups are no part of the search: whoever sees its own group, as all do here, can go
 * there at any time. So what can be is what can be without groups, times all groups that break no rule.
 * That this is so, a search with groups shows for small trees, and the plans for all.
 */
static void consider_groups(struct census *c, const struct state *written)
{
	bool lawful = true;

	for (unsigned int i = 0; i < written->n; i++)
		lawful = lawful && is_lawful_group(c->w, written, i);
	if ((c->each || (lawful && (c->base || c->base_planned))) && is_new(&c->seen, *written))
		judge(c, written, lawful && c->base);
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

static void write_ids(struct census *c, struct state *s, unsigned int i, int field,
		      uint8_t dead[2]);

static void write_groups(struct census *c, struct state *s, uint8_t dead[2])
{
	struct state sessions = *s;
	key k;

	for (unsigned int i = 0; i < s->n; i++)
		sessions.p[i].pgid = s->p[i].sid;
	k = canonical(&sessions);
	if (!set_add(&c->sessions, k))
		return;
	c->base = set_has(&c->w->final, k);
	c->base_planned = c->base || (!c->each && ask(s, c->w->container) == PLANNED);
	if (c->w->nested || c->each || c->base_planned)
		write_ids(c, s, 0, 1, dead);
}

static void write_last(struct census *c, struct state *s, int field, uint8_t dead[2])
{
	if (!c->all && !is_sane(s, field))
		return;
	if (field == 0 && c->w->groups)
		write_groups(c, s, dead);
	else if (field == 0 || c->w->nested)
		consider(c, s);
	else
		consider_groups(c, s);
}

/* Ids for sessions (@field 0) and groups (1) of process @i on; dead ones by first occurrence. */
static void write_ids(struct census *c, struct state *s, unsigned int i, int field, uint8_t dead[2])
{
	if (i == s->n) {
		write_last(c, s, field, dead);
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
		if (field == 0 || c->w->nested || c->each || is_lawful_group(c->w, s, i))
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

/* @s but for sessions and groups: those that differ in the order of processes alone are written once. */
static struct state structure(const struct state *s)
{
	struct state bare = *s;

	for (unsigned int i = 0; i < s->n; i++)
		bare.p[i].sid = bare.p[i].pgid = OUTSIDE;
	return bare;
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
		if (is_new(&c->structures, structure(s)))
			write_ids(c, s, 0, 0, dead);
	}
	s->inner = 0;
	if (!any && is_new(&c->structures, structure(s)))
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

/* Everything that can be written down with @n processes. */
static void write_all(struct census *c, unsigned int n)
{
	struct state s = {.n = n, .p = {{.parent = NOBODY}}};

	write_parents(c, &s, 1);
	s.p[0].zombie = 1;
	write_parents(c, &s, 1);
}

static void census_deinit(struct census *c)
{
	free(c->structures.slots);
	free(c->sessions.slots);
	free(c->seen.slots);
}

/* Returns what was found. */
static struct census census(unsigned int n, unsigned int enough, struct world w)
{
	struct census c = {.w = &w, .all = n < 3 || (n < 4 && !w.nested), .each = n < 5};
	bool groups = w.groups;

	w.whole = w.nested && groups;
	w.groups = w.whole;
	explore_all(n, enough, &w);
	w.groups = groups;
	write_all(&c, n);
	print_message(
		"%u processes%s, %s: %zu states reachable with up to %u at a time (%zu searched) "
		"and planned, %zu more planned, %zu impossible and refused\n",
		n, w.groups ? " with groups" : "", kind_of(&w), c.n_reachable, w.most, w.n,
		c.n_beyond, c.n_impossible);
	assert_int_equal(c.n_wrong, 0);
	if (w.nested || !groups)
		assert_int_equal(c.n_reachable, count(&w, n));
	world_deinit(&w);
	census_deinit(&c);
	return c;
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
 * COPPICE_TEST_LONG=1 takes some minutes, and more than this suite has: no knowledge of how many processes
 * at a time are enough, larger searches, five processes with groups.
 */
static bool is_long(void)
{
	return getenv("COPPICE_TEST_LONG");
}

/* What five need goes beyond any search here; the rest is then proven by its plans. */
static void test_sessions(void **state)
{
	static const unsigned int enough[] = {0, 2, 3, 4, 6};

	(void)state;
	for (unsigned int n = 1; n < ARRAY_SIZE(enough); n++) {
		const struct world w = {.container = n % 2};

		assert_int_equal(census(n, is_long() ? 0 : enough[n], w).n_beyond, 0);
	}
	(void)census(5, is_long() ? 7 : 6, (struct world){.container = true});
}

/* A search with groups finds as many as are made of the outcome of one without. */
static void expect_found(unsigned int n, bool container, size_t wanted)
{
	struct world w = {.groups = true, .whole = true, .container = container};

	explore_all(n, n + 1, &w);
	/* some of four take two more at a time, which are too many to search */
	if (n < 4)
		assert_int_equal(count(&w, n), wanted);
	else
		assert_true(count(&w, n) <= wanted);
	world_deinit(&w);
}

static void test_groups(void **state)
{
	static const unsigned int enough[] = {0, 2, 3, 4, 6};

	(void)state;
	for (unsigned int n = 1; n < ARRAY_SIZE(enough); n++)
		for (int container = 0; container < 2; container++) {
			const struct world w = {.groups = true, .container = container};
			struct census c = census(n, enough[n], w);

			assert_int_equal(c.n_beyond, 0);
			if (n < 4 || is_long())
				expect_found(n, container, c.n_reachable);
		}
	for (int container = 0; container < 2 && is_long(); container++)
		(void)census(5, 7, (struct world){.groups = true, .container = container});
}

/* The search that tries little while there are as many processes as can be, and the one that tries all. */
static void expect_same_search(struct world w)
{
	struct world whole = w;
	size_t n = 0;

	whole.whole = true;
	explore(&w);
	explore(&whole);
	for (size_t i = 0; i < whole.final.room; i++) {
		key k = whole.final.slots[i];

		if (!k || state_size(k) == w.most)
			continue;
		n++;
		assert_true(set_has(&w.final, k));
	}
	assert_int_equal(n, w.final.n);
	world_deinit(&w);
	world_deinit(&whole);
}

static void test_last_process(void **state)
{
	(void)state;
	for (int container = 0; container < 2; container++) {
		for (unsigned int most = 2; most <= (is_long() ? 7 : 6); most++)
			expect_same_search((struct world){.most = most, .container = container});
		for (unsigned int most = 2; most <= (is_long() ? 5 : 4); most++)
			expect_same_search((struct world){.most = most,
							  .container = container,
							  .nested = true,
							  .strangers = true});
	}
}

/* Some of four take more than five at a time: those of the short run that only the planner finds. */
static void test_nested(void **state)
{
	(void)state;
	for (unsigned int n = 1; n <= 4; n++)
		for (int container = 0; container < 2; container++) {
			struct world w = {
				.container = container, .nested = true, .strangers = true};
			struct census c = census(n, n < 4 || !is_long() ? n + 1 : 6, w);

			assert_true(n == 4 || c.n_beyond == 0);
			w.groups = true;
			if (n < 3 || (n < 4 && is_long()))
				assert_int_equal(census(n, n + 1, w).n_beyond, 0);
		}
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
						      .whole = true,
						      .strangers = true});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sessions),     cmocka_unit_test(test_groups),
		cmocka_unit_test(test_last_process), cmocka_unit_test(test_nested),
		cmocka_unit_test(test_four_nested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
