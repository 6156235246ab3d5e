/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces in a plan. All processes are born in the first user namespace, and act from there with
 * all that it may do; into their own they go last. So user namespaces put no condition on who forks
 * whom. A PID namespace belongs to the user namespace of who makes it: where that is another one, a
 * helper goes there and makes the PID namespace, whose init is then forked by somebody who did not.
 */
#include <errno.h>

#include "tree/builder.h"

static struct plan_step *ns_step(struct builder *bu, enum plan_op op, uint32_t process, uint32_t ns,
				 const char *why)
{
	struct plan_step *step = builder_step(bu, op, process, "%s", why);

	if (step)
		step->pid_ns = ns;
	return step;
}

static int join_user(struct builder *bu, uint32_t process, uint32_t user_ns, const char *why)
{
	struct plan_step *step = builder_step(bu, PLAN_USER_JOIN, process, "%s", why);

	if (!step)
		return -ENOMEM;
	step->user_ns = user_ns;
	return 0;
}

int namespaces_begin(struct builder *bu)
{
	for (uint32_t i = 1; i < bu->tree->n_user_ns; i++) {
		struct plan_step *step;

		step = builder_step(bu, PLAN_USER_NEW, PLAN_NONE, "is there before who joins it");
		if (!step)
			return -ENOMEM;
		step->user_ns = i;
	}
	return 0;
}

/* A helper of @forker's, in the parent of @ns, makes that; it is to be dismissed. */
static int make_ns(struct builder *bu, uint32_t forker, uint32_t ns, uint32_t *ret_helper)
{
	uint32_t owner = bu->tree->pid_ns[ns].user_ns;

	if (births_helper(bu, forker, bu->tree->pid_ns[ns].parent, NULL, PLAN_ROLE_SCAFFOLD,
			  BIRTH_NONE, "scaffold: makes a PID namespace", ret_helper) < 0)
		return -ENOMEM;
	if (owner && join_user(bu, *ret_helper, owner, "owns the PID namespace to be made") < 0)
		return -ENOMEM;
	return ns_step(bu, PLAN_NS_NEW, *ret_helper, ns, "for an init that another process forks")
		       ? 0
		       : -ENOMEM;
}

int namespaces_prepare(struct builder *bu, uint32_t init, bool *ret_prepared)
{
	uint32_t ns = bu->place[init].ns;

	*ret_prepared = bu->tree->pid_ns[ns].user_ns != 0;
	if (!*ret_prepared)
		return 0;
	return make_ns(bu, bu->place[init].forker, ns, &bu->ns_helper);
}

int namespaces_prepared(struct builder *bu, uint32_t init)
{
	(void)init;
	return births_dismiss(bu, bu->ns_helper, "the PID namespace has its init");
}

/* ---- where children are born */

/* Somebody who lives in @ns when all have been born. */
static uint32_t resident(const struct builder *bu, uint32_t ns)
{
	return bu->ns_init[ns] == PLAN_NONE ? 0 : bu->ns_init[ns];
}

/* The init of a namespace that is to be dead. */
static int make_init(struct builder *bu, uint32_t ns, uint32_t forker)
{
	uint32_t level = bu->tree->pid_ns[ns].level;
	int32_t numbers[TREE_LEVELS] = {0};

	numbers[level] = 1;
	return births_helper(bu, forker, ns, numbers, PLAN_ROLE_SCAFFOLD, BIRTH_NONE,
			     "scaffold: init of a PID namespace that is dead in the end",
			     &bu->ns_init[ns]);
}

/* Namespaces that nobody lives in any more, or not yet. */
static int make_empty(struct builder *bu, uint32_t ns)
{
	enum tree_ns_state state = bu->tree->pid_ns[ns].state;
	uint32_t forker, helper;

	if (state != TREE_NS_DEAD && state != TREE_NS_UNBORN)
		return 0;
	forker = resident(bu, bu->tree->pid_ns[ns].parent);
	if (make_ns(bu, forker, ns, &helper) < 0)
		return -ENOMEM;
	bu->ns_helpers[ns] = helper;
	return state == TREE_NS_DEAD ? make_init(bu, ns, forker) : 0;
}

static int enter_all(struct builder *bu)
{
	for (uint32_t i = 0; i < bu->tree->n_processes; i++) {
		const struct tree_process *p = &bu->tree->processes[i];

		if (p->children_ns != p->pid_ns &&
		    !ns_step(bu, PLAN_NS_ENTER, i, p->children_ns, "its next child is born there"))
			return -ENOMEM;
	}
	return 0;
}

static int dismiss_empty(struct builder *bu, uint32_t ns)
{
	enum tree_ns_state state = bu->tree->pid_ns[ns].state;

	if (state == TREE_NS_DEAD &&
	    births_dismiss(bu, bu->ns_init[ns], "its PID namespace is dead in the end") < 0)
		return -ENOMEM;
	if (state != TREE_NS_DEAD && state != TREE_NS_UNBORN)
		return 0;
	return births_dismiss(bu, bu->ns_helpers[ns], "its PID namespace is held by others now");
}

static int join_users(struct builder *bu)
{
	for (uint32_t i = 0; i < bu->tree->n_processes; i++)
		if (bu->tree->processes[i].user_ns && !bu->place[i].joined &&
		    join_user(bu, i, bu->tree->processes[i].user_ns, "is in it in the end") < 0)
			return -ENOMEM;
	return 0;
}

int namespaces_end(struct builder *bu)
{
	size_t n = bu->tree->n_pid_ns;

	bu->ns_helpers = arena_new_n(bu->birth->arena, uint32_t, n);
	if (!bu->ns_helpers)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		if (make_empty(bu, i) < 0)
			return -ENOMEM;
	if (enter_all(bu) < 0)
		return -ENOMEM;
	for (uint32_t i = (uint32_t)n; i-- > 0;)
		if (dismiss_empty(bu, i) < 0)
			return -ENOMEM;
	return join_users(bu);
}
