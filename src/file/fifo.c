/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open ends of FIFOs, that is, pipes with a name. The content exists only while somebody has the
 * FIFO open, so it goes into the image like that of a pipe. While the ends are opened again, a
 * descriptor that reads and writes keeps open() from waiting.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file/inode.h"
#include "file/pipe-content.h"
#include "file/pipes.h"
#include "file/state.h"

static bool matches(const struct file_probe *probe)
{
	return S_ISFIFO(probe->st.st_mode) && probe->fs_type != PIPEFS_MAGIC &&
	       !(probe->info.flags & O_PATH);
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__Fifo *fifo = arena_new(c->arena, Coppice__Fifo);
	int r;

	if (!fifo)
		return err_oom(c->ctx);
	coppice__fifo__init(fifo);
	file->fifo = fifo;
	r = inode_collect_fd(c, probe, &fifo->inode);
	if (r < 0)
		return r;
	return pipes_collect(c, probe, file, &fifo->pipe);
}

static int collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	return pipes_collect_late(c, probe, file, &file->fifo->content);
}

static int check(struct rebuild *r, const Coppice__File *file)
{
	return pipes_check(r, file->fifo->content);
}

/* Somebody else's bytes would be mixed with those of the image. */
static int check_empty(struct rebuild *r, const char *path, int fd)
{
	int bytes;

	if (ioctl(fd, FIONREAD, &bytes) < 0)
		return err_sys(r->ctx, -errno, "ioctl(FIONREAD) of %s", path);
	if (bytes > 0)
		return err_msg(r->ctx, -EBUSY, "FIFO %s is in use: there are %d bytes in it", path,
			       bytes);
	return 0;
}

static int make(struct rebuild *r, struct rebuild_pipe *pipe, const struct rebuild_inode *ri)
{
	const char *path = ri->msg->path;
	int fd;

	if (pipe->write_fd >= 0)
		return 0;
	fd = rebuild_inode_open(r, ri, NULL, false, O_RDWR);
	if (fd < 0)
		return fd;
	pipe->write_fd = fd;
	return check_empty(r, path, fd);
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const struct rebuild_inode *ri = &r->inodes[file->fifo->inode - 1];
	struct rebuild_pipe *pipe = pipes_rebuild(r, file->fifo->pipe);
	int made = r->files[file->id - 1].fd; /* opened while a deleted FIFO had its name */
	int result;

	if (!pipe)
		return err_oom(r->ctx);
	result = make(r, pipe, ri);
	if (result < 0)
		return result;
	if (made < 0)
		made = rebuild_inode_open(r, ri, NULL, false, file->flags);
	if (made < 0)
		return made;
	*ret_fd = made;
	return 0;
}

static int connect_content(struct rebuild *r, const Coppice__File *file, int fd)
{
	(void)fd; /* may be an end that reads */
	if (!file->fifo->content)
		return 0;
	return pipe_content_put(r->ctx, file->fifo->content,
				pipes_rebuild(r, file->fifo->pipe)->write_fd);
}

static int rouse(struct rebuild *r, const Coppice__File *file, int fd _unused_, bool on)
{
	return pipes_rouse(r, file->fifo->pipe, on);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "FIFO, inode %u", file->fifo->inode);
}

const struct file_kind kind_fifo = {
	.name = "FIFO",
	.which = COPPICE__FILE__KIND_FIFO,
	.matches = matches,
	.collect = collect,
	.collect_late = collect_late,
	.check = check,
	.create = create,
	.connect = connect_content,
	.rouse = rouse,
	.describe = describe,
};
