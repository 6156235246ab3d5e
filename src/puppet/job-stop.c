/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job control on made puppets. A process stops when one of its tasks takes a stop signal and all
 * others take part in the group stop, each when it next passes through signal handling; the parent
 * is told when the last has. A tracer can send a task of a stopped process on all the same, and
 * PTRACE_DETACH puts it back into the group stop.
 */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "puppet/made.h"
#include "puppet/trace.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"

/* Or does @signal run a handler, is it ignored? */
static bool would_stop(struct context *ctx, const struct puppet *p, int signal)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	_cleanup_close_ int proc = -EBADF;
	uint64_t bit = UINT64_C(1) << (signal - 1);
	struct proc_status status;
	int r;

	arena_init(&arena, ctx);
	if (signal == SIGSTOP)
		return true;
	r = proc_open(p->tid, &proc);
	if (r == 0)
		r = proc_read_status(proc, &arena, &status);
	return r == 0 && !((status.sig_caught | status.sig_ignored) & bit);
}

/*
 * Has the task take a SIGSTOP, which cannot be blocked, up to its delivery, and delivers @signal in
 * its place. With PTRACE_INTERRUPT on top it runs no instruction in any case.
 */
static int deliver(struct context *ctx, struct puppet *p, int signal)
{
	struct trace_stop stop;
	uint64_t mask;
	int r;

	if (syscall(SYS_tgkill, p->tgid, p->tid, SIGSTOP) < 0)
		return err_sys(ctx, -errno, "tgkill(%d, SIGSTOP)", p->tid);
	do {
		r = trace_go(ctx, p, PTRACE_CONT, 0);
		if (r == 0)
			r = trace_wait(ctx, p, &stop);
		if (r < 0)
			return r;
	} while (stop.kind != TRACE_SIGNAL || stop.signal != SIGSTOP);
	r = trace_get_sigmask(ctx, p, &mask);
	if (r == 0)
		r = trace_set_sigmask(ctx, p, mask & ~(UINT64_C(1) << (signal - 1)));
	if (r == 0)
		r = made_park(ctx, p, signal);
	return r < 0 ? r : trace_set_sigmask(ctx, p, mask);
}

int puppet_job_stop(struct context *ctx, struct puppet *const *tasks, size_t n, int signal)
{
	struct puppet *first = tasks[0];
	int r = 0;

	first->group_stopped = false;
	if (would_stop(ctx, first, signal))
		r = deliver(ctx, first, signal);
	/* The kernel ignores SIGTSTP and its like in an orphaned process group. */
	if (r == 0 && !first->group_stopped)
		r = deliver(ctx, first, SIGSTOP);
	for (size_t i = 1; r == 0 && i < n; i++)
		r = made_park(ctx, tasks[i], 0);
	return r < 0 ? err_while(ctx, r, "stopping process %d", first->tgid) : 0;
}
