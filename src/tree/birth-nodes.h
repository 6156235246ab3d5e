/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of a birth tree in the making: what birth-nodes.c, -groups.c and -tables.c share. */
#pragma once

#include "tree/birth.h"
#include "tree/state.h"

struct node_builder {
	struct birth *b;
	const struct tree *tree;
	struct tree_index index;
	struct idmap dead;     /* outermost numbers of dead leaders to nodes */
	struct idmap groups;   /* outermost numbers of groups to birth.groups */
	struct idmap sessions; /* outside_session, plus 1, to birth.outside */
	struct idmap outside;  /* pairs of session and group outside to birth.groups */
};

/* A node without any properties, of root's namespace; NULL: no memory. */
struct birth_node *birth_new_node(struct node_builder *bu, uint32_t *ret_node);

/* birth-groups.c: all groups, and who must be born into them. 0 or -ENOMEM. */
int birth_find_groups(struct node_builder *bu);

/* birth-tables.c: hubs. 0 or -ENOMEM. */
int birth_share_tables(struct node_builder *bu);
