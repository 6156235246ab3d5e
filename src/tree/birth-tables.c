/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of a birth tree: shared tables.
 *
 * A table that several processes share came from one process. That is the one of them that all
 * others descend from, if there is one; else a *hub*: a process that is dead by now. To assume a hub
 * takes nothing away: it can stand right above any sharer.
 */
#include <errno.h>
#include <stdlib.h>

#include "tree/birth-nodes.h"

/* The processes that share a table, as a run of an array sorted by table number. */
struct sharers {
	enum tree_table table;
	const uint32_t *node;
	size_t n;
};

static uint32_t parents_above(const struct node_builder *bu, uint32_t i)
{
	uint32_t n = 0;

	for (; bu->tree->processes[i].parent != TREE_NONE; i = bu->tree->processes[i].parent)
		n++;
	return n;
}

static bool is_ancestor(const struct node_builder *bu, uint32_t above, uint32_t i)
{
	while (i != above && i != TREE_NONE) {
		uint32_t parent = bu->tree->processes[i].parent;

		/* an init adopts also those who do not descend from it */
		if (parent != TREE_NONE && parent != 0 && bu->b->nodes[parent].init)
			return false;
		i = parent;
	}
	return i == above;
}

/* The sharer that is an ancestor of all others, or BIRTH_NONE. The root is: nobody is above it. */
static uint32_t top_sharer(const struct node_builder *bu, const struct sharers *s)
{
	uint32_t top = s->node[0], least = parents_above(bu, top);

	if (top == 0)
		return top;

	for (size_t i = 1; i < s->n; i++) {
		uint32_t depth = parents_above(bu, s->node[i]);

		if (depth < least) {
			top = s->node[i];
			least = depth;
		}
	}
	for (size_t i = 0; i < s->n; i++)
		if (!is_ancestor(bu, top, s->node[i]))
			return BIRTH_NONE;
	return top;
}

/* Do exactly these share table @t, too? Then one hub serves for both. */
static bool same_sharers(const struct node_builder *bu, const struct sharers *s, enum tree_table t)
{
	const struct birth_node *nodes = bu->b->nodes;
	uint32_t table = nodes[s->node[0]].table[t];
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!table || nodes[s->node[i]].table[t] != table)
			return false;
	for (size_t i = 0; i < bu->tree->n_processes; i++)
		n += nodes[i].table[t] == table;
	return n == s->n;
}

static uint32_t hub_of(const struct node_builder *bu, uint32_t node, enum tree_table t)
{
	uint32_t hub = bu->b->nodes[node].hub[t];

	return hub == BIRTH_NONE ? node : hub;
}

/* In @ns or, where a sharer is the init of that, above: nobody in there is an init's ancestor. */
static uint32_t above_inits(const struct node_builder *bu, const struct sharers *s, uint32_t ns)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct birth_node *node = &bu->b->nodes[s->node[i]];

		/* not the root's own: the root would be the hub */
		if (node->init && node->ns == ns)
			return above_inits(bu, s, bu->tree->pid_ns[ns].parent);
	}
	return ns;
}

/* The leader of the session that a sharer was born in lives there; outside: TREE_NONE. */
static uint32_t session_ns(const struct node_builder *bu, uint32_t session)
{
	return birth_is_outside(session) ? TREE_NONE : bu->b->nodes[session].ns;
}

/*
 * Sharers that were born in different sessions: the hub was born in one of those at most, and is an
 * ancestor of the leaders of all others. That one is best the session whose leader lives highest.
 */
static uint32_t above_leaders(const struct node_builder *bu, const struct sharers *s, uint32_t ns)
{
	uint32_t highest = BIRTH_OPEN;

	for (size_t i = 0; i < s->n; i++) {
		uint32_t birth = bu->b->nodes[s->node[i]].birth;

		if (birth != BIRTH_OPEN &&
		    (highest == BIRTH_OPEN ||
		     tree_ns_is_in(bu->tree, session_ns(bu, highest), session_ns(bu, birth))))
			highest = birth;
	}
	for (size_t i = 0; i < s->n; i++) {
		uint32_t birth = bu->b->nodes[s->node[i]].birth;

		if (birth != BIRTH_OPEN && birth != highest && !birth_is_outside(birth))
			ns = tree_ns_common(bu->tree, ns, session_ns(bu, birth));
	}
	return ns;
}

