/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mark holds an inode, not a name. fdinfo shows the inode's number, device and, where the file
 * system can, a handle. That is followed to the file, which tells a path; where there is none that
 * leads back to it the handle itself is kept, which is good for this file system only. File systems
 * whose handles cannot be followed (overlayfs, proc) are looked through. A file that is made anew
 * by the restore is found among those of the image.
 */
#include "file/watched.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "file/inode.h"
#include "file/open.h"
#include "file/state.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

union handle_space {
	struct file_handle handle;
	unsigned char room[sizeof(struct file_handle) + FDINFO_HANDLE_MAX];
};

/* O_PATH, or -errno. @mount: a directory of the file system. */
static int open_handle(const char *mount, uint32_t type, const void *bytes, size_t len)
{
	/* an O_PATH descriptor would not do */
	_cleanup_close_ int dir = open_path(mount, O_RDONLY | O_DIRECTORY);
	union handle_space space = {
		.handle = {.handle_bytes = (unsigned int)len, .handle_type = (int)type},
	};
	int fd;

	if (dir < 0)
		return dir;
	if (len > FDINFO_HANDLE_MAX)
		return -EINVAL;
	memcpy(space.handle.f_handle, bytes, len);
	fd = open_by_handle_at(dir, &space.handle, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_named(const char *path)
{
	return open_path(path, O_PATH | O_NOFOLLOW);
}

/* ---- collect ------------------------------------------------------------------------------- */

/* The kernel's dev_t has 20 bits for the minor number. */
static bool is_on(const struct proc_mount *mount, const struct fdinfo_mark *mark)
{
	return mount->dev_major == mark->dev >> 20 && mount->dev_minor == (mark->dev & 0xfffff);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* The path that an O_PATH descriptor tells, if it leads back to the same; or NULL. */
static int path_of(struct collect *c, int fd, char **ret)
{
	_cleanup_close_ int self = -EBADF, again = -EBADF;
	char name[32], *path;
	int r = proc_open(getpid(), &self);

	(void)snprintf(name, sizeof(name), "fd/%d", fd);
	if (r >= 0)
		r = proc_read_link(self, name, c->arena, &path);
	if (r < 0)
		return err_sys(c->ctx, r, "readlink(/proc/self/fd/%d)", fd);
	again = open_named(path);
	*ret = again >= 0 && same_file(fd, again) ? path : NULL;
	return 0;
}

/* The inode of the image, one that is made anew. */
static uint32_t made_anew(const struct collect *c, int fd)
{
	const struct collect_files *files = c->files;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return 0;
	for (size_t i = 0; i < files->n_inodes; i++) {
		const struct inode_node *node = files->inode_by_id[i];

		if (node->dev == st.st_dev && node->ino == st.st_ino && node->msg &&
		    inode_needs_content(node->msg))
			return node->msg->id;
	}
	return 0;
}

/* The same by number alone, for one whose handle leads nowhere as it has no name any more. */
static uint32_t made_anew_by_number(const struct collect *c, const struct fdinfo_mark *mark)
{
	const struct collect_files *files = c->files;

	for (size_t i = 0; i < files->n_inodes; i++) {
		const struct inode_node *node = files->inode_by_id[i];

		if (node->ino == mark->ino && node->msg &&
		    node->dev == makedev(mark->dev >> 20, mark->dev & 0xfffff) &&
		    node->msg->storage == COPPICE__INODE_STORAGE__INODE_STORAGE_DELETED)
			return node->msg->id;
	}
	return 0;
}

static int keep_handle(struct collect *c, const struct fdinfo_mark *mark, const char *mount,
		       Coppice__WatchedInode *msg)
{
	msg->handle_type = mark->handle_type;
	msg->handle.len = mark->handle_len;
	msg->handle.data = arena_memdup(c->arena, mark->handle, mark->handle_len);
	msg->mount = arena_strdup(c->arena, mount);
	return msg->handle.data && msg->mount ? 1 : err_oom(c->ctx);
}

/* 1: the handle leads to it. */
static int follow_handle(struct collect *c, const struct fdinfo_mark *mark, const char *mount,
			 Coppice__WatchedInode *msg)
{
	_cleanup_close_ int fd =
		open_handle(mount, mark->handle_type, mark->handle, mark->handle_len);
	char *path = NULL;
	int r;

	if (fd < 0)
		return 0;
	r = path_of(c, fd, &path);
	if (r < 0)
		return r;
	if (path) {
		msg->path = path;
		return 1;
	}
	msg->inode = made_anew(c, fd);
	return msg->inode ? 1 : keep_handle(c, mark, mount, msg);
}

static int search(struct collect *c, const struct fdinfo_mark *mark, const char *mount,
		  Coppice__WatchedInode *msg)
{
	char *path = NULL;
	int r = watched_find(c, mark, mount, &path);

	if (r < 0 || !path)
		return r;
	msg->path = path;
	return 1;
}

/* Once: there may be thousands of marks, and hundreds of mounts. */
static int read_mounts(struct collect *c, struct proc_mount **ret, size_t *ret_n)
{
	struct collect_files *files = c->files;
	_cleanup_close_ int self = -EBADF;
	int r = files->mounts ? 0 : proc_open(getpid(), &self);

	if (r >= 0 && !files->mounts)
		r = proc_read_mounts(self, c->arena, &files->mounts, &files->n_mounts);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/self/mountinfo");
	*ret = files->mounts;
	*ret_n = files->n_mounts;
	return 0;
}

/* 1: found. First by handle on any of the mounts of the file system, then by looking through. */
static int locate(struct collect *c, const struct fdinfo_mark *mark, Coppice__WatchedInode *msg)
{
	struct proc_mount *mounts;
	size_t n = 0;
	int r = read_mounts(c, &mounts, &n);

	for (size_t i = 0; r == 0 && mark->handle_len > 0 && i < n; i++)
		if (is_on(&mounts[i], mark))
			r = follow_handle(c, mark, mounts[i].point, msg);
	if (r == 0) {
		msg->inode = made_anew_by_number(c, mark);
		r = msg->inode != 0;
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		if (is_on(&mounts[i], mark))
			r = search(c, mark, mounts[i].point, msg);
	return r;
}

int watched_collect(struct collect *c, const struct fdinfo_mark *mark, Coppice__WatchedInode **ret)
{
	Coppice__WatchedInode *msg = arena_new(c->arena, Coppice__WatchedInode);
	int r;

	if (!msg)
		return err_oom(c->ctx);
	coppice__watched_inode__init(msg);
	r = locate(c, mark, msg);
	if (r > 0)
		*ret = msg;
	return r < 0 ? r : 0;
}

/* Nothing else is mounted over it. */
static bool is_reached(const struct proc_mount *mount)
{
	_cleanup_close_ int fd = open_named(mount->point);
	struct statx stx;

	return fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) == 0 &&
	       stx.stx_mnt_id == (uint64_t)mount->id;
}

int watched_mount(struct collect *c, const struct fdinfo_mark *mark, Coppice__WatchedInode **ret)
{
	struct proc_mount *mounts;
	size_t n = 0;
	int r = read_mounts(c, &mounts, &n);

	for (size_t i = 0; r == 0 && i < n; i++) {
		bool is_it = mark->on == MARK_MOUNT ? mounts[i].id == (int)mark->mount
						    : is_on(&mounts[i], mark);

		if (!is_it || !is_reached(&mounts[i]))
			continue;
		*ret = arena_new(c->arena, Coppice__WatchedInode);
		if (!*ret)
			return err_oom(c->ctx);
		coppice__watched_inode__init(*ret);
		(*ret)->path = mounts[i].point;
		break;
	}
	return r;
}

/* ---- rebuild ------------------------------------------------------------------------------- */

int watched_open(const struct rebuild *r, const Coppice__WatchedInode *msg)
{
	if (msg->inode) {
		int fd = fcntl(r->inodes[msg->inode - 1].fd_rw, F_DUPFD_CLOEXEC, 0);

		return fd < 0 ? -errno : fd;
	}
	if (msg->path[0] != '\0')
		return open_named(msg->path);
	return open_handle(msg->mount, msg->handle_type, msg->handle.data, msg->handle.len);
}

int watched_check(struct rebuild *r, const Coppice__WatchedInode *msg, const char *who)
{
	_cleanup_close_ int fd = msg->inode ? -EBADF : watched_open(r, msg);

	if (fd >= 0 || msg->inode)
		return 0;
	return rebuild_refuse(r, "put it back where it was",
			      "%s, which %s watches, is not there (%s)", watched_name(msg), who,
			      err_name(fd));
}

const char *watched_name(const Coppice__WatchedInode *msg)
{
	return msg->path[0] != '\0' ? msg->path : "a file without a name";
}
