/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebuilding inodes: those with a path are looked up and compared, the others are made anew.
 * See inode-make.c for the latter.
 */
#include "file/inode.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file/content-hash.h"
#include "file/inode-handle.h"
#include "file/inode-make.h"
#include "file/named.h"
#include "file/open.h"
#include "file/state.h"
#include "util/cleanup.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Seals that forbid what mapping still has to do: shared writable mappings older than the seal. */
#define LATE_SEALS ((uint32_t)(F_SEAL_FUTURE_WRITE | F_SEAL_SEAL))

static struct timespec ns_timespec(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	if (t.tv_nsec < 0) {
		t.tv_sec--;
		t.tv_nsec += 1000000000;
	}
	return t;
}

/* ---- opening what was found ------------------------------------------------------------------ */

/* O_PATH, owned by the caller; -errno without a chain. */
static int find(const struct rebuild *r, const Coppice__Inode *inode)
{
	if (inode->storage == COPPICE__INODE_STORAGE__INODE_STORAGE_HANDLE)
		return inode_handle_open(r->arena, inode);
	return open_path(inode->path, O_PATH | O_NOFOLLOW);
}

bool inode_is_at(const struct rebuild *r, const Coppice__Inode *inode, const struct stat *st)
{
	_cleanup_close_ int fd = find(r, inode);
	struct stat found;

	return fd >= 0 && fstat(fd, &found) == 0 && found.st_dev == st->st_dev &&
	       found.st_ino == st->st_ino;
}

static int open_by_lost_name(struct rebuild *r, int fd, const char *path, uint32_t flags,
			     int *ret_fd)
{
	_cleanup_(named_deinit) struct named named = {.dir = -EBADF};
	int result = named_link(r, fd, path, &named);

	return result < 0 ? result : named_open(r, &named, flags, ret_fd);
}

int rebuild_inode_open(struct rebuild *r, const struct rebuild_inode *ri, const char *path,
		       bool unlinked, uint32_t flags)
{
	const Coppice__Inode *inode = ri->msg;
	_cleanup_close_ int found = -EBADF;
	int fd = -EBADF;
	int result;

	if (inode_needs_content(inode))
		fd = open_again(ri->fd_rw, flags);
	else if (path && !unlinked)
		fd = open_path(path, flags);
	else if (!path && inode->storage == COPPICE__INODE_STORAGE__INODE_STORAGE_PATH)
		fd = open_path(inode->path, flags);
	if (fd != -EBADF)
		return fd < 0 ? err_sys(r->ctx, fd, "open(%s)", path ? path : inode->path) : fd;

	found = find(r, inode);
	if (found < 0)
		return err_sys(r->ctx, found, "open_by_handle_at(%s)", inode->path);
	if (path || inode->unlinked) {
		result = open_by_lost_name(r, found, path ? path : inode->path, flags, &fd);
		return result < 0 ? result : fd;
	}
	fd = open_again(found, flags);
	return fd < 0 ? err_sys(r->ctx, fd, "open(%s)", inode->path) : fd;
}

/* ---- check --------------------------------------------------------------------------------- */

static int check_hash(struct rebuild *r, const Coppice__Inode *inode)
{
	_cleanup_close_ int found = find(r, inode);
	_cleanup_close_ int fd = found < 0 ? found : open_again(found, O_RDONLY);
	uint64_t hash;
	int result;

	if (fd < 0)
		return rebuild_refuse(r, NULL, "%s: cannot be read (%s)", inode->path,
				      err_name(fd));
	result = content_hash(r->ctx, fd, inode->path, &hash);
	if (result < 0)
		return result;
	if (hash != inode->content_xxh3)
		return rebuild_refuse(r, "put the file back as it was",
				      "%s: its content has changed since the dump", inode->path);
	return 0;
}

