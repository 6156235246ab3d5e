/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/rebuild.h"

#include <errno.h>

#include "checkpoint/origin.h"
#include "file/fdtable.h"
#include "file/hold.h"
#include "file/inode.h"
#include "kernel/proc.h"
#include "kind/task.h"
#include "task/memory.h"
#include "util/cleanup.h"

static const Coppice__Mm *find_mm(const Coppice__Checkpoint *cp, uint32_t id)
{
	return id > 0 && id <= cp->n_mms ? cp->mms[id - 1] : NULL;
}

static const Coppice__FdTable *find_fd_table(const Coppice__Checkpoint *cp, uint32_t id)
{
	return id > 0 && id <= cp->n_fd_tables ? cp->fd_tables[id - 1] : NULL;
}

static const Coppice__Fs *find_fs(const Coppice__Checkpoint *cp, uint32_t id)
{
	return id > 0 && id <= cp->n_fss ? cp->fss[id - 1] : NULL;
}

/* True the first time that table @id is met. @seen has one more element than there are tables. */
static bool first_user(bool *seen, uint32_t id)
{
	bool first = id > 0 && !seen[id];

	seen[id] = true;
	return first;
}

static int init_process(struct rebuild *r, struct rebuild_process *p, const Coppice__Process *msg)
{
	p->msg = msg;
	p->mm = find_mm(r->cp, msg->mm);
	p->fd_table = find_fd_table(r->cp, msg->fd_table);
	p->fs = find_fs(r->cp, msg->fs);
	p->n_threads = msg->n_threads;
	p->threads = arena_new_n(r->arena, struct rebuild_thread, msg->n_threads);
	if (!p->threads)
		return err_oom(r->ctx);
	for (size_t i = 0; i < msg->n_threads; i++) {
		p->threads[i].msg = msg->threads[i];
		p->threads[i].process = p;
	}
	return 0;
}

static int init_processes(struct rebuild *r)
{
	const Coppice__Checkpoint *cp = r->cp;
	bool *mms = arena_new_n(r->arena, bool, cp->n_mms + 1);
	bool *files = arena_new_n(r->arena, bool, cp->n_fd_tables + 1);
	bool *fss = arena_new_n(r->arena, bool, cp->n_fss + 1);
	bool *sighands = arena_new_n(r->arena, bool, cp->n_sighands + 1);

	r->processes = arena_new_n(r->arena, struct rebuild_process, cp->n_processes);
	if (!r->processes || !mms || !files || !fss || !sighands)
		return err_oom(r->ctx);
	for (size_t i = 0; i < cp->n_processes; i++) {
		const Coppice__Process *msg = cp->processes[i];
		struct rebuild_process *p = &r->processes[i];
		int rc = init_process(r, p, msg);

		if (rc < 0)
			return rc;
		p->owns_mm = first_user(mms, msg->mm);
		p->owns_files = first_user(files, msg->fd_table);
		p->owns_fs = first_user(fss, msg->fs);
		p->owns_sighand = first_user(sighands, msg->sighand);
		r->n_processes++;
	}
	return 0;
}

static int init_objects(struct rebuild *r)
{
	const Coppice__Checkpoint *cp = r->cp;

	r->files = arena_new_n(r->arena, struct rebuild_file, cp->n_files);
	r->inodes = arena_new_n(r->arena, struct rebuild_inode, cp->n_inodes);
	if (!r->files || !r->inodes)
		return err_oom(r->ctx);
	for (size_t i = 0; i < cp->n_files; i++)
		r->files[i] = (struct rebuild_file){.msg = cp->files[i], .fd = -EBADF};
	for (size_t i = 0; i < cp->n_inodes; i++)
		r->inodes[i] = (struct rebuild_inode){.msg = cp->inodes[i],
						      .map_fd = -1,
						      .map_fd_rw = -1,
						      .fd = -EBADF,
						      .fd_rw = -EBADF};
	r->user_ns = arena_new_n(r->arena, int, cp->n_user_namespaces);
	if (!r->user_ns)
		return err_oom(r->ctx);
	for (size_t i = 0; i < cp->n_user_namespaces; i++)
		r->user_ns[i] = -EBADF;
	r->n_user_ns = cp->n_user_namespaces;
	r->n_files = cp->n_files;
	r->n_inodes = cp->n_inodes;
	return 0;
}

