/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of a birth tree: process groups, and who must be born into its group since nobody could
 * put it there later (birth.h, 8).
 */
#include <errno.h>

#include "tree/birth-nodes.h"

static int new_group(struct node_builder *bu, uint32_t member, struct birth_group **ret_group)
{
	struct birth *b = bu->b;

	*ret_group = arena_append(b->arena, &b->groups, &b->n_groups, sizeof(**ret_group));
	if (!*ret_group)
		return -ENOMEM;
	**ret_group = (struct birth_group){
		.session = b->nodes[member].session,
		.leader = BIRTH_NONE,
		.member = member,
	};
	return 0;
}

/* The group that session leader @leader founded. */
static int leaders_group(struct node_builder *bu, uint32_t leader)
{
	struct birth_group *group;

	if (new_group(bu, leader, &group) < 0)
		return -ENOMEM;
	group->number = bu->b->nodes[leader].number;
	group->numbers = bu->b->nodes[leader].numbers;
	group->ns = bu->b->nodes[leader].ns;
	group->leader = leader;
	bu->b->nodes[leader].group = (uint32_t)(bu->b->n_groups - 1);
	return idmap_set(&bu->groups, 0, group->number, bu->b->nodes[leader].group);
}

/* A group by somebody else: a living process has its number, or the member who sees most of it. */
static int numbered_group(struct node_builder *bu, uint32_t member, uint32_t *ret_group)
{
	const struct tree_process *p = &bu->tree->processes[member];
	uint32_t ns = tree_leader_ns(bu->tree, p->pid_ns, p->pgid);
	uint32_t founder = tree_find(&bu->index, p->pgid[0]);
	struct birth_group *group;

	*ret_group = idmap_get(&bu->groups, 0, p->pgid[0]);
	if (*ret_group == IDMAP_NONE) {
		*ret_group = (uint32_t)bu->b->n_groups;
		if (new_group(bu, member, &group) < 0 ||
		    idmap_set(&bu->groups, 0, p->pgid[0], *ret_group) < 0)
			return -ENOMEM;
		group->number = p->pgid[0];
		group->numbers = founder == IDMAP_NONE ? p->pgid : bu->tree->processes[founder].pid;
		group->ns = founder == IDMAP_NONE ? ns : bu->tree->processes[founder].pid_ns;
	}
	group = &bu->b->groups[*ret_group];
	if (tree_ns_is_below(bu->tree, ns, group->ns)) {
		group->numbers = p->pgid;
		group->ns = ns;
	}
	return 0;
}

static int outside_group(struct node_builder *bu, uint32_t member, uint32_t *ret_group)
{
	const struct tree_process *p = &bu->tree->processes[member];
	uint32_t session = bu->b->nodes[member].session - BIRTH_OUTSIDE;
	int32_t key = (int32_t)p->outside_group;
	struct birth_group *group;

	*ret_group = idmap_get(&bu->outside, session, key + 1);
	if (*ret_group != IDMAP_NONE)
		return 0;
	*ret_group = (uint32_t)bu->b->n_groups;
	if (new_group(bu, member, &group) < 0)
		return -ENOMEM;
	group->ns = bu->b->outer;
	group->outside = p->outside_group;
	return idmap_set(&bu->outside, session, key + 1, *ret_group);
}

static int set_group(struct node_builder *bu, uint32_t i)
{
	const struct tree_process *p = &bu->tree->processes[i];
	uint32_t group = BIRTH_NONE;
	int r;

	if (bu->b->nodes[i].session == i)
		return 0;
	r = p->pgid[0] == 0 ? outside_group(bu, i, &group) : numbered_group(bu, i, &group);
	bu->b->nodes[i].group = group;
	return r;
}

/* It was born a child of its parent, not of a scaffold in the session, and the parent has left that. */
static bool has_parent_elsewhere(const struct birth *b, const struct birth_node *node)
{
	return node->direct < BIRTH_OUTSIDE && b->nodes[node->direct].session != node->session;
}

bool birth_parent_sees(const struct birth *b, uint32_t node, uint32_t group)
{
	uint32_t ns;

	if (b->nodes[node].parent == BIRTH_NONE || has_parent_elsewhere(b, &b->nodes[node]))
		return false;
	ns = birth_parent_ns(b, node);
	/* nobody above the tree's namespaces is in a session that is led from within */
	return tree_ns_is_in(b->tree, b->groups[group].ns, ns) &&
	       (ns != TREE_NONE || birth_is_outside(b->groups[group].session));
}

/* Whoever does not see its group, and whose parent does not either, was born into it. */
static void set_birth_group(struct birth *b, uint32_t i)
{
	struct birth_node *node = &b->nodes[i];
	const struct birth_group *group = &b->groups[node->group];

	if (node->session == i || tree_ns_is_in(b->tree, group->ns, node->ns))
		return;
	node->group_is_set = birth_parent_sees(b, i, node->group);
	if (!node->group_is_set)
		node->birth_group = node->group;
}

/* Has somebody the number of @i's foreground group who is not of the session? */
static bool has_passed(const struct node_builder *bu, uint32_t i, int32_t number)
{
	const struct birth_node *nodes = bu->b->nodes;
	uint32_t group = idmap_get(&bu->groups, 0, number), holder = tree_find(&bu->index, number);

	if (group != IDMAP_NONE)
		return bu->b->groups[group].session != nodes[i].session;
	return holder != IDMAP_NONE && nodes[holder].session != nodes[i].session;
}

static int find_lost(struct node_builder *bu, uint32_t i)
{
	const struct tree_process *p = &bu->tree->processes[i];
	uint32_t *slot;

	if (!p->tty || !p->tty_pgrp || !has_passed(bu, i, p->tty_pgrp))
		return 0;
	slot = arena_append(bu->b->arena, &bu->b->lost, &bu->b->n_lost, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = i;
	bu->b->nodes[i].lost = p->tty_pgrp;
	return 0;
}

int birth_find_groups(struct node_builder *bu)
{
	struct birth *b = bu->b;

	for (uint32_t i = 0; i < b->n_nodes; i++)
		if (b->nodes[i].session == i && leaders_group(bu, i) < 0)
			return -ENOMEM;
	for (uint32_t i = 0; i < bu->tree->n_processes; i++)
		if (set_group(bu, i) < 0)
			return -ENOMEM;
	for (uint32_t i = 0; i < bu->tree->n_processes; i++) {
		set_birth_group(b, i);
		if (find_lost(bu, i) < 0)
			return -ENOMEM;
	}
	return 0;
}
