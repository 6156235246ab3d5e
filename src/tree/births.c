/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The births, in an order that works. Breadth first: each process forks those who need its first
 * session (and group), starts its own session or group, takes its terminal, forks the others.
 *
 * Some births have to wait: for the init of a namespace, or for a group that the child must be born
 * into. If that keeps a process from starting its session or group, and nothing else can be done, it
 * leaves a *carrier* behind: a scaffold in its first session and group, that forks the late one as
 * its sibling when the time has come. That always helps (birth.h).
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "tree/builder.h"

enum { NAME = 40 };

struct births {
	struct builder *bu;
	size_t done;	  /* of builder.order: who has forked all who need not wait */
	uint32_t *parked; /* processes whose birth has to wait */
	size_t n_parked;
};

/* ---- one birth */

static const char *session_name(const struct builder *bu, uint32_t session, char buf[NAME])
{
	if (birth_is_outside(session))
		(void)snprintf(buf, NAME, "the session outside");
	else
		(void)snprintf(buf, NAME, "session %d", builder_number(bu, session));
	return buf;
}

static const char *process_name(const struct builder *bu, uint32_t process, char buf[NAME])
{
	if (process < bu->plan->n_processes)
		(void)snprintf(buf, NAME, "%d", builder_number(bu, process));
	else
		(void)snprintf(buf, NAME, "the outside");
	return buf;
}

static void say_scaffold(const struct builder *bu, uint32_t v, const char *born, char *buf,
			 size_t size)
{
	const struct placement *p = &bu->place[v];
	char heir[NAME];

	if (p->joins != BIRTH_NONE && bu->birth->groups[p->joins].number)
		(void)snprintf(buf, size, "scaffold in %s: somebody is to be born in group %d",
			       born, bu->birth->groups[p->joins].number);
	else if (p->heir != PLAN_NONE)
		(void)snprintf(buf, size, "scaffold in %s: its exit hands its children to %s", born,
			       process_name(bu, p->heir, heir));
	else if (v < bu->birth->n_nodes)
		(void)snprintf(buf, size, "scaffold: shared tables come down from it");
	else
		(void)snprintf(buf, size, "scaffold in %s: forks a later sibling", born);
}

/* Why @v is cloned like this. */
static void say_clone(const struct builder *bu, uint32_t v, char *buf, size_t size)
{
	const struct placement *p = &bu->place[v];
	char born[NAME], under[NAME], heir[NAME];
	const char *how = p->sibling ? ", by CLONE_PARENT" : "";

	session_name(bu, p->birth, born);
	process_name(bu, p->born_under, under);
	if (bu->plan->processes[v].role == PLAN_ROLE_LEADER)
		(void)snprintf(buf, size, "in %s: to lead session %d, whose leader is dead", born,
			       builder_number(bu, v));
	else if (bu->plan->processes[v].role == PLAN_ROLE_SCAFFOLD)
		say_scaffold(bu, v, born, buf, size);
	else if (p->born_under != PLAN_NONE && bu->place[p->born_under].heir != PLAN_NONE)
		(void)snprintf(buf, size, "in %s%s; goes to %s when %s exits", born, how,
			       process_name(bu, bu->place[p->born_under].heir, heir), under);
	else if (p->sibling)
		(void)snprintf(buf, size, "in %s, yet a child of %s: by CLONE_PARENT", born, under);
	else
		(void)snprintf(buf, size, "in %s, a child of %s", born, under);
}

static uint64_t clone_flags(const struct builder *bu, uint32_t v)
{
	const struct placement *p = &bu->place[v];
	uint64_t flags = p->sibling ? CLONE_PARENT : 0;

	if (p->forker == PLAN_NONE)
		return p->under_leader ? 0 : CLONE_PARENT;
	for (int t = 0; t < TREE_TABLES; t++)
		if (p->table[t] && p->table[t] == bu->place[p->forker].table[t])
			flags |= tree_table_flag[t];
	return flags;
}

