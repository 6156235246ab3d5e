/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends of anonymous pipes. pipe2() makes one description for either side; a program gets further
 * ones by opening /proc/PID/fd/N, which leaves O_LARGEFILE (on 64-bit) or others in their flags: that
 * tells which way a description came into being, and it is made again in the same way.
 *
 * Capacity, unread bytes, packets (O_DIRECT) and half-closed pipes are kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <unistd.h>

#include "file/open.h"
#include "file/pipe-content.h"
#include "file/pipes.h"
#include "file/state.h"

static bool matches(const struct file_probe *probe)
{
	return S_ISFIFO(probe->st.st_mode) && probe->fs_type == PIPEFS_MAGIC &&
	       !(probe->info.flags & O_PATH);
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__PipeEnd *end = arena_new(c->arena, Coppice__PipeEnd);

	if (!end)
		return err_oom(c->ctx);
	coppice__pipe_end__init(end);
	file->pipe = end;
	end->write_end = writes(file);
	return pipes_collect(c, probe, file, &end->pipe);
}

static int collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	return pipes_collect_late(c, probe, file, &file->pipe->content);
}

static int check(struct rebuild *r, const Coppice__File *file)
{
	return pipes_check(r, file->pipe->content);
}

static int make(struct rebuild *r, struct rebuild_pipe *pipe)
{
	int fds[2];

	if (pipe->read_fd >= 0)
		return 0;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(r->ctx, -errno, "pipe2()");
	pipe->read_fd = fds[0];
	pipe->write_fd = fds[1];
	return 0;
}

/* The end that pipe2() gave, for the first file that was made so. */
static bool *original_end(struct rebuild_pipe *pipe, uint32_t flags, int *ret_fd)
{
	bool *given;

	if ((open_time_flags(flags) & ~(uint32_t)O_ACCMODE) || (flags & O_ACCMODE) == O_RDWR)
		return NULL;
	given = (flags & O_ACCMODE) == O_RDONLY ? &pipe->read_given : &pipe->write_given;
	*ret_fd = (flags & O_ACCMODE) == O_RDONLY ? pipe->read_fd : pipe->write_fd;
	return *given ? NULL : given;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	struct rebuild_pipe *pipe = pipes_rebuild(r, file->pipe->pipe);
	bool *given;
	int fd, result;

	if (!pipe)
		return err_oom(r->ctx);
	result = make(r, pipe);
	if (result < 0)
		return result;
	given = original_end(pipe, file->flags, &fd);
	if (given) {
		*given = true;
	} else {
		fd = open_again(pipe->read_fd, file->flags);
		if (fd < 0)
			return err_sys(r->ctx, fd, "opening the pipe again");
	}
	*ret_fd = fd;
	return 0;
}

static int connect_content(struct rebuild *r, const Coppice__File *file, int fd)
{
	(void)fd; /* may be the end that reads */
	if (!file->pipe->content)
		return 0;
	return pipe_content_put(r->ctx, file->pipe->content,
				pipes_rebuild(r, file->pipe->pipe)->write_fd);
}

static int rouse(struct rebuild *r, const Coppice__File *file, int fd _unused_, bool on)
{
	return pipes_rouse(r, file->pipe->pipe, on);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "pipe %u, %s end", file->pipe->pipe,
		       file->pipe->write_end ? "writing" : "reading");
}

const struct file_kind kind_pipe = {
	.name = "pipe",
	.which = COPPICE__FILE__KIND_PIPE,
	.matches = matches,
	.collect = collect,
	.collect_late = collect_late,
	.check = check,
	.create = create,
	.connect = connect_content,
	.rouse = rouse,
	.describe = describe,
};
