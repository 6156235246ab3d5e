/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that every state of the kernel keeps: what nested namespaces add. */
#include <errno.h>

#include "tree/state.h"

uint32_t tree_leader_ns(const struct tree *tree, uint32_t ns, const int32_t *numbers)
{
	while (ns != TREE_NONE && !numbers[tree->pid_ns[ns].level])
		ns = tree->pid_ns[ns].parent;
	return ns;
}

static uint32_t level_of(const struct tree *tree, const struct tree_process *p)
{
	return tree->pid_ns[p->pid_ns].level;
}

static bool is_init(const struct tree *tree, const struct tree_process *p)
{
	return p->pid[level_of(tree, p)] == 1 && (p->pid_ns || tree->container);
}

/* ---- namespaces */

/* What is found of a namespace while its processes are counted. */
struct census {
	const struct tree_process *init;
	const struct tree_process *other;
	bool held; /* some children would be born there */
};

static int check_init(struct context *ctx, const struct tree *tree, uint32_t i,
		      const struct census *c)
{
	const struct tree_pid_ns *ns = &tree->pid_ns[i];
	bool empty = ns->state == TREE_NS_DEAD || ns->state == TREE_NS_UNBORN;

	if (empty && (c->init || c->other))
		return err_msg(ctx, -EDOM, "PID namespace %u has no init but process %d", i,
			       (c->init ? c->init : c->other)->pid[0]);
	if (empty && !c->held)
		return err_msg(ctx, -EDOM, "PID namespace %u is empty and nobody's", i);
	if (empty || (i == 0 && !tree->container))
		return 0;
	if (!c->init)
		return err_msg(ctx, -EDOM, "PID namespace %u has no init", i);
	if (c->init->zombie != (ns->state == TREE_NS_ZOMBIE))
		return err_msg(ctx, -EDOM,
			       "PID namespace %u: whether it lives, its init %d says otherwise", i,
			       c->init->pid[0]);
	if (c->init->zombie && c->other)
		return err_msg(ctx, -EDOM,
			       "process %d is in a PID namespace whose init %d is a zombie, which "
			       "takes all with it",
			       c->other->pid[0], c->init->pid[0]);
	return 0;
}

/*
 * alloc_pid() looks whether the innermost namespace is dead, no further: one that was made while the one
 * above lived can get an init when that is dead. But free_pid() wakes the init of the one above when
 * few of its numbers are left in use, and that is freed by then. We do not lead a kernel there.
 */
static int dead_above(struct context *ctx, uint32_t i)
{
	return err_msg(
		ctx, -EOPNOTSUPP,
		"PID namespace %u lives, or has an init that is a zombie, and the one above is "
		"dead: to make that again would have the kernel use a process that is freed",
		i);
}

/* Owners are nested as the namespaces are: create_pid_namespace(). */
static int check_nesting(struct context *ctx, const struct tree *tree, uint32_t i)
{
	const struct tree_pid_ns *ns = &tree->pid_ns[i], *parent;
	uint32_t user = ns->user_ns;

	if (i == 0)
		return 0;
	parent = &tree->pid_ns[ns->parent];
	while (user != TREE_NONE && user != parent->user_ns)
		user = tree->user_ns[user].parent;
	if (user == TREE_NONE)
		return err_msg(
			ctx, -EDOM,
			"the owner of PID namespace %u is not below that of the PID namespace "
			"above",
			i);
	if (parent->state == TREE_NS_LIVES ||
	    (parent->state != TREE_NS_UNBORN &&
	     (ns->state == TREE_NS_DEAD || ns->state == TREE_NS_UNBORN)))
		return 0;
	if (parent->state != TREE_NS_UNBORN)
		return dead_above(ctx, i);
	return err_msg(ctx, -EDOM, "PID namespace %u is below one that has no init", i);
}

static int check_process(struct context *ctx, const struct tree *tree, const struct tree_process *p)
{
	const struct tree_process *parent =
		p->parent == TREE_NONE ? NULL : &tree->processes[p->parent];

	if (parent && (!tree_ns_is_in(tree, p->pid_ns, parent->pid_ns) ||
		       (is_init(tree, p) && parent->pid_ns == p->pid_ns)))
		return err_msg(
			ctx, -EDOM,
			"process %d is in PID namespace %u and its parent %d in %u, which is "
			"not above",
			p->pid[0], p->pid_ns, parent->pid[0], parent->pid_ns);
	if (!tree_ns_is_in(tree, p->children_ns, p->pid_ns))
		return err_msg(ctx, -EDOM,
			       "children of process %d would be born in PID namespace %u, which is "
			       "not below its own",
			       p->pid[0], p->children_ns);
	if (p->zombie && p->children_ns != p->pid_ns)
		return err_msg(ctx, -EDOM, "process %d is a zombie, and those have no children",
			       p->pid[0]);
	if (p->zombie && is_init(tree, p) && tree->pid_ns[p->pid_ns].state == TREE_NS_LIVES)
		return err_msg(ctx, -EDOM,
			       "process %d is the init of a living PID namespace, and "
			       "a zombie",
			       p->pid[0]);
	return 0;
}

