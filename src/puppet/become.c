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

int made_park(struct context *ctx, struct puppet *p, int signal)
{
	int r = trace_interrupt(ctx, p);

	if (r == 0)
		r = trace_go(ctx, p, PTRACE_CONT, signal);
	return r < 0 ? r : trace_await_park(ctx, p);
}

static int unmap_area(struct context *ctx, struct puppet *p)
{
	const uint64_t arg[6] = {p->area->base, p->area->size};
	int64_t result;
	int r;

	/* A bell that is a system call would be in the way of another one. */
	r = p->area->quiet ? made_park(ctx, p, 0) : 0;
	if (r == 0)
		r = made_call(ctx, p, p->area->code + INTERP_ENTRY_SYSCALL, SYS_munmap, arg,
			      &result);
	if (r < 0)
		return r;
	return result < 0 ? err_sys(ctx, (int)result, "munmap of the area") : 0;
}

int puppet_become(struct context *ctx, struct puppet *p, const void *xstate, size_t xstate_len,
		  bool unmap)
{
	int r = 0;

	if (p->state == PUPPET_GONE)
		return err_msg(ctx, -ESRCH, "task %d has died", p->tid);
	if (unmap)
		r = unmap_area(ctx, p);
	if (r == 0)
		r = made_park(ctx, p, 0);
	if (r == 0)
		r = arch_set_regs(ctx, p->tid, &p->regs);
	if (r == 0 && xstate_len > 0)
		r = arch_set_xstate(ctx, p->tid, xstate, xstate_len);
	if (r == 0)
		r = trace_set_sigmask(ctx, p, p->sigmask);
	if (r < 0)
		return err_while(ctx, r, "giving task %d its registers", p->tid);
	p->state = PUPPET_STOPPED;
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
