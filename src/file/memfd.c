/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open file descriptions of memfds: flags and offset; name, seals and content are the inode's. A
 * memfd on huge pages is one too. memfd_secret() is another kind of file (secretmem) and is refused:
 * nobody but its owner can read it.
 */
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>

#include "file/inode.h"
#include "file/regular.h"

static bool matches(const struct file_probe *probe)
{
	return S_ISREG(probe->st.st_mode) && probe->st.st_nlink == 0 &&
	       (probe->fs_type == TMPFS_MAGIC || probe->fs_type == HUGETLBFS_MAGIC) &&
	       strncmp(probe->link, "/memfd:", strlen("/memfd:")) == 0;
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__MemfdFile *memfd = arena_new(c->arena, Coppice__MemfdFile);

	if (!memfd)
		return err_oom(c->ctx);
	coppice__memfd_file__init(memfd);
	file->memfd = memfd;
	return inode_collect_fd(c, probe, &memfd->inode);
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	return regular_open(r, file, file->memfd->inode, ret_fd);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "memfd, inode %u, offset %ld", file->memfd->inode, file->offset);
}

const struct file_kind kind_memfd = {
	.name = "memfd",
	.which = COPPICE__FILE__KIND_MEMFD,
	.matches = matches,
	.collect = collect,
	.create = create,
	.describe = describe,
};
