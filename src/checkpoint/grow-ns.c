/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces while a tree is grown. User namespaces need nothing of the tree and are made before it.
 * A process that joins one loses what it may do outside, so a process of the tree does that with
 * its credentials, at the end (task/creds.c), unless it has to fork from within: then now.
 */
#include <errno.h>
#include <sched.h>

#include "checkpoint/grow-steps.h"
#include "ns/pid-numbers.h"
#include "ns/user-make.h"
#include "task/creds.h"
#include "task/stub.h"

int grow_user_namespaces(struct grown *g)
{
	struct rebuild *r = g->rebuild;

	for (size_t i = 0; i < r->n_user_ns; i++) {
		const Coppice__UserNs *msg = r->cp->user_namespaces[i];
		const Coppice__UserNs *parent =
			msg->parent ? r->cp->user_namespaces[msg->parent - 1] : NULL;
		int parent_fd = parent ? r->user_ns[msg->parent - 1] : -EBADF;
		int rc = user_ns_make(g->ctx, msg, parent, parent_fd, &r->user_ns[i]);

		if (rc < 0)
			return err_while(g->ctx, rc, "making user namespace %u", msg->id);
	}
	return 0;
}

/* ---- joining a user namespace -------------------------------------------------------------- */

/* Is it going to have children or threads from within? */
static bool forks_later(const struct grown *g, const struct plan_step *join)
{
	const struct rebuild_process *p = g->processes[join->process].rebuild;

	if (!p || p->n_threads > 1 || p->msg->leader_dead)
		return true;
	for (const struct plan_step *s = join + 1; s < g->plan->steps + g->plan->n_steps; s++)
		if (s->process == join->process && (s->op == PLAN_CLONE || s->op == PLAN_NS_NEW))
			return true;
	return false;
}

/* The ids have to be set from outside, where all of them are mapped. */
static int take_ids(struct grown *g, struct puppet *puppet, const Coppice__Creds *want)
{
	const struct stub_origin *origin;
	struct call_table t;
	Coppice__Creds ids;
	int r = stub_origin(g->rebuild, &origin);

	if (r < 0)
		return r;
	call_table_init(&t, &g->arena);
	creds_with_ids(&origin->creds, want, &ids);
	creds_add(&t, &origin->creds, &ids);
	return puppet_run(g->ctx, puppet, &t);
}

int grow_user_join(struct grown *g, const struct plan_step *step)
{
	struct grown_process *p = &g->processes[step->process];
	int r = 0;

	if (!forks_later(g, step))
		return 0;
	if (p->rebuild && p->rebuild->msg->n_threads > 0)
		r = take_ids(g, p->puppet, p->rebuild->msg->threads[0]->creds);
	if (r == 0)
		r = puppet_join_user_ns(g->ctx, p->puppet, g->rebuild->user_ns[step->user_ns - 1]);
	if (r < 0)
		return r;
	p->user_ns = step->user_ns;
	if (p->rebuild)
		p->rebuild->in_user_ns = true;
	return 0;
}

/* ---- what a PID namespace goes on with ------------------------------------------------------ */

static int set_numbers(struct grown *g, const struct rebuild_process *init)
{
	const Coppice__PidNs *msg = g->rebuild->cp->pid_namespaces[init->msg->pid_ns - 1];
	int r;

	if (init->msg->pid[init->msg->n_pid - 1] != 1 || !init->puppet)
		return 0;
	r = pid_numbers_write(g->ctx, &g->arena, init->puppet, msg->pid_max, msg->last_pid);
	if (r < 0 || !msg->own_memfd_noexec)
		return r;
	return pid_numbers_write_noexec(g->ctx, &g->arena, init->puppet, msg->memfd_noexec);
}

int grow_numbers(struct grown *g)
{
	struct rebuild *r = g->rebuild;

	for (size_t i = 0; i < r->n_processes; i++) {
		int rc = r->processes[i].msg->pid_ns ? set_numbers(g, &r->processes[i]) : 0;

		if (rc < 0)
			return err_while(g->ctx, rc, "setting the next PID in the namespace of %s",
					 rebuild_name(r, &r->processes[i]));
	}
	return 0;
}

/* ---- PID namespaces for children ----------------------------------------------------------- */

int grow_enter(struct grown *g, uint32_t process, uint32_t ns)
{
	struct grown_process *p = &g->processes[process];
	const Coppice__Checkpoint *cp = g->rebuild->cp;
	uint32_t depth = g->container;
	int r;

	if (ns == p->plan->pid_ns) {
		r = puppet_leave_pid_ns(g->ctx, p->puppet);
	} else if (g->pid_ns[ns] < 0) {
		return err_msg(g->ctx, -EPROTO,
			       "PID namespace %u does not exist, or this kernel "
			       "gives no descriptor of it",
			       ns + 1);
	} else {
		for (uint32_t up = ns; up > 0; up = cp->pid_namespaces[up]->parent - 1)
			depth++;
		r = puppet_enter_pid_ns(g->ctx, p->puppet, g->pid_ns[ns], depth);
	}
	if (r == 0)
		p->children_ns = ns;
	return r;
}

int grow_ns_new(struct grown *g, const struct plan_step *step)
{
	struct grown_process *p = &g->processes[step->process];
	int r = puppet_unshare_pid_ns(g->ctx, p->puppet, &g->pid_ns[step->pid_ns]);

	/* It can fork into it all the same; others cannot enter it. */
	if (r == -EOPNOTSUPP) {
		err_clear(g->ctx);
		r = 0;
	}
	if (r == 0)
		p->children_ns = step->pid_ns;
	return r;
}

int grow_ns_enter(struct grown *g, const struct plan_step *step)
{
	return grow_enter(g, step->process, step->pid_ns);
}