static int check_regular(struct rebuild *r, const Coppice__Inode *inode, const struct stat *st)
{
	static const char hint[] = "put the file back as it was, with its modification time";
	int64_t mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;

	if ((uint64_t)st->st_size != inode->size)
		return rebuild_refuse(r, hint,
				      "%s: its size has changed since the dump: %ld, was %lu",
				      inode->path, st->st_size, inode->size);
	if (mtime_ns != inode->mtime_ns)
		return rebuild_refuse(r, hint, "%s: modified %+.3f s later than the dump knows",
				      inode->path, (double)(mtime_ns - inode->mtime_ns) / 1e9);
	if (r->opt.check_content && inode->content_xxh3 != 0)
		return check_hash(r, inode);
	return 0;
}

static int check_path(struct rebuild *r, const Coppice__Inode *inode)
{
	_cleanup_close_ int fd = find(r, inode);
	struct stat st;

	if (fd == -ESTALE)
		return rebuild_refuse(r, NULL, "%s: its last name has been removed since the dump",
				      inode->path);
	if (fd == -ELOOP)
		return rebuild_refuse(r, NULL, "%s: the path leads through a symbolic link now",
				      inode->path);
	if (fd == -ENOENT)
		return rebuild_refuse(r, "put the file back", "%s: is missing", inode->path);
	if (fd < 0)
		return rebuild_refuse(r, NULL, "%s: cannot be opened (%s)", inode->path,
				      err_name(fd));
	if (fstat(fd, &st) < 0)
		return err_sys(r->ctx, -errno, "fstat(%s)", inode->path);
	if ((st.st_mode & S_IFMT) != (inode->mode & S_IFMT) || st.st_rdev != inode->rdev)
		return rebuild_refuse(r, NULL, "%s: is another type of file now", inode->path);
	return S_ISREG(inode->mode) ? check_regular(r, inode, &st) : 0;
}

int rebuild_inodes_check(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_inodes; i++) {
		const Coppice__Inode *inode = r->inodes[i].msg;
		int result = inode_needs_content(inode) ? 0 : check_path(r, inode);

		if (result < 0)
			return result;
	}
	return 0;
}

/* ---- what is mapped ---------------------------------------------------------------------------- */

static void mark_mapped(struct rebuild *r, const Coppice__Mm *mm)
{
	if (mm->exe != 0)
		r->inodes[mm->exe - 1].map_fd = 0;
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const Coppice__Vma *vma = mm->vmas[i];

		if (vma->inode == 0)
			continue;
		if ((vma->open_flags & O_ACCMODE) == O_RDWR)
			r->inodes[vma->inode - 1].map_fd_rw = 0;
		else
			r->inodes[vma->inode - 1].map_fd = 0;
	}
}

static int open_mapped(struct rebuild *r, struct rebuild_inode *ri, uint32_t flags, int *fd)
{
	if (*fd >= 0)
		return 0;
	*fd = rebuild_inode_open(r, ri, NULL, false, flags);
	return *fd < 0 ? err_while(r->ctx, *fd, "opening it to map it") : 0;
}

size_t rebuild_inodes_held(struct rebuild *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->cp->n_mms; i++)
		mark_mapped(r, r->cp->mms[i]);
	for (size_t i = 0; i < r->n_inodes; i++) {
		const struct rebuild_inode *ri = &r->inodes[i];

		n += (ri->map_fd == 0) + (ri->map_fd_rw == 0 || inode_needs_content(ri->msg));
	}
	return n;
}

int rebuild_inodes_create(struct rebuild *r)
{
	int number = r->fd_base + REBUILD_FD_MAPPED;

	for (size_t i = 0; i < r->cp->n_mms; i++)
		mark_mapped(r, r->cp->mms[i]);
	for (size_t i = 0; i < r->n_inodes; i++) {
		struct rebuild_inode *ri = &r->inodes[i];
		int result = inode_needs_content(ri->msg) ? inode_make(r, ri) : 0;

		if (result >= 0 && ri->map_fd == 0) {
			ri->map_fd = number++;
			result = open_mapped(r, ri, O_RDONLY, &ri->fd);
		}
		if (result >= 0 && ri->map_fd_rw == 0) {
			ri->map_fd_rw = number++;
			result = open_mapped(r, ri, O_RDWR, &ri->fd_rw);
		}
		if (result < 0)
			return err_while(r->ctx, result, "restoring file %s", ri->msg->path);
	}
	return 0;
}

