/* SPDX-License-Identifier: Apache-2.0 */
#include "file/tcp-repair.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "util/context.h"

static int set_int(struct context *ctx, int fd, int option, const char *name, int value)
{
	if (setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value)) < 0)
		return err_sys(ctx, -errno, "setsockopt(%s, %d)", name, value);
	return 0;
}

static int get(struct context *ctx, int fd, int option, const char *name, void *value, size_t size)
{
	socklen_t len = (socklen_t)size;

	if (getsockopt(fd, IPPROTO_TCP, option, value, &len) < 0)
		return err_sys(ctx, -errno, "getsockopt(%s)", name);
	return 0;
}

int tcp_repair_on(struct context *ctx, int fd)
{
	int r = set_int(ctx, fd, TCP_REPAIR, "TCP_REPAIR", TCP_REPAIR_ON);

	return r == -EPERM ? err_hint(ctx, r,
				      "it needs CAP_NET_ADMIN in the socket's network "
				      "namespace")
			   : r;
}

int tcp_repair_off(struct context *ctx, int fd)
{
	return set_int(ctx, fd, TCP_REPAIR, "TCP_REPAIR", TCP_REPAIR_OFF_NO_WP);
}

int tcp_repair_select(struct context *ctx, int fd, int queue)
{
	return set_int(ctx, fd, TCP_REPAIR_QUEUE, "TCP_REPAIR_QUEUE", queue);
}

static int get_seq(struct context *ctx, int fd, int queue, uint32_t *ret)
{
	int r = tcp_repair_select(ctx, fd, queue);

	return r < 0 ? r : get(ctx, fd, TCP_QUEUE_SEQ, "TCP_QUEUE_SEQ", ret, sizeof(*ret));
}

int tcp_repair_set_seq(struct context *ctx, int fd, int queue, uint32_t seq)
{
	int r = tcp_repair_select(ctx, fd, queue);

	return r < 0 ? r : set_int(ctx, fd, TCP_QUEUE_SEQ, "TCP_QUEUE_SEQ", (int)seq);
}

int tcp_repair_set_window(struct context *ctx, int fd, const struct tcp_repair_window *window)
{
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, window, sizeof(*window)) < 0)
		return err_sys(ctx, -errno, "setsockopt(TCP_REPAIR_WINDOW)");
	return 0;
}

/* Of the whole queue; what is in it begins with a buffer that may be confirmed in part. */
static int peek_sent(struct context *ctx, int fd, void *send, size_t room, size_t *ret_n)
{
	ssize_t n = room ? recv(fd, send, room, MSG_PEEK | MSG_DONTWAIT) : 0;

	if (n < 0)
		return err_sys(ctx, -errno, "recv(MSG_PEEK) of what is to be sent");
	*ret_n = (size_t)n;
	return 0;
}

static int read_all(struct context *ctx, int fd, void *send, size_t send_room,
		    struct tcp_repair_state *ret)
{
	int r = get_seq(ctx, fd, TCP_SEND_QUEUE, &ret->send_seq);

	if (r >= 0)
		r = peek_sent(ctx, fd, send, send_room, &ret->n_send);
	if (r >= 0)
		r = get_seq(ctx, fd, TCP_RECV_QUEUE, &ret->receive_seq);
	if (r >= 0)
		r = get(ctx, fd, TCP_MAXSEG, "TCP_MAXSEG", &ret->mss, sizeof(ret->mss));
	if (r >= 0)
		r = get(ctx, fd, TCP_TIMESTAMP, "TCP_TIMESTAMP", &ret->timestamp,
			sizeof(ret->timestamp));
	if (r >= 0)
		r = get(ctx, fd, TCP_REPAIR_WINDOW, "TCP_REPAIR_WINDOW", &ret->window,
			sizeof(ret->window));
	return r;
}

int tcp_repair_read(struct context *ctx, int fd, uint32_t reuse_addr, void *send, size_t send_room,
		    struct tcp_repair_state *ret)
{
	struct err err;
	int r = tcp_repair_on(ctx, fd);
	int off;

	if (r < 0)
		return r;
	*ret = (struct tcp_repair_state){0};
	r = read_all(ctx, fd, send, send_room, ret);
	err = ctx->err;
	off = tcp_repair_off(ctx, fd);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse_addr, sizeof(reuse_addr)) < 0 &&
	    off >= 0)
		off = err_sys(ctx, -errno, "setsockopt(SO_REUSEADDR)");
	if (r >= 0)
		return off;
	ctx->err = err; /* the first is what is told */
	return r;
}

int tcp_info_get(struct context *ctx, int fd, struct tcp_info *ret)
{
	*ret = (struct tcp_info){0};
	return get(ctx, fd, TCP_INFO, "TCP_INFO", ret, sizeof(*ret));
}
