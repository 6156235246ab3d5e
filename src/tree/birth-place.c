/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows for x above y from where they, their parents and their groups are (birth.h, 5 to 9).
 * Where a rule is broken there is mostly no way out: what x is too deep for can't be above x.
 */
#include <errno.h>

#include "tree/birth-search.h"

/* Could a process of N(x) be the forker, over others, of one in N(y)? */
static const char *refute_birth(const struct birth *b, uint32_t x, uint32_t y)
{
	const struct birth_node *nx = &b->nodes[x], *ny = &b->nodes[y];

	if (y == 0)
		return "the second is the root of the tree";
	if (!tree_ns_is_in(b->tree, ny->ns, nx->ns))
		return "no process leaves its PID namespace by birth";
	if (ny->init && ny->ns == nx->ns)
		return "the second is the init of the PID namespace that the first is in";
	if (ny->lost && ny->lost == nx->number)
		return "the terminal of the second had a foreground group with the number of the "
		       "first before";
	return NULL;
}

/* All from @x down to @y were born as siblings: they have one parent. */
static int check_siblings(struct search *s, uint32_t x, uint32_t y)
{
	struct birth_node *nx = &s->b->nodes[x];
	uint32_t parent = s->b->nodes[y].parent;

	if (nx->init) {
		search_refute(
			s, x, y,
			"the parent of the second is outside the PID namespace that the first "
			"is the init of, and an init has no siblings");
		return 0;
	}
	if (nx->parent == parent)
		return 0;
	if (nx->parent != BIRTH_NONE) {
		search_refute(
			s, x, y,
			"the first lives in a PID namespace below that of the second's parent, "
			"so that it must have the same parent, but has another");
		return 0;
	}
	if (search_touch(s, x) < 0)
		return -ENOMEM;
	nx->parent = parent;
	if (birth_is_outside(parent) || s->b->nodes[parent].init)
		return 0;
	return search_put(s, parent, x, WHY_SIBLING, y);
}

static int check_parents(struct search *s, uint32_t x, uint32_t y)
{
	const struct birth *b = s->b;
	uint32_t u = b->nodes[y].parent, parent_ns;

	if (u == BIRTH_NONE)
		return 0;
	parent_ns = birth_parent_ns(b, y);
	if (tree_ns_is_below(b->tree, b->nodes[x].ns, parent_ns))
		return check_siblings(s, x, y);
	if (birth_is_outside(u) || u == x || b->nodes[u].init)
		return 0;
	if (b->nodes[x].parent == BIRTH_NONE || birth_parent_ns(b, x) == parent_ns)
		return 0;
	return search_put(s, x, u, WHY_OUTSIDE, y);
}

/* Must @x stay in the group that it is born into, since nothing would bring it back there? */
static bool is_bound(const struct birth *b, uint32_t x)
{
	const struct birth_node *nx = &b->nodes[x];

	return !nx->dead && nx->session != x && !nx->group_is_set &&
	       !tree_ns_is_in(b->tree, b->groups[nx->group].ns, nx->ns);
}

/*
 * @x does not see the group that @y was born into: it was in that when it forked. It was born into it,
 * too, or its parent put it there for a while.
 */
static int check_group(struct search *s, uint32_t x, uint32_t y)
{
	const struct birth *b = s->b;
	struct birth_node *nx = &b->nodes[x];
	uint32_t group = b->nodes[y].birth_group;

	if (group == BIRTH_OPEN || nx->birth_group == group ||
	    tree_ns_is_in(b->tree, b->groups[group].ns, nx->ns))
		return 0;
	if (!is_bound(b, x) && birth_parent_sees(b, x, group))
		return 0;
	if (nx->birth_group != BIRTH_OPEN) {
		search_refute(s, x, y,
			      "the second was born into a process group that the first, born into "
			      "another, cannot see");
		return 0;
	}
	if (search_touch(s, x) < 0)
		return -ENOMEM;
	nx->birth_group = group;
	return 0;
}

int search_check_place(struct search *s, uint32_t x, uint32_t y)
{
	const char *why = refute_birth(s->b, x, y);
	int r;

	if (why) {
		search_refute(s, x, y, why);
		return 0;
	}
	r = check_parents(s, x, y);
	if (r == 0 && !s->failed)
		r = check_group(s, x, y);
	return r;
}
