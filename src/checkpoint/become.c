/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/become.h"

#include <errno.h>
#include <string.h>

#include "kind/task.h"

static int become(struct rebuild *r, struct rebuild_thread *th, bool unmap)
{
	const Coppice__Thread *msg = th->msg;
	struct puppet *p = th->puppet;
	int rc;

	if (msg->regs.len > sizeof(p->regs.bytes))
		return err_msg(r->ctx, -EBADMSG, "%zu bytes of registers", msg->regs.len);
	p->regs.len = (uint32_t)msg->regs.len;
	memcpy(p->regs.bytes, msg->regs.data, msg->regs.len);
	p->sigmask = msg->sigmask;
	rc = puppet_become(r->ctx, p, msg->xstate.data, msg->xstate.len, unmap);
	for (const struct task_aspect *const *a = task_aspects; *a && rc >= 0; a++)
		rc = (*a)->become_thread ? (*a)->become_thread(r, th) : 0;
	return rc < 0 ? err_while(r->ctx, rc, "handing thread %d of process %d (%s) over",
				  msg->tid[0], th->process->msg->pid[0], msg->comm)
		      : 0;
}

int become_all(struct rebuild *r)
{
	/* The last task of each address space unmaps the area that all of them ran in. */
	size_t *tasks = arena_new_n(r->arena, size_t, r->cp->n_mms + 1);

	if (!tasks)
		return err_oom(r->ctx);
	for (size_t i = 0; i < r->n_processes; i++)
		tasks[r->processes[i].msg->mm] += r->processes[i].n_threads;
	for (size_t i = 0; i < r->n_processes; i++) {
		struct rebuild_process *p = &r->processes[i];

		for (size_t k = 0; k < p->n_threads; k++) {
			int rc = become(r, &p->threads[k], --tasks[p->msg->mm] == 0);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}
