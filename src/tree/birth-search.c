/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for a birth tree (see birth.h): inference until nothing follows any more, then a choice,
 * with backtracking. The relation "is above" is kept transitively closed; whatever is put into it or
 * decided about a node is in a journal, so that a choice can be taken back.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tree/birth.h"

enum why {
	WHY_ROOT,    /* everything descends from the root */
	WHY_PARENT,  /* above is the parent of below */
	WHY_LEADER,  /* above leads the session that below is in */
	WHY_TABLE,   /* below has a table from above */
	WHY_SESSION, /* of is below above and was born in the session of below, above was not */
	WHY_DIRECT,  /* of was born as a child of below, above was not */
	WHY_LINE,    /* of has the parent above, and descends from one born a child of below */
	WHY_SHARING, /* of has a table from below, above never had it */
	WHY_BORN, /* below stands between of, which was born in the session of above, and above */
	WHY_SIBLING,  /* below stands between of and its parent above */
	WHY_HOLDS,    /* below stands between of, which has a table from above, and above */
	WHY_CHOICE,   /* tried */
	WHY_OPPOSITE, /* the other order was tried and led nowhere */
};

/* Something that was put into the relation, for explanations. */
struct edge {
	uint32_t above;
	uint32_t below;
	enum why why;
	uint32_t of; /* the process that made it necessary */
};

/* A node as it was before something was decided about it. */
struct saved {
	uint32_t node;
	struct birth_node was;
};

struct choice {
	size_t n_pairs;
	size_t n_edges;
	size_t n_saved;
	uint32_t x, y; /* x above y was tried */
};

/* A stack: unlike a vector of the arena's it may shrink and grow again at no cost. */
struct stack {
	void *items;
	size_t n;
	size_t room;
};

struct search {
	struct birth *b;
	struct context *ctx;
	struct stack edges;   /* struct edge */
	struct stack saved;   /* struct saved */
	struct stack choices; /* struct choice */
	uint32_t *queue;      /* nodes of which something was decided, each once */
	size_t n_queue;
	bool *queued;	 /* by node */
	bool *is_origin; /* by node: somebody has a session, signal or table from it */
	size_t done;	 /* pairs of the relation that were looked at */
	bool failed;	 /* a contradiction; conflict says which */
	char conflict[ERR_TEXT];
	char first_conflict[ERR_TEXT];
};

static void *push(struct search *s, struct stack *stack, size_t size)
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

/* ---- explanations */

static void say_why(const struct search *s, const struct edge *e, char *buf, size_t size)
{
	char a[40], c[40], of[40];

	birth_name(s->b, e->above, a, sizeof(a));
	birth_name(s->b, e->below, c, sizeof(c));
	if (e->of != BIRTH_NONE)
		birth_name(s->b, e->of, of, sizeof(of));
	switch (e->why) {
	case WHY_ROOT:
		(void)snprintf(buf, size, "%s is the root", a);
		break;
	case WHY_PARENT:
		(void)snprintf(buf, size, "%s is the parent of %s", a, c);
		break;
	case WHY_LEADER:
		(void)snprintf(buf, size, "%s leads the session of %s", a, c);
		break;
	case WHY_TABLE:
		(void)snprintf(buf, size, "%s got a shared table from %s", c, a);
		break;
	case WHY_SESSION:
		(void)snprintf(
			buf, size,
			"%s descends from %s and was born in the session of %s, but %s was not", of,
			a, c, a);
		break;
	case WHY_DIRECT:
		(void)snprintf(
			buf, size,
			"%s descends from %s and, by its exit signal, was born a child of %s, "
			"but %s was not",
			of, a, c, a);
		break;
	case WHY_LINE:
		(void)snprintf(
			buf, size,
			"%s is the parent of %s, which descends from one that was born a child "
			"of %s",
			a, of, c);
		break;
	case WHY_SHARING:
		(void)snprintf(buf, size,
			       "%s descends from %s and shares a table with %s that %s has not", of,
			       a, c, a);
		break;
	case WHY_BORN:
		(void)snprintf(buf, size, "%s was born between %s and %s of its session", c, a, of);
		break;
	case WHY_SIBLING:
	case WHY_HOLDS:
		(void)snprintf(buf, size, "%s stands between %s and %s", c, a, of);
		break;
	case WHY_CHOICE:
		(void)snprintf(buf, size, "assume that");
		break;
	case WHY_OPPOSITE:
		(void)snprintf(buf, size, "the other way round is impossible");
		break;
	}
}

