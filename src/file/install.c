/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebuilding open files: each open file description is made once, by the coordinator, and sent into
 * every table that refers to it, so that what was shared is shared again.
 *
 * While they are being made all are non-blocking; the flags that F_SETFL sets come last, after the
 * owner (switching O_ASYNC on for a terminal appoints one where there is none).
 */
#include "file/fdtable.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "file/external.h"
#include "file/inode.h"
#include "file/locks.h"
#include "file/open.h"
#include "file/owner.h"
#include "file/pidfd.h"
#include "file/pipes.h"
#include "file/place.h"
#include "file/ptys.h"
#include "file/state.h"
#include "file/unix.h"
#include "util/cleanup.h"

/* "fd 7 (pipe) of process 812 (nginx)" for the first descriptor that refers to the file. */
static int while_restoring(struct rebuild *r, int result, const Coppice__File *file)
{
	const struct file_kind *kind = file_kind_of(file);

	for (size_t i = 0; i < r->n_processes; i++) {
		const struct rebuild_process *p = &r->processes[i];

		for (size_t k = 0; p->fd_table && k < p->fd_table->n_fds; k++)
			if (p->fd_table->fds[k]->file == file->id)
				return err_while(
					r->ctx, result, "restoring fd %u (%s) of process %d (%s)",
					p->fd_table->fds[k]->number, kind ? kind->name : "unknown",
					p->msg->pid[0], p->threads[0].msg->comm);
	}
	return err_while(r->ctx, result, "restoring file %u", file->id);
}

/* ---- check --------------------------------------------------------------------------------- */

static int check_limit(struct rebuild *r)
{
	struct rlimit limit;
	size_t needed = r->n_files + rebuild_inodes_held(r) + pipes_count(r) + 64;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return err_sys(r->ctx, -errno, "getrlimit(RLIMIT_NOFILE)");
	if (needed <= limit.rlim_max)
		return 0;
	return rebuild_refuse(r, "raise the hard limit (ulimit -Hn)",
			      "the image has %zu open files; RLIMIT_NOFILE allows coppice %lu",
			      r->n_files, limit.rlim_max);
}

int rebuild_files_check(struct rebuild *r)
{
	int result = check_limit(r);

	if (result >= 0)
		result = external_check_all(r);
	if (result >= 0)
		result = ptys_check(r);
	for (size_t i = 0; result >= 0 && i < r->n_files; i++) {
		const Coppice__File *file = r->files[i].msg;
		const struct file_kind *kind = file_kind_of(file);

		if (!kind)
			result = rebuild_refuse(r, "use the coppice that made the image",
						"open file %u is of a kind that is not known here",
						file->id);
		else if (kind->check)
			result = kind->check(r, file);
		if (result < 0)
			return while_restoring(r, result, file);
	}
	return result;
}

/* ---- make ---------------------------------------------------------------------------------- */

int rebuild_files_create(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_files; i++) {
		struct rebuild_file *file = &r->files[i];
		int result = file_kind_of(file->msg)->create(r, file->msg, &file->fd);

		if (result < 0)
			return while_restoring(r, result, file->msg);
	}
	for (size_t i = 0; i < r->n_files; i++) {
		struct rebuild_file *file = &r->files[i];
		const struct file_kind *kind = file_kind_of(file->msg);
		int result = kind->connect ? kind->connect(r, file->msg, file->fd) : 0;

		if (result < 0)
			return while_restoring(r, result, file->msg);
	}
	return 0;
}

/* ---- give ---------------------------------------------------------------------------------- */

int rebuild_files_install(struct rebuild *r, struct rebuild_process *p)
{
	const Coppice__FdTable *table = p->fd_table;
	_cleanup_free_ struct fd_place *places = calloc(table->n_fds + 1, sizeof(*places));
	int result;

	if (!places)
		return err_oom(r->ctx);
	for (size_t i = 0; i < table->n_fds; i++)
		places[i] = (struct fd_place){
			.fd = r->files[table->fds[i]->file - 1].fd,
			.number = (int)table->fds[i]->number,
			.cloexec = table->fds[i]->cloexec,
		};
	result = fds_place(r->ctx, r->arena, p->threads[0].puppet, places, table->n_fds);
	if (result < 0)
		return err_while(r->ctx, result, "restoring the descriptors of process %d (%s)",
				 p->msg->pid[0], p->threads[0].msg->comm);
	return 0;
}