/* The session and group that a process from outside is born into. */
static int pair_of(struct builder *bu, uint32_t v, uint32_t *ret_pair)
{
	struct placement *p = &bu->place[v];

	if (outside_pair(bu, p->birth, p->group, ret_pair) < 0)
		return -ENOMEM;
	p->group = bu->outside_group[*ret_pair];
	p->leader = *ret_pair;
	return 0;
}

static bool is_init(const struct builder *bu, uint32_t v)
{
	return bu->ns_init[bu->place[v].ns] == v;
}

static void inherit(struct builder *bu, uint32_t v)
{
	const struct placement *forker = &bu->place[bu->place[v].forker];

	bu->place[v].group = forker->group;
	bu->place[v].leader = forker->leader; /* matters to siblings */
}

int births_clone(struct builder *bu, uint32_t v)
{
	struct plan_step *step;
	bool prepared = false;
	uint32_t pair = 0;
	char why[160];
	int r = 0;

	if (bu->place[v].forker == PLAN_NONE)
		r = pair_of(bu, v, &pair);
	else
		inherit(bu, v);
	if (r == 0 && is_init(bu, v))
		r = namespaces_prepare(bu, v, &prepared);
	if (r < 0)
		return r;
	say_clone(bu, v, why, sizeof(why));
	step = builder_step(bu, PLAN_CLONE, bu->place[v].forker, "%s", why);
	if (!step)
		return -ENOMEM;
	step->child = v;
	step->outside = pair;
	step->pid_ns = bu->place[v].ns;
	step->new_pid_ns = is_init(bu, v) && !prepared;
	step->flags = clone_flags(bu, v);
	step->exit_signal = bu->place[v].exit_signal;
	bu->place[v].born = true;
	return prepared ? namespaces_prepared(bu, v) : 0;
}

int births_helper(struct builder *bu, uint32_t forker, uint32_t ns, const int32_t *numbers,
		  enum plan_role role, uint32_t session, const char *why, uint32_t *ret_helper)
{
	struct placement *p;
	struct plan_step *step;
	uint32_t pair = 0;

	if (builder_process(bu, role, ns, numbers, ret_helper) < 0)
		return -ENOMEM;
	p = &bu->place[*ret_helper];
	p->forker = p->born_under = forker;
	p->birth = p->session = forker == PLAN_NONE ? session : bu->place[forker].session;
	p->born = true;
	if (forker != PLAN_NONE)
		inherit(bu, *ret_helper);
	else if (pair_of(bu, *ret_helper, &pair) < 0)
		return -ENOMEM;
	step = builder_step(bu, PLAN_CLONE, forker, "%s", why);
	if (!step)
		return -ENOMEM;
	step->outside = pair;
	step->flags = clone_flags(bu, *ret_helper);
	step->child = *ret_helper;
	step->pid_ns = ns;
	step->exit_signal = p->exit_signal;
	return 0;
}

int births_dismiss(struct builder *bu, uint32_t process, const char *why)
{
	struct plan_step *step;

	if (!builder_step(bu, PLAN_EXIT, process, "%s", why))
		return -ENOMEM;
	step = builder_step(bu, PLAN_WAIT, bu->place[process].born_under, "%d is not of the tree",
			    builder_number(bu, process));
	if (!step)
		return -ENOMEM;
	step->child = process;
	return 0;
}

/* ---- what a process does besides */

static bool is_leader(const struct builder *bu, uint32_t process)
{
	return bu->place[process].session == process;
}

/* Does it have to do something that its children before must not share? */
static bool changes(const struct builder *bu, uint32_t process)
{
	uint32_t founds = bu->place[process].founds;

	return is_leader(bu, process) || bu->place[process].moves ||
	       (founds != BIRTH_NONE && bu->groups[founds].early);
}

static int start_session(struct builder *bu, uint32_t process)
{
	uint32_t tty = builder_in_tree(bu, process) ? bu->tree->processes[process].tty : 0;
	struct plan_step *step;

	if (!builder_step(bu, PLAN_SETSID, process, "leads session %d",
			  builder_number(bu, process)))
		return -ENOMEM;
	bu->place[process].group = bu->birth->nodes[process].group;
	bu->groups[bu->place[process].group].founded = true;
	if (!tty)
		return 0;
	step = builder_step(bu, PLAN_TTY_OPEN, process, "controlling terminal of session %d",
			    builder_number(bu, process));
	if (!step)
		return -ENOMEM;
	step->tty = tty;
	return bu->birth->nodes[process].lost ? foreground_lose(bu, process) : 0;
}

