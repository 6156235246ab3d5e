/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/collect.h"

#include <limits.h>

#include "checkpoint/collect-steps.h"
#include "checkpoint/outside.h"
#include "file/fdtable.h"
#include "file/hold.h"
#include "file/uring.h"
#include "kernel/proc-ahead.h"
#include "kernel/proc.h"
#include "kernel/view.h"
#include "kind/task.h"
#include "ns/ns.h"
#include "task/share.h"
#include "task/terminal.h"
#include "task/witness.h"
#include "util/cleanup.h"

void collect_init(struct collect *c, struct context *ctx, struct arena *arena,
		  const struct collect_options *opt)
{
	*c = (struct collect){.ctx = ctx,
			      .arena = arena,
			      .opt = *opt,
			      .hide_fd_from = INT_MAX,
			      .hold_fd = hold_reserve()};
}

void collect_deinit(struct collect *c)
{
	c->ahead = proc_ahead_end(c->ahead);
	files_collect_deinit(c);
	files_unhold(c);
	if (c->ctx)
		close_guard(&c->hold_fd);
	c->hold_fd = -EBADF;
	witnesses_free(c->witnesses);
	c->witnesses = NULL;
	kernel_view_free(c->view);
	c->view = NULL;
	for (size_t i = 0; i < c->n_processes; i++)
		close_guard(&c->processes[i].proc_fd);
	c->n_processes = 0;
}

int collect_while(struct collect *c, int r, const struct task_aspect *aspect,
		  const struct collect_process *p, pid_t tid)
{
	if (tid != 0 && tid != p->pid)
		return err_while(c->ctx, r, "collecting %s of thread %d of process %d (%s)",
				 aspect->name, tid, p->pid, p->stat.comm);
	return err_while(c->ctx, r, "collecting %s of process %d (%s)", aspect->name, p->pid,
			 p->stat.comm);
}

static int collect_local(struct collect *c, struct collect_process *p)
{
	for (const struct task_aspect *const *a = task_aspects; *a; a++) {
		int r = (*a)->collect ? (*a)->collect(c, p) : 0;

		if (r < 0)
			return collect_while(c, r, *a, p, 0);
		for (size_t i = 0; (*a)->collect_thread && i < p->n_threads; i++) {
			r = (*a)->collect_thread(c, &p->threads[i]);
			if (r < 0)
				return collect_while(c, r, *a, p, p->threads[i].tid);
		}
	}
	return 0;
}

/* ---- what is read ahead --------------------------------------------------------------------- */

/* In the order in which the aspects want it. */
static const struct proc_wanted wanted_states[] = {
	{.name = "auxv"},
	{.name = "coredump_filter"},
	{.name = "exe", .link = true},
	{.name = "smaps"},
	{.name = "cwd", .link = true},
	{.name = "root", .link = true},
	{.name = "timers"},
	{.name = "ns/cgroup", .link = true},
	{.name = "ns/ipc", .link = true},
	{.name = "ns/mnt", .link = true},
	{.name = "ns/net", .link = true},
	{.name = "ns/pid", .link = true},
	{.name = "ns/pid_for_children", .link = true},
	{.name = "ns/time", .link = true},
	{.name = "ns/time_for_children", .link = true},
	{.name = "ns/user", .link = true},
	{.name = "ns/uts", .link = true},
	{.name = "cgroup"},
	{.name = "loginuid"},
	{.name = "oom_score_adj"},
	{},
};

/* The numbers that nearly everybody has. */
static const struct proc_wanted wanted_files[] = {
	{.name = "fd/0", .link = true},
	{.name = "fdinfo/0"},
	{.name = "fd/1", .link = true},
	{.name = "fdinfo/1"},
	{.name = "fd/2", .link = true},
	{.name = "fdinfo/2"},
	{},
};

/* Without memory for it nothing is read ahead. */
static void read_ahead(struct collect *c, const struct proc_wanted *wanted)
{
	int *fds = arena_new_n(c->arena, int, c->n_processes);

	c->ahead = proc_ahead_end(c->ahead);
	for (size_t i = 0; fds && i < c->n_processes; i++)
		fds[i] = c->processes[i].proc_fd;
	if (fds)
		c->ahead = proc_ahead_start(fds, c->n_processes, wanted);
}

/* ---- the stages ----------------------------------------------------------------------------- */

static int collect_states(struct collect *c)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < c->n_processes; i++) {
		r = cancel_point(c->ctx);
		if (r >= 0)
			r = collect_local(c, &c->processes[i]);
		progress(c->ctx, "collecting", i + 1, c->n_processes);
	}
	return r;
}

static int new_checkpoint(struct collect *c)
{
	c->cp = arena_new(c->arena, Coppice__Checkpoint);
	if (!c->cp)
		return err_oom(c->ctx);
	coppice__checkpoint__init(c->cp);
	return 0;
}

static int collect_files(struct collect *c)
{
	for (size_t i = 0; i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];
		int r;

		if (p->zombie || p->files_owner != p)
			continue;
		r = files_collect(c, p);
		if (r < 0)
			return err_while(c->ctx, r, "collecting the files of process %d (%s)",
					 p->pid, p->stat.comm);
	}
	return files_collect_late(c);
}

int collect_tree(struct collect *c, struct puppet_tree *tree)
{
	int r = new_checkpoint(c);

	if (r < 0)
		return r;
	r = collect_processes(c, tree);
	if (r < 0)
		return r;
	read_ahead(c, wanted_states);
	r = share_collect(c);
	if (r < 0)
		return r;
	r = collect_states(c);
	if (r == 0 && !c->opt.tree_only)
		r = uring_await(c); /* moves offsets, so before any file is read, ahead or not */
	if (r < 0)
		return r;
	read_ahead(c, wanted_files);
	r = ns_collect_late(c);
	if (r < 0)
		return r;
	r = c->opt.tree_only ? 0 : collect_files(c);
	c->ahead = proc_ahead_end(c->ahead);
	if (r < 0)
		return r;
	r = terminals_collect(c);
	if (r < 0)
		return r;
	r = collect_ask(c, tree);
	return r < 0 ? r : outside_mark(c);
}
