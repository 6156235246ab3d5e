/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each process is born. Its forker is known from the birth tree; where the final parent is
 * another one, there are three ways:
 *   - CLONE_PARENT: the child is born beside its forker, under whoever the forker was born under;
 *   - under a process that will be dead in the end: its children go to an heir when it exits;
 *   - under a scaffold, made for this: the forker forks it, it forks the child, and its exit hands
 *     the child to the heir.
 * The heir is the nearest process above with PR_SET_CHILD_SUBREAPER, or init. When those who go exit
 * one after the other, the last born first, everybody above still stands where it was born; so with
 * the flag on the heir alone every orphan lands right, and nothing else moves.
 *
 * CLONE_PARENT takes the forker out of the line of parents above the child. It must not be used
 * where that forker is the final parent of somebody below the child.
 *
 * In nested PID namespaces scaffolds are stations on the way down from the forker, as well:
 *   - in the namespace of the final parent, since adoption never leaves it;
 *   - in the namespace above that of an init, since only from there it is made;
 *   - where the child must be born into a group that the forker is not in: the scaffold sees and
 *     joins it.
 * Where the forker lives below the final parent's namespace, all stations are its siblings.
 */
#include <errno.h>
#include <signal.h>

#include "tree/builder.h"

/* A process on its way from its forker to its place. */
struct route {
	uint32_t v;
	uint32_t forker; /* so far: the last station */
	uint32_t parent; /* in the end; PLAN_NONE: the outside */
	uint32_t parent_ns;
	uint32_t maker_ns; /* of an init: where it is made; BIRTH_NONE for others */
	uint32_t group;	   /* that is still to be joined; BIRTH_NONE */
	uint32_t outside;  /* the group outside that those forked by the outside are born into */
	bool late;	   /* the next one is forked after the forker's setsid */
};

struct station {
	uint32_t ns;
	bool sibling;
	uint32_t heir;
	uint32_t joins;
	int32_t exit_signal;
	bool under_leader;
	bool moved;
};

static uint32_t final_parent(const struct builder *bu, uint32_t process)
{
	uint32_t parent = bu->birth->nodes[process].parent;

	return birth_is_outside(parent) ? PLAN_NONE : parent;
}

/* Marks the children through which somebody further down has their forker as final parent. */
static void mark_needed(struct builder *bu)
{
	for (uint32_t y = 1; y < bu->tree->n_processes; y++) {
		uint32_t parent = final_parent(bu, y), v = bu->place[y].forker;

		/* an init adopts whatever the line of parents */
		if (v == parent || parent == PLAN_NONE || bu->birth->nodes[parent].init ||
		    v == PLAN_NONE)
			continue;
		while (bu->place[v].forker != parent)
			v = bu->place[v].forker;
		bu->place[v].needed = true;
	}
}

/*
 * Who sets the group of a process is in its session: a scaffold, unless that is the outside. Where the
 * process is born as somebody's sibling, that one must be born under the scaffold.
 */
static void mark_set(struct builder *bu)
{
	for (uint32_t v = 1; v < bu->birth->n_nodes; v++) {
		uint32_t f = bu->place[v].forker, ns;

		if (!builder_group_is_set(bu, v) || bu->birth->nodes[v].parent == BIRTH_NONE)
			continue;
		ns = birth_parent_ns(bu->birth, v);
		for (; f != PLAN_NONE && tree_ns_is_below(bu->tree, builder_ns(bu, f), ns);
		     f = bu->place[f].forker)
			bu->place[f].leads_to_set = true;
	}
}

/* Will a child born under @under end with @parent as its parent? Makes it so where that is open. */
static bool leads_to(struct builder *bu, uint32_t under, uint32_t parent)
{
	uint32_t heir = parent == PLAN_NONE ? BUILDER_OUTSIDE : parent;

	if (under == PLAN_NONE || builder_in_tree(bu, under))
		return under == parent;
	if (builder_ns(bu, under) != builder_ns(bu, parent))
		return false;
	if (bu->place[under].heir == PLAN_NONE)
		bu->place[under].heir = heir;
	return bu->place[under].heir == heir;
}

