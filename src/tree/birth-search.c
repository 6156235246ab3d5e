/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for a birth tree (see birth.h): inference until nothing follows any more, then a choice,
 * with backtracking.
 */
#include <errno.h>
#include <string.h>

#include "tree/birth-search.h"

struct choice {
	size_t n_pairs;
	size_t n_edges;
	size_t n_saved;
	uint32_t x, y; /* x above y was tried */
};

/* The lowest of those above @y: with the most above itself. BIRTH_NONE for the root. */
static uint32_t lowest_above(const struct search *s, uint32_t y)
{
	const struct relation *above = &s->b->above;
	uint32_t lowest = BIRTH_NONE;

	for (uint32_t x = relation_next_above(above, y, 0); x < above->n;
	     x = relation_next_above(above, y, x + 1))
		if (lowest == BIRTH_NONE || above->depth[x] > above->depth[lowest])
			lowest = x;
	return lowest;
}

/* Somebody above @y who is not comparable with @lowest; there is one. */
static uint32_t beside(const struct search *s, uint32_t y, uint32_t lowest)
{
	const struct relation *above = &s->b->above;
	uint32_t x = relation_next_above(above, y, 0);

	while (x == lowest || relation_has(above, x, lowest))
		x = relation_next_above(above, y, x + 1);
	return x;
}

/*
 * Which order to try first, for two above @y. The leader of the session that y was born in, and a
 * hub, best stand as near to y as they can.
 */
static void order_choice(const struct search *s, uint32_t y, struct choice *c)
{
	const struct birth_node *nodes = s->b->nodes;
	uint32_t session = nodes[y].birth;

	if (c->x == session || (c->y != session && nodes[c->x].dead && !nodes[c->x].number)) {
		uint32_t x = c->x;

		c->x = c->y;
		c->y = x;
	}
}

static int choose(struct search *s, uint32_t y, uint32_t lowest)
{
	struct choice *c;

	c = search_push(s, &s->choices, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct choice){
		.n_pairs = s->b->above.n_pairs,
		.n_edges = s->edges.n,
		.n_saved = s->saved.n,
		.x = beside(s, y, lowest),
		.y = lowest,
	};
	order_choice(s, y, c);
	return search_put(s, c->x, c->y, WHY_CHOICE, BIRTH_NONE);
}

/* Takes back the last choice and all that followed, and puts its opposite in its place. */
static int take_back(struct search *s)
{
	struct choice c = ((struct choice *)s->choices.items)[--s->choices.n];

	relation_undo(&s->b->above, c.n_pairs);
	s->done = c.n_pairs;
	s->edges.n = c.n_edges;
	while (s->saved.n > c.n_saved) {
		const struct saved *saved = (struct saved *)s->saved.items + --s->saved.n;

		s->b->nodes[saved->node] = saved->was;
	}
	while (s->n_queue)
		s->queued[s->queue[--s->n_queue]] = false;
	s->failed = false;
	return search_put(s, c.y, c.x, WHY_OPPOSITE, BIRTH_NONE);
}

static int no_birth_tree(struct search *s)
{
	int r = err_msg(s->ctx, -EDOM, "%s", s->conflict);

	if (strcmp(s->conflict, s->first_conflict) != 0)
		(void)err_while(s->ctx, r, "trying other orders after: %.400s", s->first_conflict);
	return r;
}

int birth_gave_up(const struct birth *b, struct context *ctx)
{
	return err_msg(ctx, -ETIME,
		       "gave up after %llu steps of search: this says nothing about whether there "
		       "is a plan",
		       (unsigned long long)b->effort);
}

/* Infers, and takes back choices until there is no contradiction. */
static int settle(struct search *s)
{
	int r;

	for (;;) {
		r = search_infer(s);
		if (r < 0)
			return err_oom(s->ctx);
		if (s->b->effort >= s->b->limit)
			return birth_gave_up(s->b, s->ctx);
		if (!s->failed)
			return 0;
		if (!s->choices.n)
			return no_birth_tree(s);
		if (take_back(s) < 0)
			return err_oom(s->ctx);
	}
}

