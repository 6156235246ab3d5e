/* SPDX-License-Identifier: Apache-2.0 */
#include "file/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "file/leases.h"
#include "file/lock-line.h"
#include "file/lock-mapped.h"
#include "file/state.h"
#include "kernel/scan.h"
#include "util/cleanup.h"
#include "util/io.h"

#define POSIX COPPICE__FILE_LOCK__KIND__POSIX
#define OFD   COPPICE__FILE_LOCK__KIND__OFD
#define FLOCK COPPICE__FILE_LOCK__KIND__FLOCK
#define LEASE COPPICE__FILE_LOCK__KIND__LEASE

/* ---- collect -------------------------------------------------------------------------------- */

/* A POSIX lock shows on every number of the description; it was taken with the first of them. */
static bool seen_by_other_number(const struct collect *c, const struct collect_process *p,
				 int number, uint32_t file)
{
	const Coppice__Checkpoint *cp = c->cp;

	for (size_t i = cp->n_file_locks; i-- > 0 && cp->file_locks[i]->process == p->msg->id;)
		if (cp->file_locks[i]->kind == POSIX && cp->file_locks[i]->file == file)
			return cp->file_locks[i]->fd_number != (uint32_t)number;
	return false;
}

static int add_lock(struct collect *c, struct collect_process *p, int number, uint32_t file,
		    const struct lock_line *line)
{
	Coppice__Checkpoint *cp = c->cp;
	Coppice__FileLock *lock = arena_new(c->arena, Coppice__FileLock);
	Coppice__FileLock **slot;

	slot = arena_append(c->arena, &cp->file_locks, &cp->n_file_locks, sizeof(*slot));
	if (!lock || !slot)
		return err_oom(c->ctx);
	coppice__file_lock__init(lock);
	*slot = lock;
	lock->kind = line->kind;
	lock->file = file;
	lock->process = p->msg->id;
	lock->fd_number = (uint32_t)number;
	lock->write = line->write;
	if (line->breaking) { /* see leases.c */
		uint32_t flags = c->cp->files[file - 1]->flags;

		lock->breaking = true;
		lock->to_read = !line->write && !line->unlock;
		lock->write = lock->to_read || (flags & O_ACCMODE) != O_RDONLY;
	}
	lock->start = line->start;
	lock->length = line->length;
	return 0;
}

/* The lock's file is not there at restore; those of what the user gives then are not ours. */
static int refuse_foreign(struct collect *c, struct collect_process *p, int number,
			  const struct file_node *node, const struct proc_fdinfo *info)
{
	if (c->rebuilt || !strstr(info->rest, "lock:\t"))
		return 0;
	return collect_refuse(c, "give the lock up before the dump",
			      "%s, fd %d (%s): has a lock on a file that belongs to the outside",
			      collect_name(c, p), number, node->probe.link);
}