/*
 * zap_pid_ns_processes() waits until all numbers of the namespace but init's are free: forever, where
 * init is in the group of one that lived there.
 */
static int check_dead_group(struct context *ctx, const struct tree *tree,
			    const struct tree_process *p)
{
	uint32_t level = level_of(tree, p);

	if (!p->zombie || !is_init(tree, p) || !p->pgid[level] || p->pgid[level] == 1)
		return 0;
	return err_msg(ctx, -EDOM,
		       "process %d is an init and a zombie, but in a group led from within its PID "
		       "namespace, so that it cannot have died",
		       p->pid[0]);
}

int state_check_namespaces(struct context *ctx, const struct tree *tree)
{
	struct census *census;
	struct arena scratch;
	int r = 0;

	arena_init(&scratch, ctx);
	census = arena_new_n(&scratch, struct census, tree->n_pid_ns);
	if (!census)
		r = err_oom(ctx);
	for (size_t i = 0; i < tree->n_processes && r == 0; i++) {
		const struct tree_process *p = &tree->processes[i];

		if (is_init(tree, p))
			census[p->pid_ns].init = p;
		else
			census[p->pid_ns].other = p;
		/* a namespace lives on in those below it */
		for (uint32_t ns = p->children_ns; ns != p->pid_ns && ns != TREE_NONE;
		     ns = tree->pid_ns[ns].parent)
			census[ns].held = true;
		r = check_process(ctx, tree, p);
		if (r == 0)
			r = check_dead_group(ctx, tree, p);
	}
	for (uint32_t i = 0; i < tree->n_pid_ns && r == 0; i++)
		r = check_nesting(ctx, tree, i);
	for (uint32_t i = 0; i < tree->n_pid_ns && r == 0; i++)
		r = check_init(ctx, tree, i, &census[i]);
	arena_deinit(&scratch);
	return r;
}

/* ---- leaders */

static int no_such_leader(struct context *ctx, const struct tree_process *p, const char *what,
			  int32_t number)
{
	return err_msg(ctx, -EDOM, "%s %d of process %d: its numbers are not those of one leader",
		       what, number, p->pid[0]);
}

/* A leader is visible down to where it lives, and on no level below. */
int state_check_numbers(struct context *ctx, const struct tree_index *index,
			const struct tree_process *p, const char *what, const int32_t *numbers)
{
	const struct tree *tree = index->tree;
	uint32_t n = level_of(tree, p) + 1, leader = tree_find(index, numbers[0]), ns = p->pid_ns;
	bool visible = false;

	for (uint32_t level = n; level-- > 0; ns = tree->pid_ns[ns].parent) {
		if (numbers[level] == 0 && visible)
			return no_such_leader(ctx, p, what, numbers[0]);
		visible = visible || numbers[level] != 0;
		if (leader == IDMAP_NONE)
			continue;
		if ((numbers[level] != 0) !=
			    tree_ns_is_in(tree, tree->processes[leader].pid_ns, ns) ||
		    (numbers[level] && numbers[level] != tree->processes[leader].pid[level]))
			return no_such_leader(ctx, p, what, numbers[0]);
	}
	return 0;
}

/* Numbers of dead leaders, by namespace: the outermost of the leader that has each. */
struct leaders {
	struct context *ctx;
	const struct tree_index *index;
	struct idmap number;	 /* (namespace, number) to outermost number */
	struct idmap inner;	 /* the reverse: (namespace, outermost number) to number */
	struct idmap session_ns; /* outermost number to the namespace of the leader */
};

static int note_number(struct leaders *ls, const struct tree_process *p, const char *what,
		       uint32_t ns, int32_t number, int32_t outermost)
{
	uint32_t owner = idmap_get(&ls->number, ns, number);
	uint32_t other = idmap_get(&ls->inner, ns, outermost);

	if ((owner != IDMAP_NONE && owner != (uint32_t)outermost) ||
	    (other != IDMAP_NONE && other != (uint32_t)number))
		return no_such_leader(ls->ctx, p, what, outermost);
	if (idmap_set(&ls->number, ns, number, (uint32_t)outermost) < 0 ||
	    idmap_set(&ls->inner, ns, outermost, (uint32_t)number) < 0)
		return err_oom(ls->ctx);
	return 0;
}

