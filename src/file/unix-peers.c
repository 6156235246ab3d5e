/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which unix socket is connected to which, and how it came to be: only connect() and accept() give two
 * ends different peer credentials and the accepted one the name of who listened, only socketpair()
 * connects what has no name.
 *
 * A connection that waits to be accepted has a socket that nobody has a descriptor of, and that unix_diag
 * does not show (sk_diag_dump()). Only accept() would lead to what is queued in it, and unix_accept() cannot
 * be undone; so it must be empty. Whether it is, is what the client still has on its way (SIOCOUTQ). Who called connect() cannot be seen until then either:
 * it is taken to be the first process that has the client.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file/holder.h"
#include "file/state.h"
#include "file/unix-diag.h"
#include "file/unix.h"
#include "util/cleanup.h"
#include "util/macro.h"

/* ---- refusals ------------------------------------------------------------------------------- */

static int refuse_outside(struct collect *c, const struct unix_node *node, uint32_t peer)
{
	const struct file_probe *probe = node->probe;
	const char *hint =
		node->sight->type == SOCK_DGRAM
			? "dump the process at the other end too, or give --ext-unix-sk to "
			  "have it connected again by its address"
			: "dump the process at the other end too, or close the connection "
			  "before the dump";

	return collect_refuse(c, hint,
			      "%s, fd %d (%s): is connected to a socket outside the tree%s",
			      collect_name(c, probe->process), probe->number, probe->link,
			      holder_find(c, "socket", peer));
}

static int refuse_pending(struct collect *c, const struct unix_node *node, const char *what)
{
	return collect_refuse(c, "have the program accept it before the dump",
			      "%s, fd %d (%s): a connection that was not accepted yet %s",
			      collect_name(c, node->probe->process), node->probe->number,
			      node->probe->link, what);
}

/* ---- what waits to be accepted ----------------------------------------------------------------- */

static int add_pending(struct collect *c, struct unix_node *node, uint32_t ino)
{
	Coppice__UnixSocket *msg = node->file->unix_socket;
	const struct unix_node *client = ino ? unix_node_find(c, ino) : NULL;
	uint32_t *slot;

	if (!client && c->rebuilt)
		return 0; /* somebody has connected to the restored socket since */
	if (ino == 0)
		return refuse_pending(c, node,
				      "is of a client that has closed it, and what that had sent "
				      "only accept() could show");
	if (!client)
		return refuse_pending(c, node, "is from outside the tree");
	if (client->sight->unsent > 0)
		return refuse_pending(c, node,
				      "has received something, which only accept() could show");
	slot = arena_append(c->arena, &msg->pending, &msg->n_pending, sizeof(*slot));
	if (!slot)
		return err_oom(c->ctx);
	*slot = client->file->id;
	return 0;
}

static int collect_pending(struct collect *c, struct unix_node *node)
{
	const struct unix_sight *sight = node->sight;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < sight->n_pending; i++)
		r = add_pending(c, node, sight->pending[i]);
	return r;
}

/* ---- peers ---------------------------------------------------------------------------------- */

static int take_address(struct collect *c, const struct unix_node *node, ProtobufCBinaryData *ret)
{
	_cleanup_close_ int fd = -EBADF;
	struct {
		struct sockaddr_un address;
		char end; /* a path that fills it has a length that counts this (unix_mkname_bsd()) */
	} peer = {0};
	socklen_t len = sizeof(peer.address);
	size_t offset = offsetof(struct sockaddr_un, sun_path);
	int r = file_probe_dup(c, node->probe, &fd);

	if (r < 0)
		return r;
	if (getpeername(fd, (struct sockaddr *)&peer.address, &len) < 0)
		return err_sys(c->ctx, -errno, "getpeername()");
	if (len <= offset)
		return 0;
	ret->len = MIN(len, sizeof(peer)) - offset;
	ret->data = arena_memdup(c->arena, (char *)&peer + offset, ret->len);
	return ret->data ? 0 : err_oom(c->ctx);
}

static int collect_outside(struct collect *c, struct unix_node *node)
{
	Coppice__UnixSocket *msg = node->file->unix_socket;
	int r;

	if (msg->type != SOCK_DGRAM || !c->opt.ext_unix)
		return refuse_outside(c, node, node->sight->peer);
	msg->peer_outside = true;
	r = take_address(c, node, &msg->peer_address);
	if (r >= 0 && msg->peer_address.len == 0)
		return refuse_outside(c, node, node->sight->peer);
	return r;
}

