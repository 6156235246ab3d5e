/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting one unix socket, without what it is connected to. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "file/socket-options.h"
#include "file/state.h"
#include "file/unix-diag.h"
#include "file/unix.h"

struct unix_nodes {
	struct chains by_ino;
};

struct unix_node *unix_node_find(struct collect *c, uint64_t ino)
{
	const struct unix_nodes *nodes = c->files->unix_nodes;

	return nodes ? (struct unix_node *)chains_find(&nodes->by_ino, ino) : NULL;
}

static int add_node(struct collect *c, const struct file_probe *probe, Coppice__File *file,
		    struct unix_sight *sight, bool readable)
{
	struct collect_files *files = c->files;
	struct unix_node *node = arena_new(c->arena, struct unix_node);

	if (!files->unix_nodes) {
		files->unix_nodes = arena_new(c->arena, struct unix_nodes);
		if (!files->unix_nodes)
			return err_oom(c->ctx);
		chains_init(&files->unix_nodes->by_ino, c->arena);
	}
	if (!node)
		return err_oom(c->ctx);
	*node = (struct unix_node){
		.probe = probe, .file = file, .sight = sight, .readable = readable};
	return chains_add(&files->unix_nodes->by_ino, probe->st.st_ino, &node->chain) < 0
		       ? err_oom(c->ctx)
		       : 0;
}

static int find_sight(struct collect *c, const struct file_probe *probe, struct unix_sight **ret)
{
	const struct unix_sights *sights;
	int r = unix_sights_get(c, &sights);

	if (r < 0)
		return r;
	*ret = unix_sight_find(sights, probe->st.st_ino);
	return *ret ? 0 : err_msg(c->ctx, -ENOENT, "unix_diag does not know the socket");
}

static int copy_name(struct collect *c, const struct unix_sight *sight, Coppice__UnixSocket *msg)
{
	if (sight->address_len == 0)
		return 0;
	msg->name = arena_new(c->arena, Coppice__UnixName);
	if (!msg->name)
		return err_oom(c->ctx);
	coppice__unix_name__init(msg->name);
	msg->name->address.len = sight->address_len;
	msg->name->address.data = (uint8_t *)sight->address;
	return 0;
}

/*
 * A pending error of a unix socket is always ECONNRESET (unix_release_sock(),
 * unix_dgram_disconnected()), and POLLERR tells it; to ask for it would take it away. So would looking at
 * packets (__skb_try_recv_datagram()). A stream or a connection of packets gets it again from an end that
 * is closed unread; a datagram socket only from a peer that connects elsewhere.
 */
static int collect_reset(struct collect *c, const struct file_probe *probe,
			 Coppice__UnixSocket *msg, bool *ret_readable)
{
	struct pollfd pfd = {.fd = probe->fd, .events = POLLIN};

	if (poll(&pfd, 1, 0) < 0)
		return err_sys(c->ctx, -errno, "poll() of a socket");
	*ret_readable = pfd.revents & POLLIN;
	msg->reset = pfd.revents & POLLERR;
	if (!msg->reset || msg->type == SOCK_STREAM ||
	    (msg->type == SOCK_SEQPACKET && !(pfd.revents & POLLIN)))
		return 0;
	return collect_refuse(c, "have the program receive it before the dump (SO_ERROR)",
			      "%s, fd %d (%s): has an error pending (ECONNRESET), which nobody can "
			      "set again",
			      collect_name(c, probe->process), probe->number, probe->link);
}

int unix_collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__UnixSocket *msg = arena_new(c->arena, Coppice__UnixSocket);
	size_t refusals = c->n_refusals;
	struct unix_sight *sight;
	bool readable = false;
	int r;

	if (!msg)
		return err_oom(c->ctx);
	coppice__unix_socket__init(msg);
	file->unix_socket = msg;
	/* First, as unix_diag does not know sockets of other network namespaces, which this refuses. */
	r = socket_options_collect(c, probe, &msg->options);
	if (r < 0 || c->n_refusals > refusals)
		return r;
	r = find_sight(c, probe, &sight);
	if (r < 0)
		return r;
	msg->type = sight->type;
	msg->shutdown = sight->shutdown;
	msg->listening = sight->listening;
	msg->backlog = sight->listening ? sight->backlog : 0;
	r = copy_name(c, sight, msg);
	if (r >= 0)
		r = unix_credentials_collect(c, probe, &msg->credentials);
	if (r >= 0)
		r = collect_reset(c, probe, msg, &readable);
	return r < 0 ? r : add_node(c, probe, file, sight, readable);
}
