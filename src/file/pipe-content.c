/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tee(2) makes a second pipe refer to the same pages; reading that one consumes nothing of the
 * first. Buffers keep their "packet" mark (fs/pipe.c, PIPE_BUF_FLAG_PACKET), which a write to an
 * O_DIRECT end sets: a read returns one packet and throws away what does not fit. That is how one
 * can see the mark: reading one byte of a packet makes more than one byte disappear.
 *
 * A pipe that holds both packets and plain bytes (its flag was changed with bytes in it) shows the
 * border between them only as a packet that is too long; where it is that, it is refused.
 */
#include "file/pipe-content.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file/pipe-pair.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/macro.h"

static int queued(struct context *ctx, int fd, size_t *ret)
{
	int bytes;

	if (ioctl(fd, FIONREAD, &bytes) < 0)
		return err_sys(ctx, -errno, "ioctl(FIONREAD) of a pipe");
	*ret = (size_t)bytes;
	return 0;
}

/* A second pipe with the same content. */
static int copy_pipe(struct context *ctx, int fd, uint32_t capacity, size_t bytes,
		     struct pipe_pair *ret)
{
	ssize_t n;
	int r = pipe_pair_init(ctx, ret);

	if (r < 0)
		return r;
	if (fcntl(ret->fd[1], F_SETPIPE_SZ, capacity) < 0)
		return err_sys(ctx, -errno, "fcntl(F_SETPIPE_SZ, %u)", capacity);
	n = tee(fd, ret->fd[1], bytes, SPLICE_F_NONBLOCK);
	if (n < 0)
		return err_sys(ctx, -errno, "tee()");
	if ((size_t)n != bytes)
		return err_msg(ctx, -EIO, "tee() gave %zd of %zu bytes in a pipe", n, bytes);
	return 0;
}

/* What a read of @want bytes takes away; the copy is used up by it. */
static int try_read(struct context *ctx, int fd, uint32_t capacity, size_t bytes, size_t want,
		    size_t *ret_got, size_t *ret_gone)
{
	_cleanup_(pipe_pair_deinit) struct pipe_pair copy = {{-EBADF, -EBADF}};
	char buf[2];
	size_t left = 0;
	ssize_t n;
	int r;

	r = copy_pipe(ctx, fd, capacity, bytes, &copy);
	if (r < 0)
		return r;
	n = read(copy.fd[0], buf, want);
	if (n < 0)
		return err_sys(ctx, -errno, "read() of a copied pipe");
	r = queued(ctx, copy.fd[0], &left);
	if (r < 0)
		return r;
	*ret_got = (size_t)n;
	*ret_gone = bytes - left;
	return 0;
}

static int is_packets(struct context *ctx, int fd, uint32_t capacity, size_t bytes, bool *ret)
{
	size_t got = 0, gone = 0;
	int r = 0;

	*ret = false;
	if (bytes < 2) /* for a reader, one byte alone is the same either way */
		return 0;
	r = try_read(ctx, fd, capacity, bytes, 1, &got, &gone);
	if (r >= 0 && gone == 1) /* a packet of one byte ends a read of two */
		r = try_read(ctx, fd, capacity, bytes, 2, &got, &gone);
	*ret = r >= 0 && (gone > 2 || got == 1);
	return r;
}

static int read_bytes(struct context *ctx, int fd, Coppice__PipeContent *content)
{
	for (size_t done = 0; done < content->data.len;) {
		ssize_t n = read(fd, content->data.data + done, content->data.len - done);

		if (n <= 0)
			return err_sys(ctx, n < 0 ? -errno : -EIO, "read() of a copied pipe");
		done += (size_t)n;
	}
	return 0;
}

static int read_packets(struct context *ctx, struct arena *arena, int fd,
			Coppice__PipeContent *content)
{
	for (size_t done = 0; done < content->data.len;) {
		ssize_t n = read(fd, content->data.data + done, content->data.len - done);
		uint32_t *length;

		if (n <= 0)
			return err_sys(ctx, n < 0 ? -errno : -EIO, "read() of a copied pipe");
		if (n > PIPE_BUF)
			return err_msg(ctx, -EOPNOTSUPP, "a pipe holds both packets and bytes");
		length = arena_append(arena, &content->packets, &content->n_packets,
				      sizeof(*length));
		if (!length)
			return err_oom(ctx);
		*length = (uint32_t)n;
		done += (size_t)n;
	}
	return 0;
}