static int collect_peer(struct collect *c, struct unix_node *node)
{
	Coppice__UnixSocket *msg = node->file->unix_socket;
	const struct unix_sight *sight = node->sight;
	const struct unix_node *other;

	if (!sight->has_peer)
		return 0;
	other = unix_node_find(c, sight->peer ? sight->peer : sight->waits_at);
	if (sight->peer == 0 && sight->waits_at == 0) {
		msg->peer_gone = true;
		return take_address(c, node, &msg->peer_address);
	}
	if (!other)
		return sight->peer ? collect_outside(c, node)
				   : refuse_outside(c, node, sight->waits_at);
	if (sight->peer)
		msg->peer = other->file->id;
	else
		msg->waits_at = other->file->id;
	return 0;
}

/* ---- births --------------------------------------------------------------------------------- */

static int listener_has_name(struct collect *c, const struct unix_sight *sight)
{
	const struct unix_sights *sights;
	int r = unix_sights_get(c, &sights);

	for (size_t i = 0; r >= 0 && i < sights->n; i++)
		if (sights->all[i]->listening && unix_sight_same_name(sights->all[i], sight))
			return 1;
	return r;
}

/* 1: it has its name from the socket that it was accepted at; nobody finds it by that. */
static int is_accepted(struct collect *c, const struct unix_node *node)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_(unix_target_deinit) struct unix_target target = {.file = -EBADF};
	const ProtobufCBinaryData address = {node->sight->address_len,
					     (uint8_t *)node->sight->address};
	int r;

	if (address.len == 0)
		return 0;
	r = listener_has_name(c, node->sight);
	if (r != 0)
		return r;
	r = file_probe_dup(c, node->probe, &fd);
	if (r >= 0)
		r = unix_target_init(c->ctx, fd, &address, &target);
	if (r >= 0)
		r = unix_is_bound(c->ctx, &target);
	return r < 0 ? r : r == 0;
}

static int peer_is_accepted(struct collect *c, const struct unix_node *node)
{
	const struct unix_node *peer = unix_node_find(c, node->sight->peer);

	if (node->file->unix_socket->waits_at != 0)
		return 1;
	return peer ? is_accepted(c, peer) : node->file->unix_socket->peer_address.len > 0;
}

static int collect_birth(struct collect *c, struct unix_node *node)
{
	Coppice__UnixSocket *msg = node->file->unix_socket;
	int r;

	msg->birth = COPPICE__UNIX_BIRTH__UNIX_BIRTH_SOCKET;
	if (msg->type == SOCK_DGRAM) {
		if (msg->credentials)
			msg->birth = COPPICE__UNIX_BIRTH__UNIX_BIRTH_PAIR;
		return 0;
	}
	if (!node->sight->has_peer)
		return 0;
	r = is_accepted(c, node);
	if (r > 0)
		msg->birth = COPPICE__UNIX_BIRTH__UNIX_BIRTH_ACCEPTED;
	if (r != 0)
		return r;
	r = peer_is_accepted(c, node);
	if (r >= 0)
		msg->birth = r > 0 ? COPPICE__UNIX_BIRTH__UNIX_BIRTH_CLIENT
				   : COPPICE__UNIX_BIRTH__UNIX_BIRTH_PAIR;
	return r;
}

static int collect_file(struct collect *c, const struct unix_node *node)
{
	Coppice__UnixSocket *msg = node->file->unix_socket;
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!msg->name || !unix_is_path(&msg->name->address) ||
	    msg->birth == COPPICE__UNIX_BIRTH__UNIX_BIRTH_ACCEPTED)
		return 0;
	r = file_probe_dup(c, node->probe, &fd);
	return r < 0 ? r : unix_name_collect(c, fd, msg->name);
}

int unix_collect_peers(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	struct unix_node *node = unix_node_find(c, probe->st.st_ino);
	int r = file->unix_socket->listening ? collect_pending(c, node) : collect_peer(c, node);

	if (r >= 0)
		r = unix_check_unseen(c, node);
	if (r >= 0)
		r = collect_birth(c, node);
	return r < 0 ? r : collect_file(c, node);
}
