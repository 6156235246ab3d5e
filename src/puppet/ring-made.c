/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doorbell of made puppets: ptrace alone. The puppet stops by itself when its table is done,
 * and is sent on when the next one lies in its slot; nobody needs a descriptor for it.
 *
 * The bell is a breakpoint. The kernel raises its SIGTRAP with force_sig(), which sets the signal's
 * action to default if it is ignored, and a pending SIGTRAP of the program would be taken for a
 * bell. So from the first table on that orders such a thing, bells are system calls, which the
 * tracer sees at their entry (area->quiet); that costs two stops for each call of a table.
 */
#include "puppet/ring.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>

#include "puppet/interp.h"
#include "puppet/trace.h"
#include "util/context.h"

static bool at_bell_call(const struct puppet *p)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, p->tid, (void *)sizeof(info), &info) <= 0)
		return false; /* killed this moment; the next wait tells */
	return info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == INTERP_BELL_NR;
}

/* A signal that the kernel forced upon the puppet: a call table named bad memory. */
static int faulted(struct context *ctx, const struct puppet *p, int signal, const siginfo_t *info)
{
	return err_msg(ctx, -EFAULT, "task %d: SIG%s (code %d) at address %p in a call table",
		       p->tid, sigabbrev_np(signal) ? sigabbrev_np(signal) : "?", info->si_code,
		       info->si_addr);
}

/*
 * 1: the bell; 0: to be swallowed: SIGSTOP cannot be blocked, and a task that is not its program
 * yet does not stop for it.
 */
static int judge_signal(struct context *ctx, struct puppet *p, int signal)
{
	siginfo_t info;

	if (ptrace(PTRACE_GETSIGINFO, p->tid, NULL, &info) < 0)
		return 0; /* killed this moment; the next wait tells */
	switch (signal) {
	case SIGTRAP:
		return info.si_code > 0 && !p->area->quiet;
	case SIGSEGV:
	case SIGBUS:
	case SIGILL:
	case SIGFPE:
	case SIGSYS:
		return info.si_code > 0 ? faulted(ctx, p, signal, &info) : 0;
	default:
		return 0;
	}
}

static int send_on(struct context *ctx, struct puppet *p)
{
	return trace_go(ctx, p, p->area->quiet ? PTRACE_SYSCALL : PTRACE_CONT, 0);
}

static int wait_bell(struct context *ctx, struct puppet *p)
{
	struct trace_stop stop;
	int r;

	while (true) {
		r = trace_wait(ctx, p, &stop);
		if (r < 0)
			return r;
		if (stop.kind == TRACE_SYSCALL && at_bell_call(p))
			return 0;
		if (stop.kind == TRACE_CHILD && p->n_born < p->born_room)
			p->born[p->n_born++] = stop.child;
		if (stop.kind == TRACE_SIGNAL) {
			r = judge_signal(ctx, p, stop.signal);
			if (r != 0)
				return r < 0 ? r : arch_leave_break(ctx, p->tid);
		}
		r = send_on(ctx, p);
		if (r < 0)
			return r;
	}
}

const struct puppet_ring ring_made = {
	.start = send_on,
	.wait = wait_bell,
};
