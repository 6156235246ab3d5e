/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of a birth tree: who takes part, and what is known of them before the search. */
#include "tree/birth-nodes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct birth_node *birth_new_node(struct node_builder *bu, uint32_t *ret_node)
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
		.group = BIRTH_NONE,
		.birth_group = BIRTH_OPEN,
		.forker = BIRTH_NONE,
	};
	for (int t = 0; t < TREE_TABLES; t++)
		node->hub[t] = BIRTH_NONE;
	*ret_node = (uint32_t)(bu->b->n_nodes - 1);
	return node;
}

static int add_process(struct node_builder *bu, const struct tree_process *p)
{
	uint32_t level = bu->tree->pid_ns[p->pid_ns].level;
	struct birth_node *node;
	uint32_t self = BIRTH_NONE;

	node = birth_new_node(bu, &self);
	if (!node)
		return -ENOMEM;
	node->number = p->pid[0];
	node->numbers = p->pid;
	node->ns = p->pid_ns;
	node->init = p->pid[level] == 1;
	node->zombie = p->zombie;
	node->parent = p->parent == TREE_NONE ? BIRTH_OUTSIDE : p->parent;
	node->exit_signal = p->exit_signal;
	if (p->exit_signal != SIGCHLD)
		node->direct = node->parent;
	memcpy(node->table, p->table, sizeof(node->table));
	return 0;
}

/* The leader of the session that @p is in; its numbers are those that the member sees. */
static int dead_leader(struct node_builder *bu, const struct tree_process *p, uint32_t *ret_node)
{
	struct birth_node *node;

	*ret_node = idmap_get(&bu->dead, 0, p->sid[0]);
	if (*ret_node != IDMAP_NONE)
		return 0;
	node = birth_new_node(bu, ret_node);
	if (!node || idmap_set(&bu->dead, 0, p->sid[0], *ret_node) < 0)
		return -ENOMEM;
	node->number = p->sid[0];
	node->numbers = p->sid;
	node->ns = tree_leader_ns(bu->tree, p->pid_ns, p->sid);
	node->dead = true;
	node->session = *ret_node;
	return 0;
}

/* The number of a session outside, by first occurrence. */
static int outside_session(struct node_builder *bu, uint32_t session, uint32_t *ret_leader)
{
	uint32_t *slot, i = idmap_get(&bu->sessions, 0, (int32_t)session + 1);

	if (i == IDMAP_NONE) {
		i = (uint32_t)bu->b->n_outside;
		slot = arena_append(bu->b->arena, &bu->b->outside, &bu->b->n_outside,
				    sizeof(*slot));
		if (!slot || idmap_set(&bu->sessions, 0, (int32_t)session + 1, i) < 0)
			return -ENOMEM;
		*slot = session;
	}
	*ret_leader = BIRTH_OUTSIDE + i;
	return 0;
}

static int set_session(struct node_builder *bu, uint32_t i)
{
	const struct tree_process *p = &bu->tree->processes[i];
	uint32_t leader = tree_find(&bu->index, p->sid[0]);
	int r = 0;

	if (p->sid[0] == 0)
		r = outside_session(bu, p->outside_session, &leader);
	else if (leader == IDMAP_NONE)
		r = dead_leader(bu, p, &leader);
	if (r < 0)
		return r;
	bu->b->nodes[i].session = leader;
	if (leader != i)
		bu->b->nodes[i].birth = leader;
	return 0;
}

/* The root comes from outside. Where it left its session there, that may be any. */
static int set_root(struct node_builder *bu)
{
	struct birth_node *root = &bu->b->nodes[0];
	int r = 0;

	if (root->birth == BIRTH_OPEN)
		r = outside_session(bu, bu->tree->processes[0].outside_session, &root->birth);
	return r;
}

static int build(struct node_builder *bu)
{
	for (size_t i = 0; i < bu->tree->n_processes; i++)
		if (add_process(bu, &bu->tree->processes[i]) < 0)
			return -ENOMEM;
	for (size_t i = 0; i < bu->tree->n_processes; i++)
		if (set_session(bu, (uint32_t)i) < 0 || (i == 0 && set_root(bu) < 0))
			return -ENOMEM;
	if (birth_find_groups(bu) < 0 || birth_share_tables(bu) < 0)
		return -ENOMEM;
	return relation_init(&bu->b->above, bu->b->arena, bu->b->n_nodes);
}

int birth_init(struct birth *b, struct context *ctx, struct arena *arena, const struct tree *tree)
{
	struct node_builder bu = {
		.b = b,
		.tree = tree,
		.dead = {.arena = arena},
		.groups = {.arena = arena},
		.sessions = {.arena = arena},
		.outside = {.arena = arena},
	};

	*b = (struct birth){
		.arena = arena,
		.tree = tree,
		.outer = tree->container ? TREE_NONE : 0,
	};
	if (tree_index_init(&bu.index, arena, tree) < 0 || build(&bu) < 0)
		return err_oom(ctx);
	return 0;
}

uint32_t birth_parent_ns(const struct birth *b, uint32_t node)
{
	uint32_t parent = b->nodes[node].parent;

	return birth_is_outside(parent) ? b->outer : b->nodes[parent].ns;
}

const char *birth_name(const struct birth *b, uint32_t node, char *buf, size_t size)
{
	const struct birth_node *n = birth_is_outside(node) ? NULL : &b->nodes[node];

	if (!n)
		(void)snprintf(buf, size, "the outside");
	else if (!n->number)
		(void)snprintf(buf, size, "a helper");
	else
		(void)snprintf(buf, size, "%s %d", n->dead ? "the dead leader" : "process",
			       n->number);
	return buf;
}
