/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/become.h"

#include <errno.h>
#include <string.h>

#include "kind/task.h"

enum { AT_ONCE = 32 };

struct wave {
	struct rebuild *r;
	struct rebuild_thread *threads[AT_ONCE];
	struct puppet_become become[AT_ONCE];
	size_t n;
};

static int while_becoming(const struct wave *w, int rc, size_t i)
{
	const struct rebuild_thread *th = w->threads[i];

	return err_while(w->r->ctx, rc, "handing thread %d of process %d (%s) over",
			 th->msg->tid[0], th->process->msg->pid[0], th->msg->comm);
}

static int run_wave(struct wave *w)
{
	size_t which;
	int rc = puppet_become(w->r->ctx, w->become, w->n, &which);

	if (rc < 0)
		return while_becoming(w, rc, which);
	for (size_t i = 0; i < w->n; i++)
		for (const struct task_aspect *const *a = task_aspects; *a; a++) {
			rc = (*a)->become_thread ? (*a)->become_thread(w->r, w->threads[i]) : 0;
			if (rc < 0)
				return while_becoming(w, rc, i);
		}
	w->n = 0;
	return 0;
}

static int add(struct wave *w, struct rebuild_thread *th, bool unmap)
{
	const Coppice__Thread *msg = th->msg;
	struct puppet *p = th->puppet;

	w->threads[w->n] = th;
	if (msg->regs.len > sizeof(p->regs.bytes))
		return while_becoming(
			w, err_msg(w->r->ctx, -EBADMSG, "%zu bytes of registers", msg->regs.len),
			w->n);
	p->regs.len = (uint32_t)msg->regs.len;
	memcpy(p->regs.bytes, msg->regs.data, msg->regs.len);
	p->sigmask = msg->sigmask;
	w->become[w->n++] =
		(struct puppet_become){p, msg->xstate.data, msg->xstate.len, .unmap = unmap};
	return 0;
}

/* @left: tasks that still run in the area of their address space, this one included. */
static int become(struct wave *w, struct rebuild_thread *th, size_t left)
{
	bool alone = th->process->owns_mm && th->process->n_threads == 1;
	int rc = 0;

	/* The last one of several unmaps what they all ran in. */
	if (w->n == AT_ONCE || (left == 1 && !alone))
		rc = run_wave(w);
	return rc < 0 ? rc : add(w, th, left == 1);
}

int become_all(struct rebuild *r)
{
	size_t *tasks = arena_new_n(r->arena, size_t, r->cp->n_mms + 1);
	struct wave w = {.r = r};

	if (!tasks)
		return err_oom(r->ctx);
	for (size_t i = 0; i < r->n_processes; i++)
		tasks[r->processes[i].msg->mm] += r->processes[i].n_threads;
	for (size_t i = 0; i < r->n_processes; i++) {
		struct rebuild_process *p = &r->processes[i];

		for (size_t k = 0; k < p->n_threads; k++) {
			int rc = become(&w, &p->threads[k], tasks[p->msg->mm]--);

			if (rc < 0)
				return rc;
		}
	}
	return run_wave(&w);
}