void placement_link(struct builder *bu, uint32_t forker, uint32_t child)
{
	struct placement *f = builder_place(bu, forker);
	bool late = bu->place[child].late;

	if (f->last_child[late] == PLAN_NONE)
		f->children[late] = child;
	else
		bu->place[f->last_child[late]].next_child = child;
	f->last_child[late] = child;
}

/* The group that a child forked by @forker would be born into, as far as it is known. */
static uint32_t group_at_birth(const struct builder *bu, const struct route *route)
{
	uint32_t forker = route->forker;
	bool late = route->late;

	if (forker == PLAN_NONE)
		return route->outside;
	if (late)
		return bu->birth->nodes[forker].group;
	if (bu->place[forker].joins != BIRTH_NONE)
		return bu->place[forker].joins;
	return bu->place[forker].group;
}

/* @process and those it comes from must be forked while their forkers are in the right group. */
static void make_strict(struct builder *bu, uint32_t process)
{
	while (process != PLAN_NONE && !bu->place[process].strict && !bu->place[process].late) {
		uint32_t forker = bu->place[process].forker;

		bu->place[process].strict = true;
		if (forker == PLAN_NONE || bu->place[forker].joins != BIRTH_NONE)
			return;
		process = forker;
	}
}

/* ---- stations */

static bool is_station(const struct builder *bu, uint32_t c, const struct route *route,
		       const struct station *st)
{
	const struct placement *p = &bu->place[c];
	uint32_t session = bu->birth->nodes[route->v].birth;

	return p->ns == st->ns && p->sibling == st->sibling && p->heir == st->heir &&
	       p->joins == st->joins && p->late == route->late && p->birth == session &&
	       p->group == group_at_birth(bu, route) && p->under_leader == st->under_leader &&
	       p->moved == st->moved && p->exit_signal == st->exit_signal &&
	       st->exit_signal == SIGCHLD;
}

static int new_station(struct builder *bu, const struct route *route, const struct station *st,
		       uint32_t *ret_station)
{
	struct placement *place, *forker;

	if (builder_process(bu, PLAN_ROLE_SCAFFOLD, st->ns, NULL, ret_station) < 0)
		return -ENOMEM;
	forker = builder_place(bu, route->forker);
	place = &bu->place[*ret_station];
	place->forker = route->forker;
	place->sibling = st->sibling && route->forker != PLAN_NONE;
	place->born_under = place->sibling ? forker->born_under : route->forker;
	place->heir = st->heir;
	place->joins = st->joins;
	place->under_leader = st->under_leader;
	place->moved = place->strict = st->moved;
	place->late = route->late;
	place->session = place->birth = bu->birth->nodes[route->v].birth;
	place->exit_signal = place->sibling ? forker->exit_signal : st->exit_signal;
	place->group = group_at_birth(bu, route);
	place->next_scaffold = forker->scaffolds;
	forker->scaffolds = *ret_station;
	if (st->joins != BIRTH_NONE)
		bu->groups[st->joins].early = true;
	placement_link(bu, route->forker, *ret_station);
	return 0;
}

/* Goes on from a scaffold: one serves for all on the same way. */
static int stop_over(struct builder *bu, struct route *route, struct station st)
{
	const struct placement *forker = builder_place(bu, route->forker);
	const struct placement *v;
	uint32_t c = forker->scaffolds;

	if (route->forker == PLAN_NONE)
		st.sibling = false;
	while (c != PLAN_NONE && !is_station(bu, c, route, &st))
		c = bu->place[c].next_scaffold;
	if (c == PLAN_NONE && new_station(bu, route, &st, &c) < 0)
		return -ENOMEM;
	forker = builder_place(bu, route->forker);
	v = &bu->place[route->v];
	for (int t = 0; t < TREE_TABLES; t++)
		if (v->table[t] && v->table[t] == forker->table[t])
			bu->place[c].table[t] = v->table[t];
	route->forker = c;
	route->late = false;
	if (st.joins != BIRTH_NONE)
		route->group = BIRTH_NONE;
	return 0;
}

