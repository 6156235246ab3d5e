/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first stubs: the root, and leaders outside the tree.
 *
 * A leader outside stands for somebody who is not dumped: its session and group are what members of
 * the tree were born into, and it forks those who came in from outside. Leaders are children of the
 * coordinator in sessions of their own, so that no signal for a group of the tree can reach anybody
 * else; with a shell job the first stays in the session of the shell. They live as long as the plan
 * is carried out. Where nobody needs one the root is made at once.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "checkpoint/grow-steps.h"
#include "checkpoint/rebuild.h"
#include "file/inode.h"
#include "file/place.h"
#include "image/reader.h"
#include "task/stub.h"

enum { NUMBER_TRIES = 100 };

/* ---- the very first ------------------------------------------------------------------------ */

static int make_first(struct grown *g, const pid_t *set_tid, struct puppet **ret_puppet)
{
	struct rebuild *r = g->rebuild;
	const struct puppet_make how = {
		.base = r->stub_base,
		.slots = rebuild_slots(r),
		.slot_size = STUB_SLOT_SIZE,
		/* a number of the root's own namespace: there it is the innermost */
		.set_tid = set_tid,
		.n_set_tid = set_tid ? 1 : 0,
		.clone_flags = set_tid && g->container ? CLONE_NEWPID : 0,
		.exit_signal = g->plan->root_exit_signal,
		.doorbell = r->fd_base + REBUILD_FD_DOORBELL,
	};

	if (puppet_area_size(how.slots, how.slot_size) > r->stub_size)
		return err_msg(g->ctx, -ENOSPC, "no room for the stubs' area");
	return puppet_make_first(g->ctx, &how, ret_puppet);
}

/* What all stubs need from the beginning; the first has no descriptor but its doorbell. */
static int give_descriptors(struct grown *g, struct puppet *puppet)
{
	struct rebuild *r = g->rebuild;
	const struct fd_place images = {
		.fd = image_reader_dir(r->images),
		.number = r->fd_base + REBUILD_FD_IMAGES,
		.cloexec = true,
	};
	int rc = fds_place(g->ctx, &g->arena, puppet, &images, 1);

	if (rc == 0)
		rc = rebuild_inodes_send(r, puppet);
	return rc < 0 ? err_while(g->ctx, rc, "handing files to the first process, %d", puppet->tid)
		      : 0;
}

/* ---- leaders outside ----------------------------------------------------------------------- */

/* A stub outside the tree whose number is none that the tree needs: an exec'ed one, or @from's copy. */
static int make_outsider(struct grown *g, struct puppet *from, struct puppet **ret_puppet)
{
	const struct puppet_clone how = {.flags = CLONE_PARENT};
	int r = 0;

	for (int i = 0; i < NUMBER_TRIES; i++) {
		struct puppet *p = NULL;

		r = from ? puppet_clone(g->ctx, from, &how, &p) : make_first(g, NULL, &p);
		if (p) {
			int rc = grown_add_task(g, p);

			r = r < 0 ? r : rc;
		}
		if (r == 0 && !grown_needs(g, p->tid)) {
			*ret_puppet = p;
			return 0;
		}
		/* Our child: with the tracer's wait it is reaped. */
		if (r == 0)
			r = puppet_die(g->ctx, p, 0);
		if (r < 0)
			return r;
	}
	return err_msg(g->ctx, -EEXIST, "the kernel gives no number that the tree does not need");
}

static int call_in(struct grown *g, struct puppet *puppet, const char *what, uint64_t nr)
{
	int64_t r = puppet_call(g->ctx, puppet, what, nr, (const struct call_arg[6]){});

	return r < 0 ? (int)r : 0;
}

static int make_leader(struct grown *g, size_t index)
{
	const struct plan_outside *outside = &g->plan->outside[index];
	bool founds = outside->session == index;
	struct puppet *from = founds ? g->leaders[0] : g->leaders[outside->session];
	bool inherits = index == 0 && g->plan->root_session == PLAN_ROOT_SESSION_INHERITED;
	int r = make_outsider(g, from, &g->leaders[index]);

	if (r == 0 && index == 0)
		r = give_descriptors(g, g->leaders[0]);
	if (r < 0 || inherits)
		return r;
	return founds ? call_in(g, g->leaders[index], "setsid", SYS_setsid)
		      : call_in(g, g->leaders[index], "setpgid(0, 0)", SYS_setpgid);
}

