/* SPDX-License-Identifier: Apache-2.0 */
/* What the search for a birth tree leaves open, since nothing depends on it. */
#include <errno.h>

#include "tree/birth-search.h"

struct settling {
	struct birth *b;
	uint32_t *child; /* by node: the first that it forks */
	uint32_t *next;	 /* by node: the next one with the same forker */
	uint32_t
		*wants; /* by node: a group that it is in when it forks somebody, as far as known */
};

/* Who has to come from outside? Everybody else can as well come from the root. */
static bool comes_from_outside(const struct birth_node *node)
{
	return birth_is_outside(node->parent) || birth_is_outside(node->birth);
}

static void settle_birth(struct birth *b, uint32_t i)
{
	struct birth_node *node = &b->nodes[i];

	if (node->forker == BIRTH_NONE && i != 0 && !comes_from_outside(node))
		node->forker = 0;
	if (node->birth == BIRTH_OPEN)
		node->birth =
			node->forker == BIRTH_NONE ? BIRTH_OUTSIDE : b->nodes[node->forker].session;
	if (node->session == BIRTH_OPEN)
		node->session = node->birth;
}

static bool sees(const struct birth *b, uint32_t node, uint32_t group)
{
	return tree_ns_is_in(b->tree, b->groups[group].ns, b->nodes[node].ns);
}

/* Can @node be born into @group, seeing who forks it? */
static bool can_inherit(const struct birth *b, const struct birth_node *node, uint32_t group)
{
	if (b->groups[group].session != node->birth)
		return false;
	if (node->forker == BIRTH_NONE)
		return true;
	return sees(b, node->forker, group) || b->nodes[node->forker].birth_group == group;
}

/* What @i passes on of the needs below it. */
static void find_want(const struct settling *se, uint32_t i)
{
	struct birth *b = se->b;

	se->wants[i] = b->nodes[i].birth_group;
	if (se->wants[i] == BIRTH_OPEN && b->nodes[i].group_is_set)
		se->wants[i] = b->nodes[i].group;
	for (uint32_t v = se->child[i]; v != BIRTH_NONE && se->wants[i] == BIRTH_OPEN;
	     v = se->next[v]) {
		uint32_t group = se->wants[v];

		if (group != BIRTH_OPEN && !sees(b, i, group) &&
		    b->groups[group].session == b->nodes[i].birth)
			se->wants[i] = group;
	}
}

/* The final group, though the parent could see to that later; else one that children need. */
static void settle_group(const struct settling *se, uint32_t i)
{
	struct birth *b = se->b;
	struct birth_node *node = &b->nodes[i];

	if (node->birth_group == BIRTH_OPEN && node->group_is_set &&
	    can_inherit(b, node, node->group))
		node->birth_group = node->group;
	for (uint32_t v = se->child[i]; v != BIRTH_NONE && node->birth_group == BIRTH_OPEN;
	     v = se->next[v]) {
		uint32_t group = se->wants[v];

		if (group != BIRTH_OPEN && !sees(b, i, group) && can_inherit(b, node, group))
			node->birth_group = group;
	}
	if (node->forker == BIRTH_NONE || node->birth_group == BIRTH_OPEN ||
	    sees(b, node->forker, node->birth_group))
		return;
	if (b->nodes[node->forker].birth_group != node->birth_group)
		b->nodes[node->forker].is_moved = true;
}

int birth_settle(struct birth *b)
{
	struct settling se = {
		.b = b,
		.child = arena_new_n(b->arena, uint32_t, b->n_nodes),
		.next = arena_new_n(b->arena, uint32_t, b->n_nodes),
		.wants = arena_new_n(b->arena, uint32_t, b->n_nodes),
	};

	if (!se.child || !se.next || !se.wants)
		return -ENOMEM;
	for (size_t i = 0; i < b->n_nodes; i++)
		se.child[i] = se.next[i] = BIRTH_NONE;
	for (uint32_t i = 0; i < b->n_nodes; i++) {
		uint32_t forker;

		settle_birth(b, b->order[i]);
		forker = b->nodes[b->order[i]].forker;
		if (forker == BIRTH_NONE)
			continue;
		se.next[b->order[i]] = se.child[forker];
		se.child[forker] = b->order[i];
	}
	for (size_t i = b->n_nodes; i-- > 0;)
		find_want(&se, b->order[i]);
	for (size_t i = 0; i < b->n_nodes; i++)
		settle_group(&se, b->order[i]);
	return 0;
}