int rebuild_inodes_send(struct rebuild *r, struct puppet *first)
{
	_cleanup_free_ struct fd_place *places = calloc(2 * r->n_inodes + 1, sizeof(*places));
	size_t n = 0;
	int result;

	if (!places)
		return err_oom(r->ctx);
	/* in the order in which rebuild_inodes_create gave out the numbers */
	for (size_t i = 0; i < r->n_inodes; i++) {
		const struct rebuild_inode *ri = &r->inodes[i];

		if (ri->map_fd >= 0)
			places[n++] = (struct fd_place){ri->fd, ri->map_fd, true};
		if (ri->map_fd_rw >= 0)
			places[n++] = (struct fd_place){ri->fd_rw, ri->map_fd_rw, true};
	}
	result = fds_place(r->ctx, r->arena, first, places, n);
	return result < 0 ? err_while(r->ctx, result, "sending the files that are mapped") : 0;
}

static void close_file(struct rebuild_file *file)
{
	close_guard(&file->fd);
	file->fd = -EBADF;
}

/* ---- last ---------------------------------------------------------------------------------- */

static int finish_file(struct rebuild *r, const struct rebuild_file *file)
{
	const struct file_kind *kind = file_kind_of(file->msg);
	int result = owner_rebuild(r, file->msg, file->fd);

	if (result < 0)
		return result;
	result = open_set_flags(file->fd, file->msg->flags);
	if (result < 0)
		return err_sys(r->ctx, result, "fcntl(F_SETFL, %#o)", file->msg->flags);
	return kind->last ? kind->last(r, file->msg, file->fd) : 0;
}

int rebuild_files_last(struct rebuild *r)
{
	int result;

	for (size_t i = 0; i < r->n_files; i++) {
		result = finish_file(r, &r->files[i]);
		if (result < 0)
			return while_restoring(r, result, r->files[i].msg);
	}
	for (size_t i = 0; i < r->n_files; i++) {
		const struct rebuild_file *file = &r->files[i];
		const struct file_kind *kind = file_kind_of(file->msg);

		result = kind->watch ? kind->watch(r, file->msg, file->fd) : 0;
		if (result < 0)
			return while_restoring(r, result, file->msg);
	}
	return rebuild_inodes_last(r);
}

int rebuild_files_lock(struct rebuild *r)
{
	int result = locks_rebuild(r);

	/* An end of a pipe or terminal that we kept would hide from a process that it is alone. */
	pipes_rebuild_deinit(r);
	ptys_deinit(r);
	for (size_t i = 0; i < r->n_files; i++)
		if (!file_kind_of(r->files[i].msg)->resume)
			close_file(&r->files[i]);
	return result;
}

/* ---- resume -------------------------------------------------------------------------------- */

int rebuild_files_resume(struct rebuild *r)
{
	/* Whoever watches a file would be told that we close it. */
	rebuild_inodes_deinit(r);
	for (size_t i = 0; i < r->n_files; i++) {
		struct rebuild_file *file = &r->files[i];
		const struct file_kind *kind = file_kind_of(file->msg);
		int result = kind->resume ? kind->resume(r, file->msg, file->fd) : 0;

		if (result < 0)
			return while_restoring(r, result, file->msg);
		close_file(file);
	}
	return 0;
}

void rebuild_files_deinit(struct rebuild *r)
{
	pipes_rebuild_deinit(r);
	pidfd_rebuild_deinit(r);
	ptys_deinit(r);
	unix_rebuild_deinit(r);
	for (size_t i = 0; i < r->n_files; i++)
		close_file(&r->files[i]);
}
