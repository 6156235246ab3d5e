/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resource limits and the OOM killer's score adjustment.
 *
 * A process is asked for its limits: prlimit of another user's process needs CAP_SYS_RESOURCE, and
 * /proc/PID/limits costs several times as much. A stub sets its own by prlimit(0), which asks for
 * CAP_SYS_RESOURCE only where a hard limit is raised: so hard limits are raised first, while the
 * stub has what privilege it ever has, and everything gets its final value by the last thread's
 * last calls, when there is nothing left that a limit could get in the way of.
 *
 * What the process has used up of RLIMIT_CPU cannot be given back to it: it starts anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "kind/task.h"
#include "task/stub.h"
#include "util/cleanup.h"
#include "util/io.h"

/* By number (asm-generic/resource.h). */
static const char *const limit_names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "RLIMIT_CPU",	       [RLIMIT_FSIZE] = "RLIMIT_FSIZE",
	[RLIMIT_DATA] = "RLIMIT_DATA",	       [RLIMIT_STACK] = "RLIMIT_STACK",
	[RLIMIT_CORE] = "RLIMIT_CORE",	       [RLIMIT_RSS] = "RLIMIT_RSS",
	[RLIMIT_NPROC] = "RLIMIT_NPROC",       [RLIMIT_NOFILE] = "RLIMIT_NOFILE",
	[RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",   [RLIMIT_AS] = "RLIMIT_AS",
	[RLIMIT_LOCKS] = "RLIMIT_LOCKS",       [RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
	[RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE", [RLIMIT_NICE] = "RLIMIT_NICE",
	[RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",     [RLIMIT_RTTIME] = "RLIMIT_RTTIME",
};

static int collect(struct collect *c, struct collect_process *p)
{
	const struct proc_dir dir = collect_dir(c, p);
	_cleanup_free_ char *text = NULL;
	int r;

	if (p->zombie)
		return 0;
	r = proc_dir_read(&dir, "oom_score_adj", &text, NULL);
	if (r)
		return err_sys(c->ctx, r, "reading /proc/%d/oom_score_adj", p->pid);
	p->msg->oom_score_adj = (int32_t)strtol(text, NULL, 10);
	return 0;
}

static void ask(struct collect *c _unused_, struct collect_process *p _unused_,
		struct call_table *t)
{
	for (size_t i = 0; i < RLIM_NLIMITS; i++)
		call_add(t, limit_names[i], SYS_prlimit64, CALL_IMM(0), CALL_IMM(i), CALL_IMM(0),
			 CALL_DATA(call_space(t, NULL, sizeof(struct proc_limit))));
}

static int reply(struct collect *c, struct collect_process *p, struct call_table *t, uint32_t first)
{
	Coppice__Rlimit *msgs = arena_new_n(c->arena, Coppice__Rlimit, RLIM_NLIMITS);

	p->msg->rlimits = arena_new_n(c->arena, Coppice__Rlimit *, RLIM_NLIMITS);
	if (!msgs || !p->msg->rlimits)
		return err_oom(c->ctx);
	for (uint32_t i = 0; i < RLIM_NLIMITS; i++) {
		const struct proc_limit *limit = call_arg_bytes(t, first + i, 3);

		coppice__rlimit__init(&msgs[i]);
		msgs[i].soft = limit->soft;
		msgs[i].hard = limit->hard;
		p->msg->rlimits[p->msg->n_rlimits++] = &msgs[i];
	}
	return 0;
}

/* ---- what this machine cannot give --------------------------------------------------------- */

static bool has_sys_resource(const struct stub_origin *origin)
{
	return origin->creds.cap_effective >> CAP_SYS_RESOURCE & 1;
}

static const char *limit_text(struct rebuild *r, uint64_t value)
{
	const char *text = value == UINT64_MAX
				   ? "unlimited"
				   : arena_printf(r->arena, "%llu", (unsigned long long)value);

	return text ? text : "?";
}

static int check_limits(struct rebuild *r, const struct rebuild_process *p,
			const struct stub_origin *origin)
{
	int res = 0;

	if (has_sys_resource(origin))
		return 0;
	for (size_t i = 0; i < p->msg->n_rlimits && i < RLIM_NLIMITS && !res; i++) {
		uint64_t hard = p->msg->rlimits[i]->hard;

		if (hard > origin->limits[i].hard)
			res = rebuild_refuse(r,
					     "raise it for coppice, or give coppice "
					     "CAP_SYS_RESOURCE",
					     "%s: its hard %s %s is above coppice's own (%s)",
					     rebuild_name(r, p), limit_names[i],
					     limit_text(r, hard),
					     limit_text(r, origin->limits[i].hard));
	}
	return res;
}

static int write_oom_score_adj(int proc_fd, int32_t value)
{
	_cleanup_close_ int fd = openat(proc_fd, "oom_score_adj", O_WRONLY | O_CLOEXEC);
	char text[16];

	if (fd < 0)
		return -errno;
	(void)snprintf(text, sizeof(text), "%d", value); /* fits */
	return io_write_all(fd, text, strlen(text));
}

/* The lowest value allowed is not shown: lower ones than the present are tried, and undone. */
static int check_oom_score_adj(struct rebuild *r, const struct rebuild_process *p)
{
	_cleanup_close_ int self = -EBADF;
	int32_t own;
	char *text;
	int res;

	res = proc_open(getpid(), &self);
	if (!res)
		res = proc_read_text(self, "oom_score_adj", r->arena, &text);
	if (res)
		return err_sys(r->ctx, res, "reading /proc/self/oom_score_adj");
	own = (int32_t)strtol(text, NULL, 10);
	if (p->msg->oom_score_adj >= own)
		return 0;
	res = write_oom_score_adj(self, p->msg->oom_score_adj);
	if (!res)
		res = write_oom_score_adj(self, own);
	if (res && res != -EACCES)
		return err_sys(r->ctx, res, "writing /proc/self/oom_score_adj");
	return res ? rebuild_refuse(r, "give coppice CAP_SYS_RESOURCE",
				    "%s: its oom_score_adj %d is below what coppice may set",
				    rebuild_name(r, p), p->msg->oom_score_adj)
		   : 0;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	const struct stub_origin *origin;
	int res;

	if (!p->n_threads)
		return 0;
	res = stub_origin(r, &origin);
	if (!res)
		res = check_limits(r, p, origin);
	return res ? res : check_oom_score_adj(r, p);
}

/* ---- restore ------------------------------------------------------------------------------- */

static void add_prlimit(struct call_table *t, size_t i, uint64_t soft, uint64_t hard)
{
	const struct proc_limit limit = {soft, hard};

	call_add(t, limit_names[i], SYS_prlimit64, CALL_IMM(0), CALL_IMM(i),
		 CALL_DATA(call_space(t, &limit, sizeof(limit))), CALL_IMM(0));
}

static int install(struct rebuild *r, struct rebuild_process *p, struct call_table *t)
{
	const struct stub_origin *origin;
	int res;

	res = stub_origin(r, &origin);
	if (res)
		return res;
	for (size_t i = 0; i < p->msg->n_rlimits && i < RLIM_NLIMITS; i++)
		if (p->msg->rlimits[i]->hard > origin->limits[i].hard)
			add_prlimit(t, i, origin->limits[i].soft, p->msg->rlimits[i]->hard);
	return 0;
}

static int install_direct(struct rebuild *r, struct rebuild_process *p)
{
	_cleanup_close_ int proc_fd = -EBADF;
	pid_t pid = p->puppet->tid;
	int res;

	res = proc_open(pid, &proc_fd);
	if (!res)
		res = write_oom_score_adj(proc_fd, p->msg->oom_score_adj);
	return res ? err_sys(r->ctx, res, "writing %d to /proc/%d/oom_score_adj",
			     p->msg->oom_score_adj, pid)
		   : 0;
}

/*
 * With the last calls of the last thread, not with those of the process: after the credentials, as
 * a change of uid while RLIMIT_NPROC is exceeded would make the next execve fail, and after the
 * pending signals of all threads, which count against RLIMIT_SIGPENDING.
 */
static int last_thread(struct rebuild *r, struct rebuild_thread *th, struct call_table *t)
{
	const Coppice__Process *msg = th->process->msg;

	(void)r;
	if (th != &th->process->threads[th->process->n_threads - 1])
		return 0;
	for (size_t i = 0; i < msg->n_rlimits && i < RLIM_NLIMITS; i++)
		add_prlimit(t, i, msg->rlimits[i]->soft, msg->rlimits[i]->hard);
	return 0;
}

const struct task_aspect aspect_limits = {
	.name = "limits",
	.collect = collect,
	.ask = ask,
	.reply = reply,
	.check = check,
	.install = install,
	.install_direct = install_direct,
	.last_thread = last_thread,
};
