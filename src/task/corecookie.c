/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Core-scheduling cookies: tasks with different ones never share a core, which protects them from
 * each other. What can be read is a hash of the kernel's pointer, nothing that could be set again;
 * so only a cookie that is the coordinator's own, which stubs inherit, can be kept.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <sys/prctl.h>

#include "kind/task.h"

/* 0, also where there are no cookies: not built in (EINVAL), no core with two threads (ENODEV). */
static int read_cookie(struct context *ctx, pid_t tid, uint64_t *ret)
{
	uint64_t cookie = 0;

	if (prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, tid, PR_SCHED_CORE_SCOPE_THREAD, &cookie) < 0 &&
	    errno != EINVAL && errno != ENODEV)
		return err_sys(ctx, -errno, "prctl(PR_SCHED_CORE_GET, %d)", tid);
	*ret = cookie;
	return 0;
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	uint64_t own = 0;
	uint64_t cookie = 0;
	int r = read_cookie(c->ctx, 0, &own);

	if (r >= 0)
		r = read_cookie(c->ctx, th->tid, &cookie);
	if (r < 0 || cookie == own)
		return r;
	return collect_refuse(c, NULL,
			      "%s, thread %d: has a core-scheduling cookie, which nobody can give "
			      "it again",
			      collect_name(c, th->process), th->tid);
}

const struct task_aspect aspect_corecookie = {
	.name = "core-scheduling cookie",
	.collect_thread = collect_thread,
};