/*
 * Who was born an init's child with another signal than adoption gives descends from it: by itself,
 * or as the sibling of one that does (a sibling that init had adopted would have SIGCHLD).
 */
static int put_direct(struct search *s, uint32_t i)
{
	return search_put(s, s->b->nodes[i].direct, i, WHY_PARENT, BIRTH_NONE);
}

/* The root is above all but what came from outside, unless the search may do without. */
static int put_root(struct search *s)
{
	int r = 0;

	for (uint32_t i = 1; i < s->b->n_nodes && r == 0; i++)
		if (s->b->rooted && !birth_is_outside(s->b->nodes[i].parent))
			r = search_put(s, 0, i, WHY_ROOT, BIRTH_NONE);
	return r;
}

/* What follows at once from the final tree, top down where it can be. */
static int start(struct search *s)
{
	const struct birth_node *nodes = s->b->nodes;
	size_t n = s->b->n_nodes;
	int r;

	if (search_init(s) < 0)
		return err_oom(s->ctx);
	r = put_root(s);
	for (uint32_t i = 1; i < n && r == 0 && !s->failed; i++)
		if (nodes[i].parent < BIRTH_OUTSIDE && !nodes[nodes[i].parent].init)
			r = search_put(s, nodes[i].parent, i, WHY_PARENT, BIRTH_NONE);
	for (uint32_t i = 0; i < n && r == 0 && !s->failed; i++) {
		if (nodes[i].direct < BIRTH_OUTSIDE && nodes[nodes[i].direct].init)
			r = put_direct(s, i);
		if (r == 0 && nodes[i].session < BIRTH_OUTSIDE && nodes[i].session != i)
			r = search_put(s, nodes[i].session, i, WHY_LEADER, BIRTH_NONE);
		for (int t = 0; t < TREE_TABLES && r == 0; t++)
			if (nodes[i].hub[t] != BIRTH_NONE)
				r = search_put(s, nodes[i].hub[t], i, WHY_TABLE, BIRTH_NONE);
	}
	return r < 0 ? err_oom(s->ctx) : 0;
}

/* Until the ancestors of every node form a chain. */
static int search(struct search *s)
{
	size_t n = s->b->n_nodes, agreed = 0;
	int r;

	r = start(s);
	if (r == 0)
		r = settle(s);
	for (uint32_t y = 1; n > 1 && agreed < n && r == 0;) {
		uint32_t lowest = y ? lowest_above(s, y) : BIRTH_NONE;

		s->b->nodes[y].forker = lowest;
		if (lowest == BIRTH_NONE || s->b->above.depth[lowest] + 1 == s->b->above.depth[y]) {
			agreed++;
			y = (uint32_t)((y + 1) % n);
			continue;
		}
		agreed = 0;
		r = choose(s, y, lowest) < 0 ? err_oom(s->ctx) : settle(s);
	}
	return r;
}

/* Nodes by how many are above them: counting sort. */
static int sort_by_depth(struct birth *b)
{
	size_t n = b->n_nodes;
	uint32_t *next = arena_new_n(b->arena, uint32_t, n + 1);

	b->order = arena_new_n(b->arena, uint32_t, n);
	if (!next || !b->order)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		next[b->above.depth[i] + 1]++;
	for (size_t i = 1; i <= n; i++)
		next[i] += next[i - 1];
	for (uint32_t i = 0; i < n; i++) /* the root, which has nothing above it, comes first */
		b->order[next[b->above.depth[i]]++] = i;
	return 0;
}

int birth_solve(struct birth *b, struct context *ctx)
{
	struct search s = {.b = b, .ctx = ctx};
	int r;

	b->above.most = b->limit;

	r = search(&s);
	if (r < 0)
		return r;
	if (sort_by_depth(b) < 0)
		return err_oom(ctx);
	return birth_settle(b) < 0 ? err_oom(ctx) : 0;
}
