/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of a birth tree: who takes part, and what is known of them before the search.
 *
 * A table that several processes share came from one process. That is the one of them that all
 * others descend from, if there is one; else a *hub*: a process that is dead by now. To assume a hub
 * takes nothing away: it can stand right above any sharer.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tree/birth.h"
#include "tree/state.h"

struct builder {
	struct birth *b;
	struct context *ctx;
	const struct tree *tree;
	struct tree_index index;
	struct idmap dead; /* numbers of dead leaders to nodes */
	size_t n_tree;
};

/* The processes that share a table, as a run of an array sorted by table number. */
struct sharers {
	enum tree_table table;
	const uint32_t *node;
	size_t n;
};

static struct birth_node *new_node(struct builder *bu, uint32_t *ret_node)
{
	struct birth_node *node;

	node = arena_append(bu->b->arena, &bu->b->nodes, &bu->b->n_nodes, sizeof(*node));
	if (!node)
		return NULL;
	*node = (struct birth_node){
		.parent = BIRTH_NONE,
		.session = BIRTH_OPEN,
		.birth = BIRTH_OPEN,
		.direct = BIRTH_NONE,
		.exit_signal = SIGCHLD,
		.forker = BIRTH_NONE,
	};
	for (int t = 0; t < TREE_TABLES; t++)
		node->hub[t] = BIRTH_NONE;
	*ret_node = (uint32_t)(bu->b->n_nodes - 1);
	return node;
}

static int add_process(struct builder *bu, const struct tree_process *p)
{
	struct birth_node *node;
	uint32_t self = BIRTH_NONE;

	node = new_node(bu, &self);
	if (!node)
		return -ENOMEM;
	node->number = p->pid[0];
	node->zombie = p->zombie;
	node->parent = p->parent == TREE_NONE ? BIRTH_NONE : p->parent;
	node->exit_signal = p->exit_signal;
	if (p->exit_signal != SIGCHLD)
		node->direct = node->parent;
	memcpy(node->table, p->table, sizeof(node->table));
	return 0;
}

static int dead_leader(struct builder *bu, int32_t number, uint32_t *ret_node)
{
	struct birth_node *node;

	*ret_node = idmap_get(&bu->dead, 0, number);
	if (*ret_node != IDMAP_NONE)
		return 0;
	node = new_node(bu, ret_node);
	if (!node || idmap_set(&bu->dead, 0, number, *ret_node) < 0)
		return -ENOMEM;
	node->number = number;
	node->dead = true;
	node->session = *ret_node;
	return 0;
}

static int set_session(struct builder *bu, uint32_t i)
{
	int32_t sid = bu->tree->processes[i].sid[0];
	uint32_t leader = tree_find(&bu->index, sid);

	if (sid == 0)
		leader = BIRTH_OUTSIDE;
	else if (leader == IDMAP_NONE && dead_leader(bu, sid, &leader) < 0)
		return -ENOMEM;
	bu->b->nodes[i].session = leader;
	if (i == 0)
		bu->b->nodes[i].birth = BIRTH_OUTSIDE;
	else if (leader != i)
		bu->b->nodes[i].birth = leader;
	return 0;
}

/* ---- tables */

static uint32_t parents_above(const struct builder *bu, uint32_t i)
{
	uint32_t n = 0;

	for (; bu->tree->processes[i].parent != TREE_NONE; i = bu->tree->processes[i].parent)
		n++;
	return n;
}

static bool is_ancestor(const struct builder *bu, uint32_t above, uint32_t i)
{
	while (i != above && i != TREE_NONE)
		i = bu->tree->processes[i].parent;
	return i == above;
}

/* The sharer that is an ancestor of all others, or BIRTH_NONE. */
static uint32_t top_sharer(const struct builder *bu, const struct sharers *s)
{
	uint32_t top = s->node[0], least = parents_above(bu, top);

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
static bool same_sharers(const struct builder *bu, const struct sharers *s, enum tree_table t)
{
	const struct birth_node *nodes = bu->b->nodes;
	uint32_t table = nodes[s->node[0]].table[t];
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (!table || nodes[s->node[i]].table[t] != table)
			return false;
	for (size_t i = 0; i < bu->n_tree; i++)
		n += nodes[i].table[t] == table;
	return n == s->n;
}

static uint32_t hub_of(const struct builder *bu, uint32_t node, enum tree_table t)
{
	uint32_t hub = bu->b->nodes[node].hub[t];

	return hub == BIRTH_NONE ? node : hub;
}

static int find_hub(struct builder *bu, const struct sharers *s, uint32_t *ret_hub)
{
	struct birth_node *node;

	*ret_hub = top_sharer(bu, s);
	for (enum tree_table t = 0; t < s->table && *ret_hub == BIRTH_NONE; t++)
		if (same_sharers(bu, s, t))
			*ret_hub = hub_of(bu, s->node[0], t);
	if (*ret_hub != BIRTH_NONE)
		return 0;
	node = new_node(bu, ret_hub);
	if (!node)
		return -ENOMEM;
	node->dead = true;
	return 0;
}

static int share(struct builder *bu, const struct sharers *s)
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

static int share_table(struct builder *bu, enum tree_table t)
{
	struct table_entry *entries;
	uint32_t *node;
	size_t n = bu->n_tree;

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

static int build(struct builder *bu)
{
	for (size_t i = 0; i < bu->n_tree; i++)
		if (add_process(bu, &bu->tree->processes[i]) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < bu->n_tree; i++)
		if (set_session(bu, (uint32_t)i) < 0)
			return -ENOMEM;
	for (enum tree_table t = 0; t < TREE_TABLES; t++)
		if (share_table(bu, t) < 0)
			return -ENOMEM;
	return relation_init(&bu->b->above, bu->b->arena, bu->b->n_nodes);
}

int birth_init(struct birth *b, struct context *ctx, struct arena *arena, const struct tree *tree)
{
	struct builder bu = {
		.b = b,
		.ctx = ctx,
		.tree = tree,
		.dead = {.arena = arena},
		.n_tree = tree->n_processes,
	};

	*b = (struct birth){.arena = arena};
	if (tree_index_init(&bu.index, arena, tree) < 0 || build(&bu) < 0)
		return err_oom(ctx);
	return 0;
}

const char *birth_name(const struct birth *b, uint32_t node, char *buf, size_t size)
{
	const struct birth_node *n = &b->nodes[node];

	if (!n->number)
		(void)snprintf(buf, size, "a helper");
	else
		(void)snprintf(buf, size, "%s %d", n->dead ? "the dead leader" : "process",
			       n->number);
	return buf;
}