/*
 * Where a hub lives: as deep as it can, unless that would make siblings of sharers with different
 * parents (birth.h, 6).
 */
static uint32_t hub_ns(const struct node_builder *bu, const struct sharers *s)
{
	const struct tree *tree = bu->tree;
	uint32_t ns = bu->b->nodes[s->node[0]].ns, parent = BIRTH_NONE, parents = ns;
	bool differ = false;

	for (size_t i = 0; i < s->n; i++)
		ns = tree_ns_common(tree, ns, bu->b->nodes[s->node[i]].ns);
	for (size_t i = 0; i < s->n; i++) {
		uint32_t of = birth_parent_ns(bu->b, s->node[i]);

		if (of == TREE_NONE || !tree_ns_is_below(tree, ns, of))
			continue;
		differ = differ ||
			 (parent != BIRTH_NONE && parent != bu->b->nodes[s->node[i]].parent);
		parent = bu->b->nodes[s->node[i]].parent;
		parents = tree_ns_common(tree, parents, of);
	}
	ns = above_leaders(bu, s, differ ? tree_ns_common(tree, ns, parents) : ns);
	return above_inits(bu, s, ns);
}

static int find_hub(struct node_builder *bu, const struct sharers *s, uint32_t *ret_hub)
{
	struct birth_node *node;

	*ret_hub = top_sharer(bu, s);
	for (enum tree_table t = 0; t < s->table && *ret_hub == BIRTH_NONE; t++)
		if (same_sharers(bu, s, t))
			*ret_hub = hub_of(bu, s->node[0], t);
	if (*ret_hub != BIRTH_NONE)
		return 0;
	node = birth_new_node(bu, ret_hub);
	if (!node)
		return -ENOMEM;
	node->dead = true;
	node->ns = hub_ns(bu, s);
	return 0;
}

static int share(struct node_builder *bu, const struct sharers *s)
{
	uint32_t hub = BIRTH_NONE;

	if (find_hub(bu, s, &hub) < 0)
		return -ENOMEM;
	bu->b->nodes[hub].table[s->table] = bu->b->nodes[s->node[0]].table[s->table];
	if (s->table == TREE_SIGHAND && !bu->b->nodes[hub].table[TREE_VM]) {
		/* CLONE_SIGHAND needs CLONE_VM, which was dealt with before */
		bu->b->nodes[hub].table[TREE_VM] = bu->b->nodes[s->node[0]].table[TREE_VM];
		bu->b->nodes[hub].hub[TREE_VM] = hub_of(bu, s->node[0], TREE_VM);
	}
	for (size_t i = 0; i < s->n; i++)
		if (s->node[i] != hub)
			bu->b->nodes[s->node[i]].hub[s->table] = hub;
	return 0;
}

struct table_entry {
	uint32_t table;
	uint32_t node;
};

static int compare_entries(const void *a, const void *b)
{
	const struct table_entry *p = a, *q = b;

	if (p->table != q->table)
		return p->table < q->table ? -1 : 1;
	return (p->node > q->node) - (p->node < q->node);
}

static int share_table(struct node_builder *bu, enum tree_table t)
{
	struct table_entry *entries;
	uint32_t *node;
	size_t n = bu->tree->n_processes;

	entries = arena_new_n(bu->b->arena, struct table_entry, n);
	node = arena_new_n(bu->b->arena, uint32_t, n);
	if (!entries || !node)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		entries[i] = (struct table_entry){bu->b->nodes[i].table[t], (uint32_t)i};
	qsort(entries, n, sizeof(*entries), compare_entries);
	for (size_t i = 0; i < n; i++)
		node[i] = entries[i].node;
	for (size_t i = 0, end; i < n; i = end) {
		struct sharers s = {.table = t, .node = node + i};

		for (end = i; end < n && entries[end].table == entries[i].table; end++)
			;
		s.n = end - i;
		if (entries[i].table == 0)
			continue;
		if (s.n == 1)
			bu->b->nodes[node[i]].table[t] = 0;
		else if (share(bu, &s) < 0)
			return -ENOMEM;
	}
	return 0;
}

int birth_share_tables(struct node_builder *bu)
{
	for (enum tree_table t = 0; t < TREE_TABLES; t++)
		if (share_table(bu, t) < 0)
			return -ENOMEM;
	return 0;
}
