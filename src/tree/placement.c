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
 */
#include <errno.h>
#include <signal.h>

#include "tree/builder.h"

static bool in_tree(const struct builder *bu, uint32_t process)
{
	return process < bu->tree->n_processes;
}

static uint32_t final_parent(const struct builder *bu, uint32_t process)
{
	return bu->birth->nodes[process].parent;
}

/* Marks the children through which somebody further down has their forker as final parent. */
static void mark_needed(struct builder *bu)
{
	for (uint32_t y = 1; y < bu->tree->n_processes; y++) {
		uint32_t parent = final_parent(bu, y), v = bu->place[y].forker;

		if (v == parent)
			continue;
		while (bu->place[v].forker != parent)
			v = bu->place[v].forker;
		bu->place[v].needed = true;
	}
}

/* Will a child born under @under end with @parent as its parent? Makes it so where that is open. */
static bool leads_to(struct builder *bu, uint32_t under, uint32_t parent)
{
	if (in_tree(bu, under))
		return under == parent;
	if (bu->place[under].heir == PLAN_NONE)
		bu->place[under].heir = parent;
	return bu->place[under].heir == parent;
}

static bool can_be_sibling(struct builder *bu, uint32_t v, uint32_t parent)
{
	const struct placement *forker = &bu->place[bu->place[v].forker];

	if (bu->place[v].forker == 0 || bu->place[v].needed ||
	    forker->exit_signal != bu->place[v].exit_signal)
		return false;
	/* another signal survives no adoption */
	if (bu->place[v].exit_signal != SIGCHLD)
		return forker->born_under == parent;
	return leads_to(bu, forker->born_under, parent);
}

static void link_child(struct builder *bu, uint32_t forker, uint32_t child)
{
	struct placement *f = &bu->place[forker];
	bool late = bu->place[child].late;

	if (f->last_child[late] == PLAN_NONE)
		f->children[late] = child;
	else
		bu->place[f->last_child[late]].next_child = child;
	f->last_child[late] = child;
}

static int new_scaffold(struct builder *bu, uint32_t forker, uint32_t heir, bool late,
			uint32_t session, uint32_t *ret_scaffold)
{
	struct placement *place;

	if (builder_process(bu, PLAN_ROLE_SCAFFOLD, 0, ret_scaffold) < 0)
		return -ENOMEM;
	place = &bu->place[*ret_scaffold];
	place->forker = place->born_under = forker;
	place->heir = heir;
	place->late = late;
	place->session = session;
	place->next_scaffold = bu->place[forker].scaffolds;
	bu->place[forker].scaffolds = *ret_scaffold;
	link_child(bu, forker, *ret_scaffold);
	return 0;
}

/* Puts @v under a scaffold that its forker forks; one serves for all with the same heir. */
static int place_under_scaffold(struct builder *bu, uint32_t v, uint32_t heir)
{
	uint32_t forker = bu->place[v].forker;
	uint32_t c = bu->place[forker].scaffolds;

	while (c != PLAN_NONE &&
	       (bu->place[c].heir != heir || bu->place[c].late != bu->place[v].late))
		c = bu->place[c].next_scaffold;
	if (c == PLAN_NONE &&
	    new_scaffold(bu, forker, heir, bu->place[v].late, bu->birth->nodes[v].birth, &c) < 0)
		return -ENOMEM;
	for (int t = 0; t < TREE_TABLES; t++)
		if (bu->place[v].table[t] && bu->place[v].table[t] == bu->place[forker].table[t])
			bu->place[c].table[t] = bu->place[v].table[t];
	bu->place[v].forker = bu->place[v].born_under = c;
	bu->place[v].late = false;
	return 0;
}

static int place(struct builder *bu, uint32_t v)
{
	struct placement *pv = &bu->place[v];
	uint32_t forker = pv->forker, parent = final_parent(bu, v);
	const struct birth_node *node = &bu->birth->nodes[v];

	if (parent == BIRTH_NONE)
		parent = node->direct == BIRTH_NONE ? forker : node->direct;
	/* its own session and the one it came from are all that a forker has to give */
	pv->late = node->birth == forker;
	pv->born_under = forker;
	if (parent != forker) {
		if (can_be_sibling(bu, v, parent)) {
			pv->sibling = true;
			pv->born_under = bu->place[forker].born_under;
		} else if (pv->exit_signal != SIGCHLD) {
			return err_msg(
				bu->ctx, -EDOM,
				"process %d was born as a child of %d, as its exit signal %d "
				"tells, but then %d cannot be the parent of those below it",
				node->number, builder_number(bu, parent), pv->exit_signal,
				builder_number(bu, forker));
		} else if (in_tree(bu, forker) || !leads_to(bu, forker, parent)) {
			if (place_under_scaffold(bu, v, parent) < 0)
				return err_oom(bu->ctx);
		}
	}
	link_child(bu, bu->place[v].forker, v);
	return 0;
}

int placement_find(struct builder *bu)
{
	const struct birth *b = bu->birth;

	mark_needed(bu);
	for (size_t i = 1; i < b->n_nodes; i++) {
		int r = place(bu, b->order[i]);

		if (r < 0)
			return r;
	}
	return 0;
}