int locks_collect(struct collect *c, struct collect_process *p, int number,
		  const struct file_node *node, const struct proc_fdinfo *info)
{
	bool first_number = node->probe.process == p && node->probe.number == number;
	const char *at = info->rest;

	if (node->kind->foreign)
		return refuse_foreign(c, p, number, node, info);
	for (; *at != '\0'; at = scan_next_line(at)) {
		struct lock_line line = {};
		int r;

		if (!scan_literal(&at, "lock:\t"))
			continue;
		r = lock_parse(at, &line);
		if (r < 0)
			return err_msg(c->ctx, r, "no lock that is known: %.*s",
				       (int)(scan_line_end(at) - at), at);
		r = lock_shown(c, &line);
		if (r < 0)
			return r;
		if (line.deleg)
			r = collect_refuse(c, "give it up before the dump (F_SETDELEG)",
					   "%s, fd %d (%s): delegations are not supported",
					   collect_name(c, p), number, node->probe.link);
		else if (line.kind == POSIX ? !seen_by_other_number(c, p, number, node->msg->id)
					    : first_number)
			r = add_lock(c, p, number, node->msg->id, &line);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- rebuild -------------------------------------------------------------------------------- */

uint32_t lock_ask(struct call_table *t, const Coppice__FileLock *lock, int number)
{
	int type = lock->write ? F_WRLCK : F_RDLCK;
	struct flock flock = {
		.l_type = (short)type,
		.l_whence = SEEK_SET,
		.l_start = lock->start,
		.l_len = lock->length,
	};
	uint32_t index;

	if (lock->kind == FLOCK)
		index = call_add(t, "flock()", SYS_flock, CALL_IMM(number),
				 CALL_IMM((lock->write ? LOCK_EX : LOCK_SH) | LOCK_NB));
	else if (lock->kind == LEASE)
		index = call_add(t, "fcntl(F_SETLEASE)", SYS_fcntl, CALL_IMM(number),
				 CALL_IMM(F_SETLEASE), CALL_IMM(type));
	else
		index = call_add(t, lock->kind == OFD ? "fcntl(F_OFD_SETLK)" : "fcntl(F_SETLK)",
				 SYS_fcntl, CALL_IMM(number),
				 CALL_IMM(lock->kind == OFD ? F_OFD_SETLK : F_SETLK),
				 CALL_DATA(call_space(t, &flock, sizeof(flock))));
	return index;
}

static bool overlaps(const Coppice__FileLock *lock, const struct lock_line *line)
{
	if (lock->length != 0 && lock->start + lock->length <= line->start)
		return false;
	return line->length == 0 || line->start + line->length > lock->start;
}

static bool conflicts(const Coppice__FileLock *lock, const struct lock_line *line,
		      const struct stat *st)
{
	return !line->waits && line->ino == st->st_ino && line->dev_major == major(st->st_dev) &&
	       line->dev_minor == minor(st->st_dev) && (lock->write || line->write) &&
	       (line->kind == FLOCK) == (lock->kind == FLOCK) && overlaps(lock, line);
}

/* Who holds what stands in the way: the PID that /proc/locks gives; 0: it does not tell. */
static pid_t find_holder(const Coppice__FileLock *lock, int fd)
{
	_cleanup_free_ char *text = NULL;
	struct lock_line line;
	struct stat st;
	size_t len;

	if (fstat(fd, &st) < 0 || io_read_file(AT_FDCWD, "/proc/locks", &text, &len) < 0)
		return 0;
	for (const char *at = text; *at != '\0'; at = scan_next_line(at))
		if (lock_parse(at, &line) == 0 && conflicts(lock, &line, &st))
			return line.pid;
	return 0;
}

/* Frames for "fcntl(F_SETLK): EAGAIN": which lock, and who holds it. */
static int lock_failed(struct rebuild *r, const Coppice__FileLock *lock, const char *what,
		       int error)
{
	pid_t holder = find_holder(lock, r->files[lock->file - 1].fd);
	_cleanup_close_ int proc_fd = -EBADF;
	struct proc_stat stat;

	if (lock->kind == FLOCK || lock->kind == LEASE)
		(void)err_sys(r->ctx, error, "%s", what);
	else
		(void)err_sys(r->ctx, error, "%s, from byte %ld, %ld bytes (0: all)", what,
			      lock->start, lock->length);
	if (error != -EAGAIN && error != -EACCES)
		return error;
	if (lock->kind == LEASE)
		return err_while(r->ctx, error, "taking a lease on a file that others have open");
	if (holder <= 0)
		return err_while(r->ctx, error, "taking a lock that somebody else holds now");
	if (proc_open(holder, &proc_fd) < 0 || proc_read_stat(proc_fd, &stat) < 0)
		return err_while(r->ctx, error, "taking a lock that process %d holds now", holder);
	return err_while(r->ctx, error, "taking a lock that process %d (%s) holds now", holder,
			 stat.comm);
}

/* All locks of one process stand together in the image; they are taken in one table. */
static int rebuild_some(struct rebuild *r, size_t first, size_t n)
{
	Coppice__FileLock **locks = r->cp->file_locks + first;
	const struct rebuild_process *p = &r->processes[locks[0]->process - 1];
	struct call_table t;
	int result;

	call_table_init(&t, r->arena);
	/* Closing these later would drop the locks on files that are mapped as well. */
	(void)call_add(&t, "closing mapped files", SYS_close_range,
		       CALL_IMM(r->fd_base + REBUILD_FD_MAPPED), CALL_IMM(UINT32_MAX));
	for (size_t i = 0; i < n; i++)
		call_expect_any(&t, lock_ask(&t, locks[i], (int)locks[i]->fd_number));
	result = puppet_run(r->ctx, p->threads[0].puppet, &t);
	if (result < 0)
		return err_while(r->ctx, result, "restoring the locks of process %d (%s)",
				 p->msg->pid[0], p->threads[0].msg->comm);
	for (size_t i = 0; i < n; i++) {
		int64_t got = call_result(&t, (uint32_t)i + 1);

		if (got >= 0)
			continue;
		result = lock_failed(r, locks[i], t.calls[i + 1].what, (int)got);
		return err_while(r->ctx, result, "restoring the locks of fd %u of process %d (%s)",
				 locks[i]->fd_number, p->msg->pid[0], p->threads[0].msg->comm);
	}
	return 0;
}

int locks_rebuild(struct rebuild *r)
{
	const Coppice__Checkpoint *cp = r->cp;
	int prepared = leases_prepare(r);
	size_t end;

	if (prepared >= 0)
		prepared = locks_mapped_rebuild(r);
	if (prepared < 0)
		return prepared;

	for (size_t first = 0; first < cp->n_file_locks; first = end) {
		int result;

		for (end = first + 1; end < cp->n_file_locks; end++)
			if (cp->file_locks[end]->process != cp->file_locks[first]->process ||
			    cp->file_locks[end]->inode != 0)
				break;
		if (cp->file_locks[first]->inode != 0)
			continue;
		result = rebuild_some(r, first, end - first);
		if (result < 0)
			return result;
	}
	return leases_settle(r);
}