/* @numbers as seen by @p; on every level, of each leader or process one number. */
static int note_numbers(struct leaders *ls, const struct tree_process *p, const char *what,
			const int32_t *numbers)
{
	const struct tree *tree = ls->index->tree;
	uint32_t ns = p->pid_ns;
	int r = 0;

	for (uint32_t level = level_of(tree, p) + 1; level-- > 0 && r == 0;
	     ns = tree->pid_ns[ns].parent)
		if (numbers[level])
			r = note_number(ls, p, what, ns, numbers[level], numbers[0]);
	return r;
}

/* Groups are founded by members of the session, which live no higher than its leader. */
static int check_group_ns(struct context *ctx, const struct tree_index *index,
			  const struct tree_process *p)
{
	const struct tree *tree = index->tree;
	uint32_t session = tree_leader_ns(tree, p->pid_ns, p->sid);
	uint32_t leader = tree_find(index, p->pgid[0]);
	uint32_t group = tree_leader_ns(tree, p->pid_ns, p->pgid);

	if (leader != IDMAP_NONE)
		group = tree->processes[leader].pid_ns;
	if (p->sid[0] == 0 || tree_ns_is_in(tree, group, session))
		return 0;
	return err_msg(ctx, -EDOM,
		       "group %d of process %d was founded in a PID namespace above that of the "
		       "leader of session %d",
		       p->pgid[0], p->pid[0], p->sid[0]);
}

/* Does another process live in the innermost namespace of a dead leader as its init? */
static int check_dead_init(struct leaders *ls, const struct tree_process *p, const char *what,
			   const int32_t *numbers)
{
	const struct tree *tree = ls->index->tree;
	uint32_t ns = tree_leader_ns(tree, p->pid_ns, numbers);

	if (ns == TREE_NONE || (ns == 0 && !tree->container) ||
	    numbers[tree->pid_ns[ns].level] != 1 || tree_find(ls->index, numbers[0]) != IDMAP_NONE)
		return 0;
	return err_msg(ls->ctx, -EDOM, "%s %d of process %d was led by an init, which is missing",
		       what, numbers[0], p->pid[0]);
}

/* What one member sees of a leader, all in that namespace see. */
static int check_view(struct leaders *ls, const struct tree_process *p, const char *what,
		      const int32_t *numbers)
{
	const struct tree *tree = ls->index->tree;
	uint32_t ns = p->pid_ns;

	for (uint32_t level = level_of(tree, p) + 1; level-- > 0; ns = tree->pid_ns[ns].parent)
		if (!numbers[level] && idmap_get(&ls->inner, ns, numbers[0]) != IDMAP_NONE)
			return no_such_leader(ls->ctx, p, what, numbers[0]);
	return 0;
}

/* Members of a session live no higher than its leader, so that all of them see where it is. */
static int check_session_ns(struct leaders *ls, const struct tree_process *p)
{
	uint32_t ns = tree_leader_ns(ls->index->tree, p->pid_ns, p->sid);
	uint32_t other = idmap_get(&ls->session_ns, 0, p->sid[0]);

	if (p->sid[0] == 0 || other == ns)
		return 0;
	if (other != IDMAP_NONE)
		return no_such_leader(ls->ctx, p, "session", p->sid[0]);
	return idmap_set(&ls->session_ns, 0, p->sid[0], ns) < 0 ? err_oom(ls->ctx) : 0;
}

static int check_member(struct leaders *ls, const struct tree_process *p)
{
	int r;

	if ((r = check_view(ls, p, "session", p->sid)) < 0 ||
	    (r = check_view(ls, p, "group", p->pgid)) < 0 || (r = check_session_ns(ls, p)) < 0 ||
	    (r = check_dead_init(ls, p, "session", p->sid)) < 0 ||
	    (r = check_dead_init(ls, p, "group", p->pgid)) < 0)
		return r;
	return check_group_ns(ls->ctx, ls->index, p);
}

int state_check_leaders(struct context *ctx, const struct tree_index *index, struct arena *scratch)
{
	struct leaders ls = {.ctx = ctx,
			     .index = index,
			     .number = {.arena = scratch},
			     .inner = {.arena = scratch},
			     .session_ns = {.arena = scratch}};
	const struct tree *tree = index->tree;
	int r = 0;

	for (size_t i = 0; i < tree->n_processes && r == 0; i++) {
		const struct tree_process *p = &tree->processes[i];

		if ((r = note_numbers(&ls, p, "process", p->pid)) == 0 &&
		    (r = note_numbers(&ls, p, "session", p->sid)) == 0)
			r = note_numbers(&ls, p, "group", p->pgid);
	}
	for (size_t i = 0; i < tree->n_processes && r == 0; i++)
		r = check_member(&ls, &tree->processes[i]);
	return r;
}
