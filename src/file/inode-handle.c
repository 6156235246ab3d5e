/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handle holds inode number and generation, so a file that took the number of a dead one is not
 * taken for it. It is valid within its file system, for which some open directory of it has to
 * stand: the nearest one above the file's old path (another may be mounted between). Overlayfs gives none unless mounted with nfs_export=on.
 * Following one needs CAP_DAC_READ_SEARCH.
 */
#include "file/inode-handle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "file/open.h"
#include "util/cleanup.h"

union handle_space {
	struct file_handle handle;
	unsigned char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

/* -ESTALE also where @dir is on another file system. */
static int open_handle(const char *dir, struct file_handle *handle)
{
	/* an O_PATH descriptor would not do */
	_cleanup_close_ int dir_fd = open_path(dir, O_RDONLY | O_DIRECTORY);
	int fd;

	if (dir_fd < 0)
		return dir_fd;
	fd = open_by_handle_at(dir_fd, handle, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int inode_handle_open(struct arena *arena, const Coppice__Inode *msg)
{
	union handle_space space = {.handle = {.handle_type = msg->handle_type}};
	char *dir = arena_strdup(arena, msg->path);
	int fd = -ESTALE;
	char *slash;

	if (!dir)
		return -ENOMEM;
	if (msg->handle.len > MAX_HANDLE_SZ)
		return -EINVAL;
	space.handle.handle_bytes = (unsigned int)msg->handle.len;
	memcpy(space.handle.f_handle, msg->handle.data, msg->handle.len);
	while ((fd == -ENOENT || fd == -ESTALE) && (slash = strrchr(dir, '/'))) {
		*slash = '\0';
		fd = open_handle(slash == dir ? "/" : dir, &space.handle);
	}
	return fd;
}

int inode_handle_collect(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg)
{
	union handle_space space = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	int mount;

	if (name_to_handle_at(AT_FDCWD, sight->magic, &space.handle, &mount, AT_SYMLINK_FOLLOW) < 0)
		return 0;
	msg->handle_type = space.handle.handle_type;
	msg->handle.len = space.handle.handle_bytes;
	msg->handle.data = arena_memdup(c->arena, space.handle.f_handle, msg->handle.len);
	if (!msg->handle.data)
		return err_oom(c->ctx);
	fd = inode_handle_open(c->arena, msg);
	return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == sight->st.st_dev &&
	       st.st_ino == sight->st.st_ino;
}
