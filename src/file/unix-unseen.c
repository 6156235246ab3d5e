/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An empty message that somebody has peeked at before is passed over by whoever uses SO_PEEK_OFF
 * (__skb_try_recv_from_queue()), and every dump peeks. It still takes room in its sender's buffer: what a
 * socket that is connected to another one of the tree has on its way must be as much as the messages
 * that were found take, which a pair of ours shows.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "file/unix-diag.h"
#include "file/unix.h"
#include "util/cleanup.h"

enum { ROOM = 1 << 28 };

struct scale {
	int fd[2]; /* owned */
};

static void scale_deinit(struct scale *s)
{
	close_guard(&s->fd[0]);
	close_guard(&s->fd[1]);
}

static int scale_init(struct context *ctx, int type, struct scale *ret)
{
	const int room = ROOM;

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret->fd) < 0)
		return err_sys(ctx, -errno, "socketpair()");
	/* Without CAP_NET_ADMIN the default has room for most. */
	(void)setsockopt(ret->fd[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	return 0;
}

static bool is_from(const struct unix_node *sender, const Coppice__File *receiver,
		    const Coppice__UnixMessage *message)
{
	const struct unix_sight *s = sender->sight;

	if (s->type != SOCK_DGRAM || message->sender.len == 0)
		return sender->file->unix_socket->peer == receiver->id &&
		       (s->type != SOCK_DGRAM || s->address_len == 0);
	return message->sender.len == s->address_len &&
	       memcmp(message->sender.data, s->address, s->address_len) == 0;
}

static int weigh(struct collect *c, const struct unix_node *sender, struct scale *scale)
{
	for (size_t i = 0; i < c->cp->n_files; i++) {
		const Coppice__File *file = c->cp->files[i];

		if (file->kind_case != COPPICE__FILE__KIND_UNIX_SOCKET ||
		    file->unix_socket->type != sender->sight->type)
			continue;
		for (size_t k = 0; k < file->unix_socket->n_queue; k++) {
			const Coppice__UnixMessage *message = file->unix_socket->queue[k];

			if (is_from(sender, file, message) &&
			    send(scale->fd[0], message->data.data, message->data.len, 0) < 0)
				return err_sys(c->ctx, -errno, "send() to weigh a message");
		}
	}
	return 0;
}

int unix_check_unseen(struct collect *c, const struct unix_node *sender)
{
	_cleanup_(scale_deinit) struct scale scale = {{-EBADF, -EBADF}};
	const struct file_probe *probe = sender->probe;
	int weight, r;

	if (sender->sight->type == SOCK_STREAM || sender->sight->unsent == 0 ||
	    sender->file->unix_socket->peer == 0)
		return 0;
	r = scale_init(c->ctx, sender->sight->type, &scale);
	if (r >= 0)
		r = weigh(c, sender, &scale);
	if (r < 0)
		return r;
	if (ioctl(scale.fd[0], SIOCOUTQ, &weight) < 0)
		return err_sys(c->ctx, -errno, "ioctl(SIOCOUTQ)");
	if (sender->sight->unsent <= (uint32_t)weight)
		return 0;
	return collect_refuse(c, "have the program receive it before the dump",
			      "%s, fd %d (%s): something that it has sent cannot be seen: an empty "
			      "message that was looked at before",
			      collect_name(c, probe->process), probe->number, probe->link);
}