int pipe_content_take(struct context *ctx, struct arena *arena, int fd,
		      Coppice__PipeContent **ret_content)
{
	_cleanup_(pipe_pair_deinit) struct pipe_pair copy = {{-EBADF, -EBADF}};
	Coppice__PipeContent *content = arena_new(arena, Coppice__PipeContent);
	int capacity = fcntl(fd, F_GETPIPE_SZ);
	bool packets;
	int r;

	if (!content)
		return err_oom(ctx);
	coppice__pipe_content__init(content);
	if (capacity < 0)
		return err_sys(ctx, -errno, "fcntl(F_GETPIPE_SZ)");
	content->capacity = (uint32_t)capacity;
	r = queued(ctx, fd, &content->data.len);
	if (r < 0)
		return r;
	*ret_content = content;
	if (content->data.len == 0)
		return 0;
	content->data.data = arena_alloc(arena, content->data.len);
	if (!content->data.data)
		return err_oom(ctx);
	r = is_packets(ctx, fd, content->capacity, content->data.len, &packets);
	if (r < 0)
		return r;
	r = copy_pipe(ctx, fd, content->capacity, content->data.len, &copy);
	if (r < 0)
		return r;
	return packets ? read_packets(ctx, arena, copy.fd[0], content)
		       : read_bytes(ctx, copy.fd[0], content);
}

/* ---- back ---------------------------------------------------------------------------------- */

static int set_capacity(struct context *ctx, int fd, uint32_t capacity)
{
	int r;

	if (fcntl(fd, F_GETPIPE_SZ) == (int)capacity || fcntl(fd, F_SETPIPE_SZ, capacity) >= 0)
		return 0;
	r = err_sys(ctx, -errno, "fcntl(F_SETPIPE_SZ, %u)", capacity);
	return r == -EPERM ? err_hint(ctx, r, "raise /proc/sys/fs/pipe-max-size") : r;
}

static int write_whole(struct context *ctx, int fd, const unsigned char *data, size_t len)
{
	ssize_t n = write(fd, data, len);

	if (n < 0)
		return err_sys(ctx, -errno, "write() of %zu bytes to a pipe", len);
	if ((size_t)n != len)
		return err_msg(ctx, -EIO, "a new pipe took %zd of %zu bytes", n, len);
	return 0;
}

static int write_packets(struct context *ctx, const Coppice__PipeContent *content, int fd)
{
	size_t done = 0;

	if (fcntl(fd, F_SETFL, O_DIRECT | O_NONBLOCK) < 0)
		return err_sys(ctx, -errno, "fcntl(F_SETFL, O_DIRECT) of a pipe");
	for (size_t i = 0; i < content->n_packets; i++) {
		size_t len = content->packets[i];
		int r;

		if (len > content->data.len - done)
			return err_msg(ctx, -EBADMSG,
				       "packets are longer than what is in the pipe");
		r = write_whole(ctx, fd, content->data.data + done, len);
		if (r < 0)
			return r;
		done += len;
	}
	return 0;
}

int pipe_content_put(struct context *ctx, const Coppice__PipeContent *content, int fd)
{
	int r = set_capacity(ctx, fd, content->capacity);

	if (r < 0 || content->data.len == 0)
		return r;
	if (content->n_packets > 0)
		return write_packets(ctx, content, fd);
	return write_whole(ctx, fd, content->data.data, content->data.len);
}

int pipe_content_check(struct context *ctx, const Coppice__PipeContent *content)
{
	_cleanup_(pipe_pair_deinit) struct pipe_pair pair = {{-EBADF, -EBADF}};
	int r;

	if (content->capacity <= 65536) /* what every new pipe may have */
		return 0;
	r = pipe_pair_init(ctx, &pair);
	if (r < 0)
		return r;
	return set_capacity(ctx, pair.fd[1], content->capacity);
}
