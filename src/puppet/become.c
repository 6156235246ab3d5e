/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a stub: the task gets its own registers and is let go.
 *
 * A task can unmap the very page it runs on: the stop at the call's exit still comes, and from
 * there PTRACE_INTERRUPT takes it to the next stop without an instruction in between. That stop is
 * inside the kernel's signal handling, which is where a system call is restarted: a task that was
 * dumped in a blocking call has a restart code and the call's number in its registers, and after
 * PTRACE_DETACH the kernel either calls again or, when a handler has to run, lets the call return
 * EINTR, as if it had been interrupted just now.
 */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "puppet/interp.h"
#include "puppet/made.h"
#include "puppet/trace.h"
#include "util/context.h"
#include "util/macro.h"

static int start_parking(struct context *ctx, struct puppet *p, int signal)
{
	int r = trace_interrupt(ctx, p);

	return r < 0 ? r : trace_go(ctx, p, PTRACE_CONT, signal);
}

int made_park(struct context *ctx, struct puppet *p, int signal)
{
	int r = start_parking(ctx, p, signal);

	return r < 0 ? r : trace_await_park(ctx, p);
}

/* The steps of one, each of which the next waits for. */

static int start_unmapping(struct context *ctx, const struct puppet_become *b)
{
	struct puppet *p = b->p;
	const uint64_t arg[6] = {p->area->base, p->area->size};
	int r;

	if (p->state == PUPPET_GONE)
		return err_msg(ctx, -ESRCH, "task %d has died", p->tid);
	if (!b->unmap)
		return 0;
	/* A bell that is a system call would be in the way of another one. */
	r = p->area->quiet ? made_park(ctx, p, 0) : 0;
	return r < 0 ? r
		     : made_call_start(ctx, p, p->area->code + INTERP_ENTRY_SYSCALL, SYS_munmap,
				       arg);
}

static int go_on_unmapping(struct context *ctx, const struct puppet_become *b)
{
	return b->unmap ? made_call_entered(ctx, b->p) : 0;
}

static int end_unmapping(struct context *ctx, const struct puppet_become *b)
{
	int64_t result = 0;
	int r = b->unmap ? made_call_finish(ctx, b->p, &result) : 0;

	if (r == 0 && result < 0)
		r = err_sys(ctx, (int)result, "munmap of the area");
	return r < 0 ? r : start_parking(ctx, b->p, 0);
}

static int set_all(struct context *ctx, const struct puppet_become *b)
{
	struct puppet *p = b->p;
	int r = trace_await_park(ctx, p);

	if (r == 0)
		r = arch_set_regs(ctx, p->tid, &p->regs);
	if (r == 0 && b->xstate_len > 0)
		r = arch_set_xstate(ctx, p->tid, b->xstate, b->xstate_len);
	if (r == 0)
		r = trace_set_sigmask(ctx, p, p->sigmask);
	if (r == 0)
		p->state = PUPPET_STOPPED;
	return r;
}

int puppet_become(struct context *ctx, const struct puppet_become *all, size_t n, size_t *ret_which)
{
	static int (*const steps[])(struct context * ctx, const struct puppet_become *b) = {
		start_unmapping,
		go_on_unmapping,
		end_unmapping,
		set_all,
	};

	for (size_t k = 0; k < ARRAY_SIZE(steps); k++)
		for (size_t i = 0; i < n; i++) {
			int r = steps[k](ctx, &all[i]);

			if (r < 0) {
				*ret_which = i;
				return err_while(ctx, r, "giving task %d its registers",
						 all[i].p->tid);
			}
		}
	return 0;
}

int puppet_keep(struct context *ctx, struct puppet *p)
{
	if (ptrace(PTRACE_SETOPTIONS, p->tid, NULL, 0) < 0)
		return err_sys(ctx, -errno, "ptrace(PTRACE_SETOPTIONS, %d)", p->tid);
	return 0;
}

int puppet_let_go(struct context *ctx, struct puppet *p)
{
	if (p->state == PUPPET_GONE)
		return 0;
	if (ptrace(PTRACE_DETACH, p->tid, NULL, NULL) < 0 && errno != ESRCH)
		return err_sys(ctx, -errno, "ptrace(PTRACE_DETACH, %d)", p->tid);
	p->state = PUPPET_NONE;
	return 0;
}

/* A tracer waits for each thread by itself, and the leader comes last. */
void puppet_kill(struct puppet *p)
{
	struct context quiet = {};
	struct trace_stop stop;

	if (p->state == PUPPET_GONE || p->state == PUPPET_NONE)
		return;
	(void)syscall(SYS_tgkill, p->tgid, p->tid, SIGKILL); /* ESRCH: dead already */
	while (trace_wait(&quiet, p, &stop) == 0)
		(void)trace_go(&quiet, p, PTRACE_CONT, 0); /* whatever it still had to report */
}
