/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Births: the clone steps of a plan.
 *
 * Clones by one process that stand together go into one table. Scaffolds are cloned one by one:
 * their number is only a proposal, and another is tried if somebody outside the tree has it. That
 * can be the case in the coordinator's own PID namespace alone; all below are ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint/grow-steps.h"
#include "task/memory.h"
#include "tree/tree.h"
#include "util/macro.h"

enum { CLONE_BATCH = 128, SCAFFOLD_TRIES = 1000 };

static struct grown_process *process_of(struct grown *g, uint32_t index)
{
	return &g->processes[index];
}

/* From outside: the leader of a session there. */
static struct puppet *forker_of(struct grown *g, const struct plan_step *step)
{
	return step->process == PLAN_NONE ? g->leaders[step->outside]
					  : process_of(g, step->process)->puppet;
}

static struct puppet_clone clone_of(const struct plan_step *step, const pid_t *set_tid, size_t n)
{
	return (struct puppet_clone){
		.flags = step->flags | (step->new_pid_ns ? CLONE_NEWPID : 0),
		/* A sibling gets its forker's; the kernel wants 0 then. */
		.exit_signal = step->flags & CLONE_PARENT ? 0 : step->exit_signal,
		.set_tid = set_tid,
		.n_set_tid = n,
	};
}

/* The image and the plan have the outermost number first, clone3 wants the innermost. */
static void reverse_numbers(const struct grown_process *p, pid_t *ret_set_tid)
{
	for (unsigned int i = 0; i < p->plan->n_pid; i++)
		ret_set_tid[i] = p->plan->pid[p->plan->n_pid - 1 - i];
}

/* ---- what was born ------------------------------------------------------------------------- */

static bool is_init(const struct grown_process *p)
{
	return p->plan->pid[p->plan->n_pid - 1] == 1;
}

/* Whoever is to enter the namespace does it by this descriptor. */
static int keep_pid_ns(struct grown *g, const struct grown_process *init)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", init->here);
	if (g->pid_ns[init->plan->pid_ns] >= 0)
		return 0; /* it was entered to be born */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(g->ctx, -errno, "open(%s)", path);
	g->pid_ns[init->plan->pid_ns] = fd;
	return 0;
}

int grow_born(struct grown *g, uint32_t process, struct puppet *puppet)
{
	struct grown_process *p = process_of(g, process);
	int r = grown_add_task(g, puppet);

	if (r < 0)
		return r;
	p->puppet = puppet;
	p->here = puppet->tid;
	p->number = g->container ? p->plan->pid[0] : p->here;
	if (p->rebuild) {
		p->rebuild->puppet = puppet;
		p->rebuild->pid = p->here;
		p->rebuild->inherits = p->inherits;
	}
	return is_init(p) ? keep_pid_ns(g, p) : 0;
}

/* Whose filled memory the children of @forker have. */
static const struct rebuild_process *inheritance(struct grown *g, uint32_t forker)
{
	const struct grown_process *p;

	if (forker == PLAN_NONE)
		return NULL;
	p = process_of(g, forker);
	return p->rebuild && p->rebuild->filled ? p->rebuild : p->inherits;
}

/* Takes over what was made, however the table ended. */
static int all_born(struct grown *g, const struct plan_step *steps, struct puppet **children,
		    size_t n, int r)
{
	const struct rebuild_process *inherited = inheritance(g, steps[0].process);

	for (size_t i = 0; i < n; i++) {
		int rc;

		if (!children[i])
			continue;
		process_of(g, steps[i].child)->inherits = inherited;
		rc = grow_born(g, steps[i].child, children[i]);
		if (rc < 0 && r == 0)
			r = rc;
	}
	return r;
}

/* ---- the clones ---------------------------------------------------------------------------- */

static int clone_batch(struct grown *g, const struct plan_step *steps, size_t n)
{
	struct puppet *children[CLONE_BATCH];
	struct puppet_clone how[CLONE_BATCH];
	pid_t(*set_tid)[TREE_LEVELS] = arena_alloc(&g->arena, n * sizeof(*set_tid));
	int r;

	if (!set_tid)
		return err_oom(g->ctx);
	for (size_t i = 0; i < n; i++) {
		const struct grown_process *child = process_of(g, steps[i].child);

		reverse_numbers(child, set_tid[i]);
		how[i] = clone_of(&steps[i], set_tid[i], child->plan->n_pid);
	}
	r = puppet_clone_many(g->ctx, forker_of(g, &steps[0]), how, n, children);
	return all_born(g, steps, children, n, r);
}

/* One that shares with its forker what ties both to a user namespace (CLONE_FS). */
static int clone_from_within(struct grown *g, const struct plan_step *step)
{
	const struct grown_process *forker = process_of(g, step->process);
	const struct plan_process *p = process_of(g, step->child)->plan;
	const struct puppet_clone how = clone_of(step, NULL, 0);
	const struct grow_aim aim = {
		.forker = forker->puppet,
		.user_ns = forker->user_ns,
		.pid_ns = p->pid_ns,
		.flags = how.flags,
		.exit_signal = how.exit_signal,
		.number = p->pid,
		.n_number = p->n_pid,
	};
	struct puppet *child = NULL;
	int r = grow_clone_aimed(g, &aim, &child);

	if (child) {
		struct grown_process *born = process_of(g, step->child);

		born->user_ns = forker->user_ns;
		if (born->rebuild)
			born->rebuild->in_user_ns = true;
	}
	return all_born(g, step, &child, 1, r);
}

