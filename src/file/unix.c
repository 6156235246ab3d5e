/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets (struct unix_sock): streams, datagrams, packets. State: options, names (unix-name.c), what
 * it is connected to and how it came to be (unix-peers.c), peer credentials (unix-credentials.c,
 * unix-deed.c), connections that wait to be accepted, what is queued with descriptors and
 * credentials in flight (unix-queue.c, unix-fill.c), shut down sides, a pending error.
 *
 * They are restored in this order: all are made, with their names and connections (create); then what is
 * queued is sent, and clients that were not accepted connect again (connect); then datagram sockets are
 * connected, since one that is takes messages only from its peer, sides are shut down, other ends that are
 * gone go, and the options that all this would have minded are set (last).
 *
 * Cannot be seen or not kept: see docs/STATE.md.
 */
#include "file/unix.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file/peek-guard.h"
#include "file/socket-options.h"
#include "file/state.h"
#include "file/unix-queue.h"
#include "util/cleanup.h"

static bool matches(const struct file_probe *probe)
{
	return socket_domain(probe) == AF_UNIX;
}

static int collect_queued(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	if (file->unix_socket->listening || !unix_node_find(c, probe->st.st_ino)->readable)
		return 0;
	return unix_queue_collect(c, probe, file->unix_socket);
}

/* ---- check ---------------------------------------------------------------------------------- */

static int check(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__UnixSocket *msg = file->unix_socket;
	int result = socket_options_check(r, msg->options);

	if (result >= 0 && msg->name && msg->birth != COPPICE__UNIX_BIRTH__UNIX_BIRTH_ACCEPTED)
		result = unix_name_check(r, msg->name);
	return result;
}

/* ---- create --------------------------------------------------------------------------------- */

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	struct rebuild_unix *u = unix_rebuild(r, file->id);
	int result;

	if (!u)
		return err_oom(r->ctx);
	result = u->made ? 0 : unix_make(r, file);
	if (result >= 0)
		*ret_fd = TAKE_FD(u->fd);
	return result;
}

/* ---- connect -------------------------------------------------------------------------------- */

/* The first process that has @file, as whoever connected it. */
static int who_has(struct rebuild *r, uint32_t file, Coppice__UnixCredentials *ret)
{
	coppice__unix_credentials__init(ret);
	for (size_t i = 0; i < r->n_processes; i++) {
		const struct rebuild_process *p = &r->processes[i];

		for (size_t k = 0; p->fd_table && k < p->fd_table->n_fds; k++) {
			const Coppice__Creds *creds = p->msg->threads[0]->creds;

			if (p->fd_table->fds[k]->file != file || p->msg->user_ns != 0 || !creds)
				continue;
			ret->pid = p->msg->pid[0];
			ret->uid = creds->euid;
			ret->gid = creds->egid;
			ret->groups = creds->groups;
			ret->n_groups = creds->n_groups;
			return 1;
		}
	}
	return 0;
}

static int connect_client(struct rebuild *r, uint32_t client, const struct unix_target *target)
{
	struct unix_deed deed = {
		.what = UNIX_DEED_CONNECT, .target = target, .fd = unix_fd(r, client)};
	Coppice__UnixCredentials who;

	return unix_deed_do(r, who_has(r, client, &who) ? &who : NULL, &deed);
}

static int connect_pending(struct rebuild *r, const Coppice__UnixSocket *msg, int fd)
{
	_cleanup_(unix_target_deinit) struct unix_target target = {.file = -EBADF};
	int result = 0;

	if (msg->n_pending > 0)
		result = unix_target_init(r->ctx, fd, &msg->name->address, &target);
	for (size_t i = 0; result >= 0 && i < msg->n_pending; i++)
		result = connect_client(r, msg->pending[i], &target);
	return result < 0 ? err_while(r->ctx, result, "connecting what was not accepted yet") : 0;
}

static int connect_socket(struct rebuild *r, const Coppice__File *file, int fd)
{
	if (file->unix_socket->listening)
		return connect_pending(r, file->unix_socket, fd);
	return unix_fill(r, file, fd);
}

/* ---- last ----------------------------------------------------------------------------------- */

static int connect_to(struct rebuild *r, int fd, const struct unix_target *target)
{
	if (connect(fd, (const struct sockaddr *)&target->address, target->len) < 0)
		return err_sys(r->ctx, -errno, "connect() of a datagram socket");
	return 0;
}

