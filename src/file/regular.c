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
#include <string.h>
#include <unistd.h>

#include "file/inode-storage.h"
#include "file/inode.h"
#include "file/open.h"
#include "file/regular.h"
#include "file/state.h"
#include "util/cleanup.h"
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

/* What may write to it was opened before chattr; nobody can open it in that way now. */
static int refuse_fixed(struct collect *c, const struct file_probe *probe,
			const Coppice__Inode *inode)
{
	uint32_t flags = probe->info.flags;
	bool immutable, append;
	struct statx stx;

	if ((flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY || inode_needs_content(inode))
		return 0;
	if (statx(probe->fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx) < 0)
		return err_sys(c->ctx, -errno, "statx(%s)", probe->link);
	immutable = stx.stx_attributes & STATX_ATTR_IMMUTABLE;
	append = (stx.stx_attributes & STATX_ATTR_APPEND) && !(flags & O_APPEND);
	if (!immutable && !append)
		return 0;
	return collect_refuse(c, "take the attribute away (chattr -i -a) until it is restored",
			      "%s, fd %d (%s): is open for writing, but has been made %s since",
			      collect_name(c, probe->process), probe->number, probe->link,
			      immutable ? "immutable" : "append-only");
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
	r = refuse_fixed(c, probe, c->cp->inodes[regular->inode - 1]);
	if (r < 0)
		return r;
	if ((file->flags & O_TMPFILE) == O_TMPFILE &&
	    !inode_needs_content(c->cp->inodes[regular->inode - 1]))
		return collect_refuse(c, "open it again by its name, then close this descriptor",
				      "%s, fd %d (%s): made with O_TMPFILE and linked later",
				      collect_name(c, probe->process), probe->number, probe->link);
	return 0;
}

/* Another name of the same file: both, or the file's removed names, are known only now. */
static int collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__RegularFile *regular = file->regular;
	const struct inode_sight sight = {.text = probe->link, .st = probe->st};

	if (strcmp(probe->link, c->files->inode_by_id[regular->inode - 1]->text) == 0)
		return 0;
	regular->unlinked = inode_name_unlinked(&sight);
	regular->path = inode_name(c->arena, &sight);
	return regular->path ? 0 : err_oom(c->ctx);
}

const char *regular_own_path(const Coppice__File *file)
{
	return file->kind_case == COPPICE__FILE__KIND_REGULAR && file->regular->path[0] != '\0'
		       ? file->regular->path
		       : NULL;
}

/* A name that is still there must lead to the same file. */
static int check(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__Inode *inode = rebuild_inode_msg(r, file->regular->inode);
	const char *path = regular_own_path(file);
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (!path || file->regular->unlinked)
		return 0;
	fd = open_path(path, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return rebuild_refuse(r, "put the file back", "%s: cannot be opened (%s)", path,
				      err_name(fd));
	if (fstat(fd, &st) < 0)
		return err_sys(r->ctx, -errno, "fstat(%s)", path);
	if (inode_is_at(r, inode, &st))
		return 0;
	return rebuild_refuse(r, "link the two again (ln)", "%s: is no longer the same file as %s",
			      path, inode->path);
}

int regular_open(struct rebuild *r, const Coppice__File *file, uint32_t inode, int *ret_fd)
{
	struct rebuild_inode *ri = &r->inodes[inode - 1];
	const char *path = regular_own_path(file);
	int *made = &r->files[file->id - 1].fd;
	int fd;

	if (*made >= 0) { /* opened while a deleted file still had its name */
		*ret_fd = *made;
		return 0;
	}
	fd = rebuild_inode_open(r, ri, path, path && file->regular->unlinked, file->flags);
	if (fd < 0)
		return fd;
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
	.collect_late = collect_late,
	.check = check,
	.create = create,
	.describe = describe,
};