static int clone_scaffold(struct grown *g, const struct plan_step *step)
{
	const struct grown_process *p = process_of(g, step->child);
	unsigned int n = p->plan->n_pid;
	pid_t set_tid[TREE_LEVELS];
	struct puppet_clone how = clone_of(step, set_tid, n);
	pid_t *outermost = &set_tid[n - 1];
	struct puppet *child = NULL;
	int r = -EEXIST;

	reverse_numbers(p, set_tid);
	for (int i = 0; r == -EEXIST && i < (g->container ? 1 : SCAFFOLD_TRIES); i++, ++*outermost)
		if (i == 0 || !grown_needs(g, *outermost))
			r = puppet_clone_many(g->ctx, forker_of(g, step), &how, 1, &child);
	return all_born(g, step, &child, 1, r);
}

static bool is_scaffold(const struct grown_process *p)
{
	return p->plan->role == PLAN_ROLE_SCAFFOLD;
}

static bool stands_with(struct grown *g, const struct plan_step *first,
			const struct plan_step *step)
{
	const struct grown_process *child, *before;

	if (step->op != PLAN_CLONE || step->process != first->process ||
	    step->outside != first->outside || step->new_pid_ns != first->new_pid_ns)
		return false;
	if (step->process != PLAN_NONE && process_of(g, step->process)->user_ns)
		return false;
	child = process_of(g, step->child);
	before = process_of(g, first->child);
	return !is_scaffold(child) && child->plan->pid_ns == before->plan->pid_ns &&
	       (!child->fill_first || child->fill_first->filled);
}

/*
 * CLONE_IO shares what the forker has, and a stub has no I/O context until it sets a priority; which
 * one it is to have is set at the end.
 */
static int make_io_context(struct grown *g, const struct plan_step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (steps[i].flags & CLONE_IO) {
			int64_t r =
				puppet_call(g->ctx, process_of(g, steps[i].process)->puppet,
					    "ioprio_set", SYS_ioprio_set,
					    (const struct call_arg[6]){CALL_IMM(IOPRIO_WHO_PROCESS),
								       CALL_IMM(0), CALL_IMM(0)});

			return r < 0 ? (int)r : 0;
		}
	return 0;
}

static int clone_here(struct grown *g, const struct plan_step *step, size_t n)
{
	int r = make_io_context(g, step, n);

	if (r < 0)
		return r;
	if (step->process != PLAN_NONE && process_of(g, step->process)->user_ns)
		return clone_from_within(g, step);
	return is_scaffold(process_of(g, step->child)) ? clone_scaffold(g, step)
						       : clone_batch(g, step, n);
}

/* Into a namespace below the forker's own: it enters that first, and goes back. */
static int clone_into(struct grown *g, const struct plan_step *step, size_t n, uint32_t ns)
{
	uint32_t before = process_of(g, step->process)->children_ns;
	int r = grow_enter(g, step->process, ns);

	if (r == 0)
		r = clone_here(g, step, n);
	return r < 0 ? r : grow_enter(g, step->process, before);
}

static int clone_from_outside(struct grown *g, const struct plan_step *step, size_t n, uint32_t ns)
{
	struct puppet *leader = forker_of(g, step);
	uint32_t depth = process_of(g, step->child)->plan->n_pid - 1 + g->container;
	int r;

	if (depth == 0)
		return clone_here(g, step, n);
	if (g->pid_ns[ns] < 0)
		return err_msg(g->ctx, -EPROTO, "PID namespace %u does not exist", ns + 1);
	r = puppet_enter_pid_ns(g->ctx, leader, g->pid_ns[ns], depth);
	if (r == 0)
		r = clone_here(g, step, n);
	return r < 0 ? r : puppet_leave_pid_ns(g->ctx, leader);
}

int grow_clones(struct grown *g, const struct plan_step *step, size_t left, size_t *ret_done)
{
	struct grown_process *child = process_of(g, step->child);
	uint32_t ns = child->plan->pid_ns;
	size_t n = 1;
	int r = 0;

	if (child->fill_first && !child->fill_first->filled)
		r = memory_fill_one(g->rebuild, child->fill_first);
	if (r < 0)
		return r;
	if (!is_scaffold(child))
		while (n < MIN(left, (size_t)CLONE_BATCH) && stands_with(g, step, &step[n]))
			n++;
	*ret_done = n;
	if (step->process == PLAN_NONE)
		return clone_from_outside(g, step, n, ns);
	if (step->new_pid_ns || process_of(g, step->process)->children_ns == ns)
		return clone_here(g, step, n);
	return clone_into(g, step, n, ns);
}
