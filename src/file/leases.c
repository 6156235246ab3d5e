/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lease tells its holder by a signal that somebody else opens the file, and makes that one wait
 * until it is given up, or fs.lease-break-time is over. It belongs to the description, but the
 * number that the signal's si_fd shows is the one it was taken by; so each holder takes its own
 * again. F_SETLEASE appoints an owner for signals where there is none; the image's is set afterwards.
 *
 * A lease that is being broken shows what it is to become, not what it was: that one may write if the
 * description may, or if it is to become one that reads. It is broken again by an open() of ours, while
 * nobody is the owner, so that no signal is sent twice; the time to give it up starts anew. Whoever
 * waits in open() inside the tree restarts that call and waits again; outside, the tree's death
 * lets go.
 *
 * A write lease suffers no other open description (check_conflicting_open(), fs/locks.c). A mapping
 * that is restored has one of its own: a file that is mapped as well is refused.
 */
#include "file/leases.h"

#include <errno.h>
#include <fcntl.h>

#include "file/open.h"
#include "file/owner.h"
#include "file/state.h"
#include "util/cleanup.h"

static bool is_lease(const Coppice__FileLock *lock)
{
	return lock->kind == COPPICE__FILE_LOCK__KIND__LEASE;
}

/* ---- collect -------------------------------------------------------------------------------- */

static bool is_mapped(const Coppice__Checkpoint *cp, uint32_t inode)
{
	for (size_t i = 0; i < cp->n_mms; i++)
		for (size_t k = 0; k < cp->mms[i]->n_vmas; k++)
			if (cp->mms[i]->vmas[k]->inode == inode)
				return true;
	return false;
}

int leases_collect_late(struct collect *c)
{
	const Coppice__Checkpoint *cp = c->cp;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < cp->n_file_locks; i++) {
		const Coppice__FileLock *lock = cp->file_locks[i];
		uint32_t inode = is_lease(lock) ? file_inode(cp->files[lock->file - 1]) : 0;

		if (inode != 0 && lock->write && is_mapped(cp, inode))
			r = collect_refuse(c, "give the lease up before the dump (F_SETLEASE)",
					   "%s, fd %u (%s): has a write lease and is mapped",
					   collect_name(c, &c->processes[lock->process - 1]),
					   lock->fd_number, cp->inodes[inode - 1]->path);
	}
	return r;
}

/* ---- rebuild -------------------------------------------------------------------------------- */

int leases_prepare(struct rebuild *r)
{
	for (size_t i = 0; i < r->cp->n_file_locks; i++) {
		const Coppice__FileLock *lock = r->cp->file_locks[i];
		struct rebuild_inode *ri;

		if (!is_lease(lock))
			continue;
		ri = &r->inodes[file_inode(r->files[lock->file - 1].msg) - 1];
		close_guard(&ri->fd);
		close_guard(&ri->fd_rw);
		ri->fd = ri->fd_rw = -EBADF;
	}
	return 0;
}

static int break_lease(struct rebuild *r, const Coppice__FileLock *lock, int fd)
{
	_cleanup_close_ int breaker = open_again(fd, lock->to_read ? O_RDONLY : O_WRONLY);

	if (breaker >= 0)
		return err_msg(r->ctx, -EPROTO, "the lease did not stand in the way of open()");
	return breaker == -EWOULDBLOCK ? 0 : err_sys(r->ctx, breaker, "open() to break the lease");
}

static int settle(struct rebuild *r, const Coppice__FileLock *lock)
{
	const struct f_owner_ex nobody = {.type = F_OWNER_PID};
	const struct rebuild_file *file = &r->files[lock->file - 1];
	int result;

	if (fcntl(file->fd, F_SETOWN_EX, &nobody) < 0)
		return err_sys(r->ctx, -errno, "fcntl(F_SETOWN_EX)");
	result = lock->breaking ? break_lease(r, lock, file->fd) : 0;
	return result < 0 ? result : owner_rebuild(r, file->msg, file->fd);
}

int leases_settle(struct rebuild *r)
{
	for (size_t i = 0; i < r->cp->n_file_locks; i++) {
		const Coppice__FileLock *lock = r->cp->file_locks[i];
		int result = is_lease(lock) ? settle(r, lock) : 0;

		if (result < 0)
			return err_while(r->ctx, result, "restoring the lease of fd %u",
					 lock->fd_number);
	}
	return 0;
}
