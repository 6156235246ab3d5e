/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads. Their clone flags leave nothing to choose: what pthread_create shares is what the kernel
 * demands of threads (memory, handlers) or what nobody has ever told apart (files, fs, semaphore
 * undo; collection refuses the rest).
 *
 * None can be cloned while the process's children would be born into another PID namespace, which is
 * therefore set aside.
 */
#include <errno.h>
#include <sched.h>

#include "checkpoint/grow-steps.h"
#include "tree/tree.h"

enum {
	THREAD_FLAGS =
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
};

/* Takes over what was made, however the table ended. */
static int take_threads(struct grown *g, struct rebuild_process *p, struct puppet **puppets,
			size_t first, int r)
{
	for (size_t i = first; i < p->n_threads; i++) {
		int rc = puppets[i] ? grown_add_task(g, puppets[i]) : 0;

		p->threads[i].puppet = puppets[i];
		if (rc < 0 && r == 0)
			r = rc;
	}
	return r;
}

static int clone_in_one_go(struct grown *g, struct rebuild_process *p, size_t first,
			   struct puppet **puppets)
{
	struct puppet_clone *how = arena_new_n(&g->arena, struct puppet_clone, p->n_threads);

	if (!how)
		return err_oom(g->ctx);
	for (size_t i = first; i < p->n_threads; i++) {
		const Coppice__Thread *msg = p->threads[i].msg;
		pid_t *set_tid = arena_new_n(&g->arena, pid_t, msg->n_tid);

		if (!set_tid)
			return err_oom(g->ctx);
		for (size_t k = 0; k < msg->n_tid; k++)
			set_tid[k] = msg->tid[msg->n_tid - 1 - k]; /* innermost first */
		how[i] = (struct puppet_clone){
			.flags = THREAD_FLAGS,
			.set_tid = set_tid,
			.n_set_tid = msg->n_tid,
		};
	}
	return puppet_clone_many(g->ctx, p->puppet, how + first, p->n_threads - first,
				 puppets + first);
}

/* From within a user namespace, which has no say on the levels above. */
static int clone_aimed(struct grown *g, struct rebuild_process *p, size_t first,
		       struct puppet **puppets)
{
	int r = 0;

	for (size_t i = first; i < p->n_threads && r == 0; i++) {
		const Coppice__Thread *msg = p->threads[i].msg;
		const struct grow_aim aim = {
			.forker = p->puppet,
			.user_ns = p->msg->user_ns,
			.pid_ns = p->msg->pid_ns - 1,
			.flags = THREAD_FLAGS,
			.number = msg->tid,
			.n_number = msg->n_tid,
		};

		r = grow_clone_aimed(g, &aim, &puppets[i]);
	}
	return r;
}

static int clone_threads(struct grown *g, struct rebuild_process *p, size_t first)
{
	struct puppet **puppets = arena_new_n(&g->arena, struct puppet *, p->n_threads);
	int r;

	if (!puppets)
		return err_oom(g->ctx);
	r = p->in_user_ns ? clone_aimed(g, p, first, puppets)
			  : clone_in_one_go(g, p, first, puppets);
	return take_threads(g, p, puppets, first, r);
}

int grow_threads(struct grown *g, struct rebuild_process *p)
{
	/* Processes of the tree come first in the plan, in order. */
	uint32_t index = p->msg->id - 1;
	uint32_t own = g->processes[index].plan->pid_ns, aside = g->processes[index].children_ns;
	size_t first = p->msg->leader_dead ? 0 : 1;
	int r = 0;

	if (!p->msg->leader_dead)
		p->threads[0].puppet = p->puppet;
	if (p->n_threads <= first)
		return 0;
	if (aside != own)
		r = grow_enter(g, index, own);
	if (r == 0)
		r = clone_threads(g, p, first);
	return r == 0 && aside != own ? grow_enter(g, index, aside) : r;
}