/* ---- the two ways */

static void settle_under(struct builder *bu, const struct route *route)
{
	struct placement *pv = &bu->place[route->v];

	pv->forker = pv->born_under = route->forker;
	pv->late = route->late;
}

static void settle_beside(struct builder *bu, const struct route *route)
{
	struct placement *pv = &bu->place[route->v];

	settle_under(bu, route);
	if (route->forker == PLAN_NONE)
		return;
	pv->sibling = true;
	pv->born_under = bu->place[route->forker].born_under;
}

static uint32_t heir_of(const struct route *route)
{
	return route->parent == PLAN_NONE ? BUILDER_OUTSIDE : route->parent;
}

static bool is_set_by_parent(const struct builder *bu, uint32_t v)
{
	return builder_group_is_set(bu, v) || bu->place[v].leads_to_set;
}

static bool makes_init(const struct builder *bu, const struct route *route)
{
	return route->maker_ns == BIRTH_NONE ||
	       (route->forker != PLAN_NONE && builder_ns(bu, route->forker) == route->maker_ns);
}

static bool group_is_seen(const struct builder *bu, uint32_t group, uint32_t ns)
{
	return group == BIRTH_NONE || tree_ns_is_in(bu->tree, bu->birth->groups[group].ns, ns);
}

/*
 * Where a station joins a group: as deep as one can that sees it and forks into the process's
 * namespace. TREE_NONE: outside.
 */
static uint32_t joining_ns(const struct builder *bu, const struct route *route)
{
	uint32_t ns = bu->birth->groups[route->group].ns;

	return ns == TREE_NONE ? TREE_NONE : tree_ns_common(bu->tree, ns, bu->place[route->v].ns);
}

/* All stations are siblings of the forker: its parent is the child's. */
static int place_beside(struct builder *bu, struct route *route)
{
	struct station st = {.sibling = true, .heir = PLAN_NONE, .exit_signal = SIGCHLD};
	int r = 0;

	st.under_leader = route->forker == PLAN_NONE && is_set_by_parent(bu, route->v);
	st.joins = route->group;
	if (route->group != BIRTH_NONE) {
		st.ns = joining_ns(bu, route);
		r = stop_over(bu, route, st);
	}
	st.ns = route->maker_ns;
	st.joins = BIRTH_NONE;
	if (r == 0 && !makes_init(bu, route))
		r = stop_over(bu, route, st);
	settle_beside(bu, route);
	return r;
}

/*
 * Its parent lives above the namespace that it must be forked in: that which an init is made in, or
 * that of a group's leader, where the group is seen on all levels. Beside a station in there.
 */
static int place_far(struct builder *bu, struct route *route)
{
	struct station parent = {.ns = route->parent_ns,
				 .heir = heir_of(route),
				 .joins = BIRTH_NONE,
				 .exit_signal = SIGCHLD};
	struct station maker = {.heir = PLAN_NONE,
				.joins = route->group,
				.exit_signal = bu->place[route->v].exit_signal};
	bool beside = false;
	int r = 0;

	if (route->parent != route->forker ||
	    (is_set_by_parent(bu, route->v) && bu->place[route->v].exit_signal == SIGCHLD))
		r = stop_over(bu, route, parent);
	if (r == 0 && route->group != BIRTH_NONE) {
		maker.ns = joining_ns(bu, route);
		r = stop_over(bu, route, maker);
		beside = true;
	}
	maker.ns = route->maker_ns;
	maker.sibling = beside;
	maker.joins = BIRTH_NONE;
	if (r == 0 && !makes_init(bu, route))
		r = stop_over(bu, route, maker);
	settle_beside(bu, route);
	return r;
}