/* The edges that lead from @x down to @y, in words: breadth first, so the shortest way. */
static void say_path(struct search *s, uint32_t x, uint32_t y, char *buf, size_t size)
{
	const struct relation *above = &s->b->above;
	size_t len = 0;

	buf[0] = '\0';
	while (x != y && len < size) {
		const struct edge *step = NULL;
		char why[ERR_TEXT];

		for (size_t i = 0; i < s->edges.n; i++) {
			const struct edge *e = (const struct edge *)s->edges.items + i;

			if (e->above != x || (e->below != y && !relation_has(above, e->below, y)))
				continue;
			if (!step || e->below == y || step->why == WHY_ROOT)
				step = e;
		}
		if (!step)
			return; /* not reached: the relation holds nothing but its edges' closure */
		say_why(s, step, why, sizeof(why));
		len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", and " : "", why);
		x = step->below;
	}
}

static void conflict(struct search *s, const struct edge *e)
{
	char a[40], c[40], why[ERR_TEXT / 2], path[ERR_TEXT];

	if (s->choices.n && s->first_conflict[0])
		goto out; /* nobody will read it */
	say_why(s, e, why, sizeof(why));
	birth_name(s->b, e->above, a, sizeof(a));
	birth_name(s->b, e->below, c, sizeof(c));
	say_path(s, e->below, e->above, path, sizeof(path));
	(void)snprintf(s->conflict, sizeof(s->conflict),
		       "%.60s must descend from %.60s (%.160s), but the reverse is true (%.200s)",
		       c, a, why, path);
	if (!s->first_conflict[0])
		memcpy(s->first_conflict, s->conflict, sizeof(s->conflict));
out:
	s->failed = true;
}

/* @x is above @y, which was born in a session outside the tree, but @x was in another. */
static void outside_conflict(struct search *s, uint32_t x, uint32_t y)
{
	char a[40], c[40], path[ERR_TEXT];

	if (!s->choices.n || !s->first_conflict[0]) {
		say_path(s, x, y, path, sizeof(path));
		(void)snprintf(
			s->conflict, sizeof(s->conflict),
			"%.60s is in a session outside the tree, but %.60s, from which it must "
			"descend (%.200s), was born in another",
			birth_name(s->b, y, c, sizeof(c)), birth_name(s->b, x, a, sizeof(a)), path);
		if (!s->first_conflict[0])
			memcpy(s->first_conflict, s->conflict, sizeof(s->conflict));
	}
	s->failed = true;
}

/* ---- what is known */

