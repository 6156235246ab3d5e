/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An init that dies kills its PID namespace and stays until every number in there is free
 * (zap_pid_ns_processes() in kernel/pid_namespace.c). A member's number is free when its tracer and
 * then its parent, who may be in another namespace, have waited for it: tracer and, in the end,
 * parent are we. So nobody is waited for while others might be waited for by him.
 */
#include "puppet/deaths.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

#include "puppet/trace.h"
#include "util/context.h"

enum { DOZE_MS = 20, PATIENCE_MS = 5000 };

/* Takes note of a death, without waiting. True: it has died now, or was a child of ours. */
static bool look(struct puppet *p)
{
	struct context quiet = {};
	struct trace_stop stop;
	int r;

	if (p->state == PUPPET_GONE)
		return waitpid(p->tid, NULL, __WALL | WNOHANG) == p->tid;
	while ((r = trace_poll(&quiet, p, &stop)) > 0)
		(void)trace_go(&quiet, p, PTRACE_CONT, 0); /* it dies on the way */
	return r < 0;
}

static bool look_at_all(struct puppet *const *tasks, size_t n, size_t *ret_left)
{
	bool progress = false;

	*ret_left = 0;
	/* Threads before their leader, which is not reported as long as there are any. */
	for (size_t i = n; i-- > 0;) {
		progress |= tasks[i]->state != PUPPET_GONE && look(tasks[i]);
		*ret_left += tasks[i]->state != PUPPET_GONE;
	}
	return progress;
}

bool puppet_await_deaths(struct puppet *const *tasks, size_t n, struct puppet *const *all,
			 size_t n_all)
{
	int patience = PATIENCE_MS;
	sigset_t old;
	size_t left;

	trace_block_chld(&old);
	while (patience > 0) {
		bool progress = look_at_all(tasks, n, &left);

		if (left == 0)
			break;
		for (size_t i = n_all; !progress && i-- > 0;)
			progress |= look(all[i]);
		if (!progress && !trace_doze(DOZE_MS))
			patience -= DOZE_MS;
	}
	trace_unblock_chld(&old);
	return left == 0;
}