/* ---- attributes -------------------------------------------------------------------------------- */

static int set_seals(struct rebuild *r, const struct rebuild_inode *ri, uint32_t seals)
{
	if (seals != 0 && fcntl(ri->fd_rw, F_ADD_SEALS, (int)seals) < 0)
		return err_sys(r->ctx, -errno, "fcntl(F_ADD_SEALS, %#x) of memfd %s", seals,
			       ri->msg->name);
	return 0;
}

static int set_attributes(struct rebuild *r, const struct rebuild_inode *ri)
{
	const Coppice__Inode *inode = ri->msg;
	int fd = ri->fd_rw;

	if (fchown(fd, inode->uid, inode->gid) < 0)
		return err_sys(r->ctx, -errno, "fchown(%u, %u)", inode->uid, inode->gid);
	if (fchmod(fd, inode->mode & 07777) < 0)
		return err_sys(r->ctx, -errno, "fchmod(%#o)", inode->mode & 07777);
	/* after chown, which takes file capabilities away */
	for (size_t i = 0; i < inode->n_xattrs; i++) {
		const Coppice__Xattr *xattr = inode->xattrs[i];

		if (fsetxattr(fd, xattr->name, xattr->value.data, xattr->value.len, 0) < 0)
			return err_sys(r->ctx, -errno, "fsetxattr(\"%s\")", xattr->name);
	}
	if (!S_ISFIFO(inode->mode)) {
		const struct timespec times[2] = {ns_timespec(inode->atime_ns),
						  ns_timespec(inode->mtime_ns)};

		if (futimens(fd, times) < 0)
			return err_sys(r->ctx, -errno, "futimens()");
	}
	return set_seals(r, ri, inode->seals & ~LATE_SEALS);
}

int rebuild_inodes_finish(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_inodes; i++) {
		const struct rebuild_inode *ri = &r->inodes[i];
		int result;

		if (!inode_needs_content(ri->msg))
			continue;
		result = set_attributes(r, ri);
		if (result < 0)
			return err_while(r->ctx, result, "restoring file %s", ri->msg->path);
	}
	return 0;
}

/* An immutable file can be opened for writing no more: after all else. */
static int set_fs_flags(struct rebuild *r, const struct rebuild_inode *ri)
{
	int flags = 0;

	if (!inode_needs_content(ri->msg) || ioctl(ri->fd_rw, FS_IOC_GETFLAGS, &flags) < 0)
		return 0;
	if (((uint32_t)flags & FS_FL_USER_MODIFIABLE) == ri->msg->fs_flags)
		return 0;
	flags = (int)(((uint32_t)flags & ~FS_FL_USER_MODIFIABLE) | ri->msg->fs_flags);
	return ioctl(ri->fd_rw, FS_IOC_SETFLAGS, &flags) < 0
		       ? err_sys(r->ctx, -errno, "ioctl(FS_IOC_SETFLAGS, %#x) of %s",
				 ri->msg->fs_flags, ri->msg->path)
		       : 0;
}

int rebuild_inodes_last(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_inodes; i++) {
		const struct rebuild_inode *ri = &r->inodes[i];
		int result = set_seals(r, ri, ri->msg->seals & LATE_SEALS);

		if (result >= 0)
			result = set_fs_flags(r, ri);
		if (result < 0)
			return result;
	}
	return 0;
}

void rebuild_inodes_deinit(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_inodes; i++) {
		close_guard(&r->inodes[i].fd);
		close_guard(&r->inodes[i].fd_rw);
		r->inodes[i].fd = -EBADF;
		r->inodes[i].fd_rw = -EBADF;
	}
}