static int put(struct search *s, uint32_t x, uint32_t y, enum why why, uint32_t of)
{
	struct edge e = {x, y, why, of}, *kept;
	int r;

	if (x != y && relation_has(&s->b->above, x, y))
		return 0;
	r = relation_add(&s->b->above, x, y);
	if (r == -ELOOP) {
		conflict(s, &e);
		return 0;
	}
	if (r < 0)
		return r;
	kept = push(s, &s->edges, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	*kept = e;
	return 0;
}

/* To be called before a node changes; it is looked at again afterwards. */
static int touch(struct search *s, uint32_t x)
{
	struct saved *saved = push(s, &s->saved, sizeof(*saved));

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

	if (node->birth < BIRTH_OPEN)
		s->is_origin[node->birth] = true;
	if (node->direct != BIRTH_NONE)
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
	if (touch(s, x) < 0)
		return -ENOMEM;
	s->b->nodes[x].birth = session;
	return session == BIRTH_OUTSIDE ? 0 : put(s, session, x, WHY_BORN, y);
}

/* @x stands between @y, which was born a child of @parent, and @parent. */
static int decide_direct(struct search *s, uint32_t x, uint32_t parent, uint32_t y)
{
	if (touch(s, x) < 0)
		return -ENOMEM;
	s->b->nodes[x].direct = parent;
	s->b->nodes[x].exit_signal = s->b->nodes[y].exit_signal;
	return put(s, parent, x, WHY_SIBLING, y);
}

static int decide_table(struct search *s, uint32_t x, enum tree_table t, uint32_t y)
{
	struct birth_node *node = &s->b->nodes[x];
	const struct birth_node *from = &s->b->nodes[y];

	if (touch(s, x) < 0)
		return -ENOMEM;
	node->table[t] = from->table[t];
	node->hub[t] = from->hub[t];
	if (t == TREE_SIGHAND && !node->table[TREE_VM]) {
		node->table[TREE_VM] = from->table[TREE_VM];
		node->hub[TREE_VM] = from->hub[TREE_VM] == BIRTH_NONE ? y : from->hub[TREE_VM];
		if (put(s, node->hub[TREE_VM], x, WHY_HOLDS, y) < 0)
			return -ENOMEM;
	}
	return put(s, node->hub[t], x, WHY_HOLDS, y);
}

/* ---- the two rules, for x above y and each t that y needs to come from (birth.h) */

static int check_birth(struct search *s, uint32_t x, uint32_t y)
{
	uint32_t session = s->b->nodes[y].birth, born = s->b->nodes[x].birth;

	if (session == BIRTH_OPEN || session == x || born == session)
		return 0;
	if (born != BIRTH_OPEN) {
		if (session != BIRTH_OUTSIDE)
			return put(s, x, session, WHY_SESSION, y);
		outside_conflict(s, x, y);
		return 0;
	}
	if (session == BIRTH_OUTSIDE || relation_has(&s->b->above, session, x))
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
	if (!nx->dead || nx->direct != BIRTH_NONE)
		return put(s, x, parent, WHY_DIRECT, y);
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

	if (q == BIRTH_NONE || parent == BIRTH_NONE || parent == x || parent == q ||
	    !relation_has(&s->b->above, parent, x))
		return 0;
	return put(s, parent, q, WHY_LINE, y);
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
		return put(s, x, hub, WHY_SHARING, y);
	if (relation_has(&s->b->above, hub, x))
		return decide_table(s, x, t, y);
	return 0;
}

static int check_pair(struct search *s, uint32_t x, uint32_t y)
{
	int r;

	s->b->effort++;
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

/* Until nothing follows any more, or a contradiction. */
static int infer(struct search *s)
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

/* ---- choices */

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

	c = push(s, &s->choices, sizeof(*c));
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
	return put(s, c->x, c->y, WHY_CHOICE, BIRTH_NONE);
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
	return put(s, c.y, c.x, WHY_OPPOSITE, BIRTH_NONE);
}

static int no_birth_tree(struct search *s)
{
	int r = err_msg(s->ctx, -EDOM, "%s", s->conflict);

	if (strcmp(s->conflict, s->first_conflict) != 0)
		(void)err_while(s->ctx, r, "trying other orders after: %.400s", s->first_conflict);
	return r;
}

/* Infers, and takes back choices until there is no contradiction. */
static int settle(struct search *s)
{
	int r;

	for (;;) {
		r = infer(s);
		if (r < 0)
			return err_oom(s->ctx);
		if (s->b->effort >= s->b->limit)
			return err_msg(s->ctx, -ETIME,
				       "gave up after %llu steps of search: this says nothing "
				       "about whether there is a plan",
				       (unsigned long long)s->b->effort);
		if (!s->failed)
			return 0;
		if (!s->choices.n)
			return no_birth_tree(s);
		if (take_back(s) < 0)
			return err_oom(s->ctx);
	}
}

/* What follows at once from the final tree, top down where it can be. */
static int start(struct search *s)
{
	const struct birth_node *nodes = s->b->nodes;
	size_t n = s->b->n_nodes;
	int r = 0;

	s->queue = arena_new_n(s->b->arena, uint32_t, n);
	s->queued = arena_new_n(s->b->arena, bool, n);
	s->is_origin = arena_new_n(s->b->arena, bool, n);
	if (!s->queue || !s->queued || !s->is_origin)
		return err_oom(s->ctx);
	for (uint32_t i = 0; i < n; i++)
		mark_origins(s, i);
	for (uint32_t i = 1; i < n && r == 0; i++)
		r = put(s, 0, i, WHY_ROOT, BIRTH_NONE);
	for (uint32_t i = 1; i < n && r == 0 && !s->failed; i++)
		if (nodes[i].parent != BIRTH_NONE)
			r = put(s, nodes[i].parent, i, WHY_PARENT, BIRTH_NONE);
	for (uint32_t i = 0; i < n && r == 0 && !s->failed; i++) {
		if (nodes[i].session < BIRTH_OPEN && nodes[i].session != i)
			r = put(s, nodes[i].session, i, WHY_LEADER, BIRTH_NONE);
		for (int t = 0; t < TREE_TABLES && r == 0; t++)
			if (nodes[i].hub[t] != BIRTH_NONE)
				r = put(s, nodes[i].hub[t], i, WHY_TABLE, BIRTH_NONE);
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
		if (y == 0 || s->b->above.depth[lowest] + 1 == s->b->above.depth[y]) {
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
	for (uint32_t i = 0; i < n; i++)
		b->order[next[b->above.depth[i]]++] = i;
	return 0;
}

/* Birth sessions that nothing depends on: what the forker is in when it has done its own setsid. */
static void settle_births(struct birth *b)
{
	for (size_t i = 1; i < b->n_nodes; i++) {
		struct birth_node *node = &b->nodes[b->order[i]];

		if (node->birth == BIRTH_OPEN)
			node->birth = b->nodes[node->forker].session;
		if (node->session == BIRTH_OPEN)
			node->session = node->birth;
	}
}

int birth_solve(struct birth *b, struct context *ctx)
{
	struct search s = {.b = b, .ctx = ctx};
	int r;

	r = search(&s);
	if (r < 0)
		return r;
	if (sort_by_depth(b) < 0)
		return err_oom(ctx);
	settle_births(b);
	return 0;
}