/* The first number above all that the image uses. */
static int lowest_own_fd(const Coppice__Checkpoint *cp)
{
	uint32_t highest = 2;

	for (size_t i = 0; i < cp->n_fd_tables; i++) {
		const Coppice__FdTable *table = cp->fd_tables[i];

		if (table->n_fds > 0)
			highest = MAX(highest, table->fds[table->n_fds - 1]->number);
	}
	highest = MAX(highest, epoll_highest_number(cp));
	return (int)highest + 1;
}

uint32_t rebuild_slots(const struct rebuild *r)
{
	size_t most = 1;

	for (size_t m = 1; m <= r->cp->n_mms; m++) {
		size_t tasks = 0;

		/* A dead leader needs a slot until it dies. */
		for (size_t i = 0; i < r->n_processes; i++)
			if (r->processes[i].msg->mm == m)
				tasks += r->processes[i].n_threads +
					 r->processes[i].msg->leader_dead;
		most = MAX(most, tasks);
	}
	return (uint32_t)most;
}

int rebuild_init(struct rebuild *r, struct context *ctx, struct arena *arena,
		 const Coppice__Checkpoint *cp, const struct rebuild_options *opt)
{
	int rc;

	*r = (struct rebuild){
		.ctx = ctx, .arena = arena, .cp = cp, .opt = *opt, .hold_fd = hold_reserve()};
	rc = init_processes(r);
	if (rc < 0)
		return rc;
	rc = init_objects(r);
	if (rc < 0)
		return rc;
	r->fd_base = lowest_own_fd(cp);
	/* One slot more: the interpreter's code and what else the area begins with. */
	r->stub_size = (uint64_t)(rebuild_slots(r) + 1) * STUB_SLOT_SIZE;
	return memory_choose_area(ctx, cp, r->stub_size, &r->stub_base);
}

void rebuild_deinit(struct rebuild *r)
{
	rebuild_files_unhold(r, false);
	if (r->ctx)
		close_guard(&r->hold_fd);
	r->hold_fd = -EBADF;
	rebuild_files_deinit(r);
	rebuild_inodes_deinit(r);
	for (size_t i = 0; i < r->n_user_ns; i++)
		close_guard(&r->user_ns[i]);
}

/* ---- can it be restored here --------------------------------------------------------------- */

/* A PID of the image that somebody else has now, said by name. */
static int check_pid(struct rebuild *r, pid_t pid, const char *what)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_stat stat;

	if (proc_open(pid, &fd) < 0 || proc_read_stat(fd, &stat) < 0)
		return 0;
	if (stat.state == 'Z')
		return rebuild_refuse(r, "wait until its parent has collected it",
				      "PID %d, which the image needs for a %s, is in use by "
				      "process %d (%s), a zombie whose parent is process %d",
				      pid, what, stat.pid, stat.comm, stat.ppid);
	return rebuild_refuse(
		r, "wait until it has ended, end it, or restore into a new PID namespace",
		"PID %d, which the image needs for a %s, is in use by process %d (%s)", pid, what,
		stat.pid, stat.comm);
}

/* In a PID namespace of its own nobody else has numbers. */
static bool is_container(const struct rebuild *r)
{
	return r->n_processes > 0 && r->processes[0].msg->pid[0] == 1;
}

static int check_pids(struct rebuild *r)
{
	if (is_container(r))
		return 0;
	for (size_t i = 0; i < r->n_processes; i++) {
		const Coppice__Process *msg = r->processes[i].msg;
		int rc = check_pid(r, msg->pid[0], "process");

		for (size_t k = 0; rc >= 0 && k < msg->n_threads; k++)
			if (msg->threads[k]->tid[0] != msg->pid[0])
				rc = check_pid(r, msg->threads[k]->tid[0], "thread");
		if (rc < 0)
			return rc;
	}
	return 0;
}

int rebuild_check(struct rebuild *r)
{
	int rc = origin_check(r);

	if (rc < 0)
		return rc;
	rc = check_pids(r);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < r->n_processes; i++)
		for (const struct task_aspect *const *a = task_aspects; *a; a++) {
			rc = (*a)->check ? (*a)->check(r, &r->processes[i]) : 0;
			if (rc < 0)
				return rc;
		}
	rc = memory_check(r);
	if (rc < 0)
		return rc;
	rc = rebuild_inodes_check(r);
	if (rc < 0)
		return rc;
	return rebuild_files_check(r);
}