/* To one that is closed again at once. */
static int connect_to_gone(struct rebuild *r, const ProtobufCBinaryData *address, int fd)
{
	_cleanup_(unix_target_deinit) struct unix_target target = {.file = -EBADF};
	_cleanup_close_ int gone = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result;

	if (gone < 0)
		return err_sys(r->ctx, -errno, "socket(AF_UNIX)");
	result = unix_address_bind(r, gone, address);
	if (result >= 0)
		result = unix_target_init(r->ctx, gone, address, &target);
	return result < 0 ? result : connect_to(r, fd, &target);
}

static int connect_to_outside(struct rebuild *r, const ProtobufCBinaryData *address, int fd)
{
	struct unix_target target;
	int result;

	unix_target_of_address(address, &target);
	result = connect_to(r, fd, &target);
	return result < 0 ? err_hint(r->ctx, result,
				     "the socket outside the tree that it was connected to must be "
				     "there")
			  : 0;
}

static int connect_to_peer(struct rebuild *r, const Coppice__UnixSocket *msg, int fd)
{
	_cleanup_(unix_target_deinit) struct unix_target target = {.file = -EBADF};
	const Coppice__UnixSocket *peer = r->files[msg->peer - 1].msg->unix_socket;
	int result;

	if (!peer->name)
		return err_msg(r->ctx, -EBADMSG, "a peer without a name, and not of a pair");
	result = unix_target_init(r->ctx, unix_fd(r, msg->peer), &peer->name->address, &target);
	return result < 0 ? result : connect_to(r, fd, &target);
}

static int connect_datagrams(struct rebuild *r, const Coppice__File *file);

/*
 * One that is connected is no longer to be connected to (unix_may_send()), unless by its own peer: so
 * first come those that are connected to it.
 */
static int connect_others(struct rebuild *r, const Coppice__File *file)
{
	int result = 0;

	for (size_t i = 0; result >= 0 && file->unix_socket->name && i < r->n_files; i++) {
		const Coppice__File *other = r->files[i].msg;

		if (other->kind_case == COPPICE__FILE__KIND_UNIX_SOCKET && other != file &&
		    other->unix_socket->type == SOCK_DGRAM && other->unix_socket->peer == file->id)
			result = connect_datagrams(r, other);
	}
	return result;
}

static int connect_datagrams(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__UnixSocket *msg = file->unix_socket;
	struct rebuild_unix *u = unix_rebuild(r, file->id);
	int fd = unix_fd(r, file->id);
	struct sockaddr_un address;
	socklen_t len = sizeof(address);
	int result;

	if (u->connected)
		return 0;
	u->connected = true;
	if (!msg->peer && !msg->peer_outside && !msg->peer_gone)
		return 0;
	result = connect_others(r, file);
	/* socketpair() may have done it */
	if (result < 0 || getpeername(fd, (struct sockaddr *)&address, &len) >= 0)
		return result;
	if (msg->peer_outside)
		return connect_to_outside(r, &msg->peer_address, fd);
	if (msg->peer)
		return connect_to_peer(r, msg, fd);
	return msg->peer_address.len > 0 ? connect_to_gone(r, &msg->peer_address, fd) : 0;
}

/* An end that is closed with something unread resets the other. */
static int close_partner(struct rebuild *r, const Coppice__UnixSocket *msg, int fd, int *partner)
{
	if (*partner >= 0 && msg->reset && msg->type != SOCK_DGRAM &&
	    send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		return err_sys(r->ctx, -errno, "send() to an end that is to be closed");
	close_guard(partner);
	*partner = -EBADF;
	return 0;
}

static int last(struct rebuild *r, const Coppice__File *file, int fd)
{
	const Coppice__UnixSocket *msg = file->unix_socket;
	int result = close_partner(r, msg, fd, &unix_rebuild(r, file->id)->partner);

	if (result >= 0 && msg->type == SOCK_DGRAM)
		result = connect_datagrams(r, file);
	if (result >= 0 && msg->shutdown != 0 && shutdown(fd, (int)msg->shutdown - 1) < 0)
		result = err_sys(r->ctx, -errno, "shutdown(%d)", (int)msg->shutdown - 1);
	return result < 0 ? result : socket_options_set(r, msg->options, fd, SOCKET_LATE);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	const Coppice__UnixSocket *msg = file->unix_socket;

	(void)snprintf(buf, size, "unix socket, %s%s",
		       msg->type == SOCK_STREAM	 ? "stream"
		       : msg->type == SOCK_DGRAM ? "datagrams"
						 : "packets",
		       msg->listening ? ", listening" : "");
}

const struct file_kind kind_unix = {
	.name = "unix socket",
	.which = COPPICE__FILE__KIND_UNIX_SOCKET,
	.matches = matches,
	.collect = unix_collect,
	.collect_queued = collect_queued,
	.collect_late = unix_collect_peers,
	.check = check,
	.create = create,
	.connect = connect_socket,
	.last = last,
	.describe = describe,
};