static int change(struct builder *bu, uint32_t process)
{
	bu->place[process].changed = true;
	if (is_leader(bu, process))
		return start_session(bu, process);
	if (bu->place[process].founds == BIRTH_NONE)
		return 0; /* it was moved, no more */
	return groups_ensure(bu, bu->place[process].founds, process);
}

/* ---- the order */

static bool ns_is_born(const struct builder *bu, uint32_t ns)
{
	uint32_t init;

	if (ns == TREE_NONE)
		return true;
	init = bu->ns_init[ns];
	return init == PLAN_NONE || bu->place[init].born;
}

static bool is_strict(const struct builder *bu, uint32_t v)
{
	const struct placement *p = &bu->place[v];

	return p->forker != PLAN_NONE && !p->late && (p->strict || is_leader(bu, p->forker));
}

/* Those who must be born before @process does anything, but those it is moved for. */
static bool has_waiting(const struct builder *bu, uint32_t process, bool moved)
{
	for (uint32_t v = bu->place[process].children[0]; v != PLAN_NONE;
	     v = bu->place[v].next_child)
		if (!bu->place[v].born && is_strict(bu, v) && bu->place[v].forker == process &&
		    (moved || !bu->place[v].moved))
			return true;
	return false;
}

static bool is_ready(const struct builder *bu, uint32_t v)
{
	const struct placement *p = &bu->place[v];
	const struct builder_group *group;

	if (p->forker != PLAN_NONE && !bu->place[p->forker].born)
		return false;
	if (foreground_needs(bu, builder_number(bu, v)))
		return false;
	if (!is_init(bu, v) && !ns_is_born(bu, p->ns))
		return false;
	if (p->joins == BIRTH_NONE)
		return true;
	if (p->moved && has_waiting(bu, p->forker, false))
		return false;
	group = &bu->groups[p->joins];
	if (group->founder != PLAN_NONE)
		return group->founded;
	if (foreground_needs(bu, bu->birth->groups[p->joins].number))
		return false;
	return ns_is_born(bu, bu->birth->groups[p->joins].ns);
}

