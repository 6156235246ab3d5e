/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open file descriptions of regular files and directories, and of anything opened with O_PATH:
 * flags and offset here, the file itself in inode.h.
 *
 * Files of pseudo file systems (/proc, sysfs, cgroupfs, namespaces, ...) stand for kernel objects
 * and are not this kind. A file that was made with O_TMPFILE and got a name later cannot be opened
 * again with that flag, which F_GETFL shows: refused.
 *
 * An offset in a directory is the file system's own position: it is right as long as the directory
 * is on the same file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <unistd.h>

#include "file/inode.h"
#include "file/open.h"
#include "file/regular.h"
#include "util/macro.h"

static bool is_pseudo(uint64_t fs_type)
{
	static const uint64_t pseudo[] = {
		PROC_SUPER_MAGIC,
		SYSFS_MAGIC,
		DEBUGFS_MAGIC,
		TRACEFS_MAGIC,
		NSFS_MAGIC,
		SOCKFS_MAGIC,
		PIPEFS_MAGIC,
		ANON_INODE_FS_MAGIC,
		CGROUP_SUPER_MAGIC,
		CGROUP2_SUPER_MAGIC,
		SECURITYFS_MAGIC,
		SELINUX_MAGIC,
		SMACK_MAGIC,
		BPF_FS_MAGIC,
		BINDERFS_SUPER_MAGIC,
		EFIVARFS_MAGIC,
		0x50494446 /* pidfs */,
		0x19800202 /* mqueue */,
	};

	for (size_t i = 0; i < ARRAY_SIZE(pseudo); i++)
		if (pseudo[i] == fs_type)
			return true;
	return false;
}

static bool matches(const struct file_probe *probe)
{
	if (is_pseudo(probe->fs_type))
		return false;
	return (probe->info.flags & O_PATH) || S_ISREG(probe->st.st_mode) ||
	       S_ISDIR(probe->st.st_mode);
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__RegularFile *regular = arena_new(c->arena, Coppice__RegularFile);
	int r;

	if (!regular)
		return err_oom(c->ctx);
	coppice__regular_file__init(regular);
	file->regular = regular;
	r = inode_collect_fd(c, probe, &regular->inode);
	if (r < 0 || regular->inode == 0)
		return r;
	if ((file->flags & O_TMPFILE) == O_TMPFILE &&
	    !inode_needs_content(c->cp->inodes[regular->inode - 1]))
		return collect_refuse(c, "open it again by its name, then close this descriptor",
				      "%s, fd %d (%s): made with O_TMPFILE and linked later",
				      collect_name(c, probe->process), probe->number, probe->link);
	return 0;
}

int regular_open(struct rebuild *r, const Coppice__File *file, uint32_t inode, int *ret_fd)
{
	struct rebuild_inode *ri = &r->inodes[inode - 1];
	int *made = &r->files[file->id - 1].fd;
	int fd;

	if (*made >= 0) { /* opened while a deleted file still had its name */
		*ret_fd = *made;
		return 0;
	}
	fd = inode_needs_content(ri->msg) ? open_again(ri->fd_rw, file->flags)
					  : open_path(ri->msg->path, file->flags);
	if (fd < 0)
		return err_sys(r->ctx, fd, "open(%s)", ri->msg->path);
	*made = fd;
	if (file->offset != 0 && lseek(fd, file->offset, SEEK_SET) < 0)
		return err_sys(r->ctx, -errno, "lseek(%s, %ld)", ri->msg->path, file->offset);
	*ret_fd = fd;
	return 0;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	return regular_open(r, file, file->regular->inode, ret_fd);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "file, inode %u, offset %ld", file->regular->inode, file->offset);
}

const struct file_kind kind_regular = {
	.name = "regular file",
	.which = COPPICE__FILE__KIND_REGULAR,
	.matches = matches,
	.collect = collect,
	.create = create,
	.describe = describe,
};
