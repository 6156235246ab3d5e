/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows: the two rules of birth.h, applied to every pair of the relation until there is
 * nothing new.
 */
#include <errno.h>
#include <string.h>

#include "tree/birth-search.h"

void *search_push(struct search *s, struct stack *stack, size_t size)
{
	if (stack->n == stack->room) {
		size_t room = stack->room ? stack->room * 2 : 64;
		void *items = arena_alloc(s->b->arena, room * size);

		if (!items)
			return NULL;
		if (stack->n)
			memcpy(items, stack->items, stack->n * size);
		stack->items = items;
		stack->room = room;
	}
	return (char *)stack->items + stack->n++ * size;
}

int search_put(struct search *s, uint32_t x, uint32_t y, enum why why, uint32_t of)
{
	struct edge e = {x, y, why, of}, *kept;
	int r;

	if (x != y && relation_has(&s->b->above, x, y))
		return 0;
	r = relation_add(&s->b->above, x, y);
	if (r == -ELOOP) {
		search_conflict(s, &e);
		return 0;
	}
	if (r == -ETIME) {
		s->b->effort = s->b->limit; /* too large to go on */
		s->failed = true;
		return 0;
	}
	if (r < 0)
		return r;
	kept = search_push(s, &s->edges, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	*kept = e;
	return 0;
}

int search_touch(struct search *s, uint32_t x)
{
	struct saved *saved = search_push(s, &s->saved, sizeof(*saved));

	if (!saved)
		return -ENOMEM;
	*saved = (struct saved){x, s->b->nodes[x]};
	if (!s->queued[x])
		s->queue[s->n_queue++] = x;
	s->queued[x] = true;
	return 0;
}

/* Where @y has its session, its signal and its tables from. */
static void mark_origins(struct search *s, uint32_t y)
{
	const struct birth_node *node = &s->b->nodes[y];

	if (node->birth < BIRTH_OUTSIDE)
		s->is_origin[node->birth] = true;
	if (node->direct < BIRTH_OUTSIDE)
		s->is_origin[node->direct] = true;
	for (int t = 0; t < TREE_TABLES; t++)
		if (node->hub[t] != BIRTH_NONE)
			s->is_origin[node->hub[t]] = true;
}

static bool is_open(const struct birth_node *n)
{
	return n->birth == BIRTH_OPEN || n->dead || n->zombie;
}

/* @x stands between y, which was born in @session, and that session's leader: so was @x. */
static int decide_birth(struct search *s, uint32_t x, uint32_t session, uint32_t y)
{
	if (search_touch(s, x) < 0)
		return -ENOMEM;
	s->b->nodes[x].birth = session;
	return birth_is_outside(session) ? 0 : search_put(s, session, x, WHY_BORN, y);
}

/* @x stands between @y, which was born a child of @parent, and @parent. */
static int decide_direct(struct search *s, uint32_t x, uint32_t parent, uint32_t y)
{
	if (search_touch(s, x) < 0)
		return -ENOMEM;
	s->b->nodes[x].direct = parent;
	s->b->nodes[x].exit_signal = s->b->nodes[y].exit_signal;
	return birth_is_outside(parent) ? 0 : search_put(s, parent, x, WHY_SIBLING, y);
}

static int decide_table(struct search *s, uint32_t x, enum tree_table t, uint32_t y)
{
	struct birth_node *node = &s->b->nodes[x];
	const struct birth_node *from = &s->b->nodes[y];

	if (search_touch(s, x) < 0)
		return -ENOMEM;
	node->table[t] = from->table[t];
	node->hub[t] = from->hub[t];
	if (t == TREE_SIGHAND && !node->table[TREE_VM]) {
		node->table[TREE_VM] = from->table[TREE_VM];
		node->hub[TREE_VM] = from->hub[TREE_VM] == BIRTH_NONE ? y : from->hub[TREE_VM];
		if (search_put(s, node->hub[TREE_VM], x, WHY_HOLDS, y) < 0)
			return -ENOMEM;
	}
	return search_put(s, node->hub[t], x, WHY_HOLDS, y);
}

/* ---- the two rules, for x above y and each t that y needs to come from (birth.h) */

static int check_birth(struct search *s, uint32_t x, uint32_t y)
{
	uint32_t session = s->b->nodes[y].birth, born = s->b->nodes[x].birth;

	if (session == BIRTH_OPEN || session == x || born == session)
		return 0;
	if (born != BIRTH_OPEN) {
		if (!birth_is_outside(session))
			return search_put(s, x, session, WHY_SESSION, y);
		search_refute(s, x, y,
			      "the second is in a session outside the tree, and the first was born "
			      "in another");
		return 0;
	}
	if (birth_is_outside(session) || relation_has(&s->b->above, session, x))
		return decide_birth(s, x, session, y);
	return 0;
}

static int check_direct(struct search *s, uint32_t x, uint32_t y)
{
	const struct birth_node *nx = &s->b->nodes[x], *ny = &s->b->nodes[y];
	uint32_t parent = ny->direct;

	if (parent == BIRTH_NONE || parent == x ||
	    (nx->direct == parent && nx->exit_signal == ny->exit_signal))
		return 0;
	if (birth_is_outside(parent)) {
		if (nx->dead && nx->direct == BIRTH_NONE)
			return decide_direct(s, x, parent, y);
		search_refute(s, x, y,
			      "the exit signal of the second says that it was born a child of the "
			      "outside");
		return 0;
	}
	if (!nx->dead || nx->direct != BIRTH_NONE)
		return search_put(s, x, parent, WHY_DIRECT, y);
	if (relation_has(&s->b->above, parent, x))
		return decide_direct(s, x, parent, y);
	return 0;
}

/*
 * Where @x was born as a child of q by a sibling, that sibling is not in the line of parents above
 * @x, and cannot be the parent of @y: nobody between q and @x can.
 */
static int check_line(struct search *s, uint32_t x, uint32_t y)
{
	uint32_t q = s->b->nodes[x].direct, parent = s->b->nodes[y].parent;

	if (q >= BIRTH_OUTSIDE || parent >= BIRTH_OUTSIDE || parent == x || parent == q ||
	    s->b->nodes[parent].init || !relation_has(&s->b->above, parent, x))
		return 0;
	return search_put(s, parent, q, WHY_LINE, y);
}

/* Could @x, which is dead by now, have shared table @t with @y? */
static bool can_have(const struct birth_node *x, const struct birth_node *y, enum tree_table t)
{
	if ((!x->dead && !x->zombie) || x->table[t])
		return false;
	/* handlers are shared only with the memory */
	return t != TREE_SIGHAND || !x->table[TREE_VM] || x->table[TREE_VM] == y->table[TREE_VM];
}

static int check_table(struct search *s, uint32_t x, uint32_t y, enum tree_table t)
{
	const struct birth_node *nx = &s->b->nodes[x], *ny = &s->b->nodes[y];
	uint32_t hub = ny->hub[t];

	if (hub == BIRTH_NONE || hub == x || nx->table[t] == ny->table[t])
		return 0;
	if (!can_have(nx, ny, t))
		return search_put(s, x, hub, WHY_SHARING, y);
	if (relation_has(&s->b->above, hub, x))
		return decide_table(s, x, t, y);
	return 0;
}

static int check_pair(struct search *s, uint32_t x, uint32_t y)
{
	int r;

	s->b->effort++;
	r = search_check_place(s, x, y);
	if (r == 0)
		r = check_birth(s, x, y);
	if (r == 0)
		r = check_direct(s, x, y);
	if (r == 0)
		r = check_line(s, x, y);
	for (enum tree_table t = 0; t < TREE_TABLES && r == 0; t++)
		r = check_table(s, x, y, t);
	return r;
}

static int check_below(struct search *s, uint32_t x)
{
	const struct relation *above = &s->b->above;
	int r = 0;

	for (uint32_t y = relation_next_below(above, x, 0); y < above->n && r == 0 && !s->failed;
	     y = relation_next_below(above, x, y + 1))
		r = check_pair(s, x, y);
	return r;
}

static int check_above(struct search *s, uint32_t y)
{
	const struct relation *above = &s->b->above;
	int r = 0;

	for (uint32_t x = relation_next_above(above, y, 0); x < above->n && r == 0 && !s->failed;
	     x = relation_next_above(above, y, x + 1))
		r = check_pair(s, x, y);
	return r;
}

/* An origin above an open node may decide it, for the sake of those below; see check_line, too. */
static bool concerns_those_below(const struct search *s, const struct relation_pair *p)
{
	const struct birth_node *below = &s->b->nodes[p->below];

	return below->direct != BIRTH_NONE || (s->is_origin[p->above] && is_open(below));
}

int search_infer(struct search *s)
{
	struct relation *above = &s->b->above;
	int r = 0;

	while (r == 0 && !s->failed && s->b->effort < s->b->limit) {
		if (s->n_queue) {
			uint32_t x = s->queue[--s->n_queue];

			s->queued[x] = false;
			mark_origins(s, x);
			r = check_above(s, x);
			if (r == 0 && !s->failed)
				r = check_below(s, x);
		} else if (s->done < above->n_pairs) {
			struct relation_pair p = above->pairs[s->done++];

			r = check_pair(s, p.above, p.below);
			if (r == 0 && !s->failed && concerns_those_below(s, &p))
				r = check_below(s, p.below);
		} else {
			break;
		}
	}
	return r;
}

int search_init(struct search *s)
{
	size_t n = s->b->n_nodes;

	s->queue = arena_new_n(s->b->arena, uint32_t, n);
	s->queued = arena_new_n(s->b->arena, bool, n);
	s->is_origin = arena_new_n(s->b->arena, bool, n);
	if (!s->queue || !s->queued || !s->is_origin)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		mark_origins(s, i);
	return 0;
}