/* A child of its forker's with a signal that no adoption leaves: beside a station. */
static int place_with_signal(struct builder *bu, struct route *route)
{
	struct station st = {
		.ns = route->maker_ns == BIRTH_NONE ? route->parent_ns : route->maker_ns,
		.heir = PLAN_NONE,
		.joins = route->group,
		.exit_signal = bu->place[route->v].exit_signal,
	};
	int r = stop_over(bu, route, st);

	settle_beside(bu, route);
	return r;
}

static bool can_be_sibling(struct builder *bu, const struct route *route)
{
	const struct placement *pv = &bu->place[route->v], *forker = &bu->place[route->forker];

	if (route->forker == 0 || pv->needed || forker->exit_signal != pv->exit_signal ||
	    bu->birth->nodes[route->forker].init)
		return false;
	/* another signal survives no adoption */
	if (pv->exit_signal != SIGCHLD)
		return forker->born_under == route->parent;
	return leads_to(bu, forker->born_under, route->parent);
}

/* Without any station, if that is possible. */
static bool place_directly(struct builder *bu, struct route *route)
{
	if (route->group != BIRTH_NONE || !makes_init(bu, route) || is_set_by_parent(bu, route->v))
		return false;
	if (route->parent == route->forker) {
		settle_under(bu, route);
		return true;
	}
	if (route->forker == PLAN_NONE)
		return false;
	if (can_be_sibling(bu, route)) {
		settle_beside(bu, route);
		return true;
	}
	if (bu->place[route->v].exit_signal != SIGCHLD || builder_in_tree(bu, route->forker) ||
	    !leads_to(bu, route->forker, route->parent))
		return false;
	settle_under(bu, route);
	return true;
}

/* Does it take a station below the parent's namespace? */
static bool is_far(const struct builder *bu, const struct route *route)
{
	if (route->maker_ns != BIRTH_NONE && route->maker_ns != route->parent_ns)
		return true;
	return route->group != BIRTH_NONE &&
	       tree_ns_is_below(bu->tree, joining_ns(bu, route), route->parent_ns);
}

/* The forker does not see the group, but is put there to fork a scaffold. */
static int stop_over_moved(struct builder *bu, struct route *route)
{
	const struct station st = {
		.ns = builder_ns(bu, route->forker),
		.heir = PLAN_NONE,
		.joins = route->group,
		.exit_signal = bu->place[route->v].exit_signal,
		.moved = true,
	};

	bu->place[route->forker].moves = true;
	return stop_over(bu, route, st);
}

/* The forker is one above, at the level of the parent's namespace or higher. */
static int place_below(struct builder *bu, struct route *route)
{
	struct station st = {.heir = PLAN_NONE, .exit_signal = SIGCHLD};

	if (route->forker != PLAN_NONE &&
	    !group_is_seen(bu, route->group, builder_ns(bu, route->forker)) &&
	    stop_over_moved(bu, route) < 0)
		return -ENOMEM;
	st.joins = route->group;
	if (place_directly(bu, route))
		return 0;
	if (bu->place[route->v].exit_signal != SIGCHLD && route->parent != route->forker) {
		/* no adoption leaves it that signal: only siblings pass it on */
		if (route->forker == PLAN_NONE || !can_be_sibling(bu, route))
			return -EDOM;
		return place_beside(bu, route);
	}
	if (!group_is_seen(bu, route->group, route->parent_ns)) {
		st.ns = joining_ns(bu, route);
		if (st.ns == TREE_NONE)
			st.ns = builder_ns(bu, route->forker);
		if (stop_over(bu, route, st) < 0)
			return -ENOMEM;
	}
	if (is_far(bu, route))
		return place_far(bu, route);
	if (bu->place[route->v].exit_signal != SIGCHLD)
		return place_with_signal(bu, route);
	st.ns = route->parent_ns;
	st.heir = heir_of(route);
	st.joins = route->group;
	if (stop_over(bu, route, st) < 0)
		return -ENOMEM;
	settle_under(bu, route);
	return 0;
}