static int be_born(struct births *bs, uint32_t v)
{
	struct builder *bu = bs->bu;
	uint32_t *slot;

	if (bu->place[v].moved && groups_move(bu, bu->place[v].forker, bu->place[v].joins) < 0)
		return -ENOMEM;
	if (births_clone(bu, v) < 0)
		return -ENOMEM;
	slot = arena_append(bu->birth->arena, &bu->order, &bu->n_order, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = v;
	if (bu->place[v].joins == BIRTH_NONE || bu->place[v].moved)
		return 0;
	if (groups_ensure(bu, bu->place[v].joins, v) < 0)
		return -ENOMEM;
	return groups_join(bu, v, bu->place[v].joins, "so that its child is born in group %d");
}

static int park(struct births *bs, uint32_t v)
{
	uint32_t *slot;

	slot = arena_append(bs->bu->birth->arena, &bs->parked, &bs->n_parked, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = v;
	return 0;
}

static int fork_list(struct births *bs, const struct placement *forker, int late)
{
	for (uint32_t v = forker->children[late]; v != PLAN_NONE; v = bs->bu->place[v].next_child) {
		if (bs->bu->place[v].born)
			continue;
		if ((is_ready(bs->bu, v) ? be_born(bs, v) : park(bs, v)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Starts the session or group of @process if nobody has to be born before, and forks the others. */
static int go_on(struct births *bs, uint32_t process)
{
	struct builder *bu = bs->bu;
	struct placement copy;

	if (bu->place[process].changed || !changes(bu, process) || has_waiting(bu, process, true))
		return 0;
	if (change(bu, process) < 0)
		return -ENOMEM;
	copy = bu->place[process];
	return fork_list(bs, &copy, 1);
}

static int grow_queue(struct births *bs)
{
	struct builder *bu = bs->bu;

	while (bs->done < bu->n_order) {
		uint32_t process = bu->order[bs->done++];
		struct placement copy = bu->place[process];

		if (fork_list(bs, &copy, 0) < 0 || go_on(bs, process) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Those whose time has come. */
static int unpark(struct births *bs, bool *ret_progress)
{
	struct builder *bu = bs->bu;
	size_t kept = 0, n = bs->n_parked;

	*ret_progress = false;
	for (size_t i = 0; i < n; i++) {
		uint32_t v = bs->parked[i], forker = bu->place[v].forker;

		if (!is_ready(bu, v)) {
			bs->parked[kept++] = v;
			continue;
		}
		*ret_progress = true;
		if (be_born(bs, v) < 0 || (forker != PLAN_NONE && go_on(bs, forker) < 0))
			return -ENOMEM;
	}
	/* what go_on() has parked */
	for (size_t i = n; i < bs->n_parked; i++)
		bs->parked[kept++] = bs->parked[i];
	bs->n_parked = kept;
	return grow_queue(bs);
}

/* Somebody forks @v later, out of what its forker is now. */
static int leave_carrier(struct births *bs, uint32_t v)
{
	struct builder *bu = bs->bu;
	uint32_t carrier = PLAN_NONE, forker = bu->place[v].forker;
	struct placement *pc, *pv;

	if (builder_process(bu, PLAN_ROLE_SCAFFOLD, bu->place[forker].ns, NULL, &carrier) < 0)
		return -ENOMEM;
	pv = &bu->place[v];
	pc = &bu->place[carrier];
	pc->forker = forker;
	pc->born_under = pv->born_under;
	pc->sibling = pv->sibling;
	pc->session = pc->birth = pv->birth;
	pc->exit_signal = pv->exit_signal;
	for (int t = 0; t < TREE_TABLES; t++)
		if (pv->table[t] && pv->table[t] == bu->place[forker].table[t])
			pc->table[t] = pv->table[t];
	pv->forker = carrier;
	pv->sibling = true;
	return be_born(bs, carrier);
}

/* All wait for one another: the first who cannot start its session for that goes on. */
static int leave_carriers(struct births *bs)
{
	struct builder *bu = bs->bu;
	uint32_t who = PLAN_NONE;

	for (size_t i = 0; i < bs->n_parked; i++) {
		uint32_t v = bs->parked[i], forker = bu->place[v].forker;

		if (!is_strict(bu, v) || bu->place[v].moved || !changes(bu, forker) ||
		    bu->place[forker].changed || (who != PLAN_NONE && who != forker))
			continue;
		who = forker;
		if (leave_carrier(bs, v) < 0)
			return -ENOMEM;
	}
	if (who == PLAN_NONE)
		return -ENOTRECOVERABLE;
	if (go_on(bs, who) < 0)
		return -ENOMEM;
	return grow_queue(bs);
}

int births_plan(struct builder *bu)
{
	struct births bs = {.bu = bu};
	uint32_t *slot;
	bool progress;
	int r;

	slot = arena_append(bu->birth->arena, &bu->order, &bu->n_order, sizeof(*slot));
	if (!slot)
		return err_oom(bu->ctx);
	*slot = 0;
	r = bu->birth->nodes[0].lost && !is_leader(bu, 0) ? foreground_lose(bu, 0) : 0;
	if (r == 0)
		r = grow_queue(&bs);
	if (r == 0)
		r = fork_list(&bs, &bu->outside, 0);
	if (r == 0)
		r = grow_queue(&bs);
	while (r == 0 && bs.n_parked) {
		r = unpark(&bs, &progress);
		if (r == 0 && !progress)
			r = leave_carriers(&bs);
	}
	if (r == -ENOTRECOVERABLE && bu->birth->n_lost)
		return err_msg(
			bu->ctx, -EDOM,
			"the terminal of process %d has a foreground group whose number is that "
			"of one who must have been there before",
			TREE_PID(bu->tree, bu->birth->lost[0]));
	if (r == -ENOTRECOVERABLE)
		return err_msg(bu->ctx, r, "births wait for one another: a bug of the planner");
	return r < 0 ? err_oom(bu->ctx) : 0;
}