/* Those that found a session first. */
static int make_leaders(struct grown *g)
{
	int r = 0;

	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < g->n_leaders && r == 0; i++)
			if ((g->plan->outside[i].session != i) == round)
				r = make_leader(g, i);
	return r < 0 ? err_while(g->ctx, r, "making the leaders of sessions outside the tree") : 0;
}

static bool acts_from_outside(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++)
		if ((plan->steps[i].op == PLAN_CLONE || plan->steps[i].op == PLAN_SETPGID) &&
		    plan->steps[i].process == PLAN_NONE)
			return true;
	return false;
}

/* The owner of the root's own PID namespace, where that is another than it would be by itself. */
static uint32_t root_owner(const struct grown *g)
{
	const Coppice__Checkpoint *cp = g->rebuild->cp;

	return g->container && cp->n_pid_namespaces > 0 ? cp->pid_namespaces[0]->user_ns : 0;
}

static bool needs_leaders(const struct grown *g)
{
	return g->plan->root_session == PLAN_ROOT_SESSION_NEW || g->plan->n_outside > 1 ||
	       acts_from_outside(g->plan) || root_owner(g) != 0;
}

int grow_end_leaders(struct grown *g)
{
	int was = 0, r = 0;

	/* Who was born their child is ours from now on. */
	(void)prctl(PR_GET_CHILD_SUBREAPER, &was);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (size_t i = g->n_leaders; i-- > 0 && r == 0;) {
		r = puppet_die(g->ctx, g->leaders[i], 0);
		g->leaders[i] = NULL;
	}
	(void)prctl(PR_SET_CHILD_SUBREAPER, was);
	return r < 0 ? err_while(g->ctx, r, "ending the leaders of sessions outside the tree") : 0;
}

/* ---- the root ------------------------------------------------------------------------------ */

/* A namespace of the root's own that user namespace @owner owns: one who is in there makes it. */
static int make_owned_ns(struct grown *g, uint32_t owner)
{
	struct puppet *maker = NULL;
	int r = make_outsider(g, g->leaders[0], &maker);

	if (r == 0)
		r = puppet_join_user_ns(g->ctx, maker, g->rebuild->user_ns[owner - 1]);
	if (r == 0)
		r = puppet_unshare_pid_ns(g->ctx, maker, &g->pid_ns[0]);
	if (r == 0)
		r = puppet_enter_pid_ns(g->ctx, g->leaders[0], g->pid_ns[0], 1);
	return r < 0 ? r : puppet_die(g->ctx, maker, 0);
}

static int clone_root(struct grown *g, pid_t number, struct puppet **ret_puppet)
{
	uint32_t owner = root_owner(g);
	const struct puppet_clone how = {
		.flags = (g->plan->root_under_leader ? 0 : CLONE_PARENT) |
			 (g->container && !owner ? CLONE_NEWPID : 0),
		.exit_signal = g->plan->root_under_leader ? SIGCHLD : 0,
		.set_tid = &number,
		.n_set_tid = 1,
	};
	int r = make_leaders(g);

	if (r == 0 && owner)
		r = make_owned_ns(g, owner);
	if (r == 0)
		r = puppet_clone(g->ctx, g->leaders[0], &how, ret_puppet);
	return r == 0 && owner ? puppet_leave_pid_ns(g->ctx, g->leaders[0]) : r;
}

static int make_root(struct grown *g, pid_t number, struct puppet **ret_puppet)
{
	int r;

	if (!needs_leaders(g)) {
		r = make_first(g, &number, ret_puppet);
		return r < 0 ? r : give_descriptors(g, *ret_puppet);
	}
	g->leaders = arena_new_n(&g->arena, struct puppet *, g->plan->n_outside);
	if (!g->leaders)
		return err_oom(g->ctx);
	g->n_leaders = g->plan->n_outside;
	return clone_root(g, number, ret_puppet);
}

int grow_root(struct grown *g)
{
	const struct stub_origin *origin;
	pid_t number = g->processes[0].plan->pid[0];
	struct puppet *puppet = NULL;
	int r = make_root(g, number, &puppet);

	if (puppet) {
		int rc = grow_born(g, 0, puppet);

		r = r < 0 ? r : rc;
	}
	/* While it is there to be read: later stubs may have joined a user namespace. */
	if (r == 0)
		r = stub_origin(g->rebuild, &origin);
	return r < 0 ? err_while(g->ctx, r, "making the first process, %d", number) : 0;
}