static struct route route_to(struct builder *bu, uint32_t v)
{
	const struct birth_node *node = &bu->birth->nodes[v];
	uint32_t forker = bu->place[v].forker, group = node->birth_group;
	struct route route = {
		.v = v,
		.forker = forker,
		.parent = final_parent(bu, v),
		.maker_ns = node->init ? bu->tree->pid_ns[node->ns].parent : BIRTH_NONE,
		.group = group == BIRTH_OPEN ? BIRTH_NONE : group,
		.outside = BIRTH_NONE,
		/* its own session and the one it came from are all that a forker has to give */
		.late = node->birth == forker,
	};

	if (node->parent == BIRTH_NONE)
		route.parent = node->direct >= BIRTH_OUTSIDE ? forker : node->direct;
	route.parent_ns = builder_ns(bu, route.parent);
	if (route.group == BIRTH_NONE)
		return route;
	if (forker == PLAN_NONE && bu->birth->groups[group].number == 0)
		route.outside = group; /* by the leader outside */
	if (group_at_birth(bu, &route) == group)
		route.group = BIRTH_NONE;
	return route;
}

static int no_direct_birth(struct builder *bu, const struct route *route)
{
	const struct birth_node *node = &bu->birth->nodes[route->v];

	/* in nested namespaces there may be ways by siblings that are not looked for */
	return err_msg(
		bu->ctx, bu->tree->n_pid_ns > 1 ? -EOPNOTSUPP : -EDOM,
		"process %d was born as a child of %d, as its exit signal %d tells, but then "
		"%d cannot be the parent of those below it",
		node->number, builder_number(bu, route->parent), node->exit_signal,
		builder_number(bu, route->forker));
}

/* @v and its siblings, if the outside forked the first of them. */
static void put_under_leader(struct builder *bu, uint32_t v)
{
	while (bu->place[v].sibling)
		v = bu->place[v].forker;
	if (bu->place[v].forker == PLAN_NONE)
		bu->place[v].under_leader = true;
}

static int place(struct builder *bu, uint32_t v)
{
	struct route route = route_to(bu, v);
	bool inherits = bu->birth->nodes[v].birth_group != BIRTH_OPEN && route.group == BIRTH_NONE;
	uint32_t forker_ns = builder_ns(bu, route.forker);
	struct placement *pv;
	bool beside;
	int r;

	beside = route.forker == PLAN_NONE ? route.parent == PLAN_NONE
					   : tree_ns_is_below(bu->tree, forker_ns, route.parent_ns);
	r = beside ? place_beside(bu, &route) : place_below(bu, &route);
	if (r == -EDOM)
		return no_direct_birth(bu, &route);
	if (r < 0)
		return err_oom(bu->ctx);
	pv = &bu->place[v];
	pv->group = group_at_birth(bu, &route);
	placement_link(bu, pv->forker, v);
	if (inherits)
		make_strict(bu, v);
	if (is_set_by_parent(bu, v))
		put_under_leader(bu, v);
	return 0;
}

static int place_root(struct builder *bu)
{
	const struct birth_node *root = &bu->birth->nodes[0];
	uint32_t group = root->birth_group, pair;

	if (group == BIRTH_OPEN)
		group = root->group;
	if (bu->birth->groups[group].number)
		group = BIRTH_NONE;
	if (outside_pair(bu, root->birth, group, &pair) < 0)
		return err_oom(bu->ctx);
	bu->place[0].group = group;
	bu->place[0].born = true;
	bu->place[0].under_leader = builder_group_is_set(bu, 0);
	bu->plan->root_under_leader = bu->place[0].under_leader;
	return 0;
}

int placement_find(struct builder *bu)
{
	const struct birth *b = bu->birth;
	int r = place_root(bu);

	mark_needed(bu);
	mark_set(bu);
	for (size_t i = 1; i < b->n_nodes && r == 0; i++)
		r = place(bu, b->order[i]);
	return r;
}
