/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making unix sockets. Those that were born together are made together, whichever comes first: a pair by
 * one socketpair(), a client and what was accepted by connect() and accept() at the socket that has the
 * name; where that is not there any more, at another of that name which goes again. Whose
 * file a half is, takes it from rebuild_unix.fd; a half that no file has is the partner of the other.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file/socket-options.h"
#include "file/state.h"
#include "file/unix.h"
#include "util/cleanup.h"

/* Room for what is queued to be sent at once; the image's sizes come last. */
enum { ROOM_TO_FILL = 1 << 28 };

struct rebuild_unix *unix_rebuild(struct rebuild *r, uint32_t file)
{
	struct rebuild_file_state *state = rebuild_file_state_get(r);

	if (!state)
		return NULL;
	if (!state->unix_sockets) {
		state->unix_sockets = arena_new_n(r->arena, struct rebuild_unix, r->n_files);
		for (size_t i = 0; state->unix_sockets && i < r->n_files; i++)
			state->unix_sockets[i] =
				(struct rebuild_unix){.fd = -EBADF, .partner = -EBADF};
	}
	return state->unix_sockets ? &state->unix_sockets[file - 1] : NULL;
}

void unix_rebuild_deinit(struct rebuild *r)
{
	struct rebuild_file_state *state = r->file_state;

	for (size_t i = 0; state && state->unix_sockets && i < r->n_files; i++) {
		close_guard(&state->unix_sockets[i].fd);
		close_guard(&state->unix_sockets[i].partner);
		state->unix_sockets[i].fd = state->unix_sockets[i].partner = -EBADF;
	}
}

int unix_fd(struct rebuild *r, uint32_t id)
{
	const struct rebuild_unix *u = unix_rebuild(r, id);

	return u && u->fd >= 0 ? u->fd : r->files[id - 1].fd;
}

static const Coppice__File *find_file(const struct rebuild *r, uint32_t id)
{
	return id > 0 ? r->files[id - 1].msg : NULL;
}

/* ---- one socket ------------------------------------------------------------------------------ */

/* Takes over @fd for @file, which has it from here on. */
static int adopt(struct rebuild *r, const Coppice__File *file, int fd, bool bind_name)
{
	const Coppice__UnixSocket *msg = file->unix_socket;
	struct rebuild_unix *u = unix_rebuild(r, file->id);
	const int room = ROOM_TO_FILL;
	int result;

	u->fd = fd;
	u->made = true;
	result = socket_options_set(r, msg->options, fd, SOCKET_EARLY);
	if (result >= 0 && bind_name && msg->name)
		result = unix_name_bind(r, fd, msg->name);
	/* Without CAP_NET_ADMIN what is queued may still find room. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	return result;
}

static int new_socket(struct rebuild *r, int type, int *ret_fd)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(r->ctx, -errno, "socket(AF_UNIX)");
	*ret_fd = fd;
	return 0;
}

static int listen_as(struct rebuild *r, const Coppice__UnixCredentials *who, int fd, int backlog)
{
	struct unix_deed deed = {.what = UNIX_DEED_LISTEN, .fd = fd, .backlog = backlog};

	return unix_deed_do(r, who, &deed);
}

static int make_single(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__UnixSocket *msg = file->unix_socket;
	int fd = -EBADF;
	int result = new_socket(r, msg->type, &fd);

	if (result >= 0)
		result = adopt(r, file, fd, true);
	if (result >= 0 && msg->listening)
		result = listen_as(r, msg->credentials, fd, (int)msg->backlog);
	return result;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

/* Disconnects a datagram socket from the other half; that one hears of it, which is not its own news. */
static int part(struct rebuild *r, int fd, int other)
{
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	int error;
	socklen_t len = sizeof(error);

	if (connect(fd, &nobody, sizeof(nobody)) < 0)
		return err_sys(r->ctx, -errno, "connect(AF_UNSPEC)");
	(void)getsockopt(other, SOL_SOCKET, SO_ERROR, &error, &len);
	return 0;
}

/* The file of the other half, if there is one that is not made yet. */
static const Coppice__File *other_half(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__File *peer = find_file(r, file->unix_socket->peer);

	if (!peer || peer->unix_socket->birth != COPPICE__UNIX_BIRTH__UNIX_BIRTH_PAIR ||
	    unix_rebuild(r, peer->id)->made ||
	    !unix_credentials_same(file->unix_socket->credentials, peer->unix_socket->credentials))
		return NULL;
	return peer;
}

static int make_pair(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__UnixSocket *msg = file->unix_socket;
	const Coppice__File *peer = other_half(r, file);
	struct unix_deed deed = {.what = UNIX_DEED_PAIR, .type = msg->type};
	int result = unix_deed_do(r, msg->credentials, &deed);

	if (result < 0) {
		close_guard(&deed.pair[0]);
		close_guard(&deed.pair[1]);
		return result;
	}
	if (!peer)
		unix_rebuild(r, file->id)->partner = deed.pair[1];
	result = adopt(r, file, deed.pair[0], true);
	if (peer && result >= 0)
		result = adopt(r, peer, deed.pair[1], true);
	else if (peer)
		close_guard(&deed.pair[1]);
	else if (result >= 0 && msg->peer_address.len > 0)
		result = unix_address_bind(r, deed.pair[1], &msg->peer_address);
	if (result < 0 || msg->type != SOCK_DGRAM)
		return result;
	if (!peer && !msg->peer_gone)
		return part(r, deed.pair[0], deed.pair[1]);
	if (peer && peer->unix_socket->peer != file->id)
		return part(r, deed.pair[1], deed.pair[0]);
	return 0;
}

/* ---- connections ----------------------------------------------------------------------------- */

/* Both sides of a connection; one of them may have no file. */
struct connection {
	const Coppice__File *client;
	const Coppice__File *accepted;
	const ProtobufCBinaryData *address; /* of who listens */
	int client_fd;			    /* owned until adopted */
	int accepted_fd;
};

static struct connection connection_of(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__UnixSocket *msg = file->unix_socket;
	struct connection c = {.client_fd = -EBADF, .accepted_fd = -EBADF};
	const Coppice__File *peer = find_file(r, msg->peer);

	if (peer && unix_rebuild(r, peer->id)->made)
		peer = NULL; /* of a damaged image: it is connected to another */
	if (msg->birth == COPPICE__UNIX_BIRTH__UNIX_BIRTH_CLIENT) {
		c.client = file;
		c.accepted = peer;
	} else {
		c.client = peer;
		c.accepted = file;
	}
	c.address = c.accepted && c.accepted->unix_socket->name
			    ? &c.accepted->unix_socket->name->address
			    : &msg->peer_address;
	return c;
}

static bool same_address(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Who listens at the address and is to be restored, too. */
static const Coppice__File *find_listener(const struct rebuild *r, const struct connection *c)
{
	int type = (c->client ? c->client : c->accepted)->unix_socket->type;

	for (size_t i = 0; i < r->n_files; i++) {
		const Coppice__File *file = r->files[i].msg;

		if (file->kind_case == COPPICE__FILE__KIND_UNIX_SOCKET &&
		    file->unix_socket->listening && file->unix_socket->type == type &&
		    file->unix_socket->name &&
		    same_address(&file->unix_socket->name->address, c->address))
			return file;
	}
	return NULL;
}

static int connect_at(struct rebuild *r, struct connection *c, int listener)
{
	_cleanup_(unix_target_deinit) struct unix_target target = {.file = -EBADF};
	struct unix_deed deed = {.what = UNIX_DEED_CONNECT, .fd = c->client_fd, .target = &target};
	int result = unix_target_init(r->ctx, listener, c->address, &target);

	if (result >= 0)
		result = unix_deed_do(r, c->accepted ? c->accepted->unix_socket->credentials : NULL,
				      &deed);
	if (result < 0)
		return result;
	c->accepted_fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return c->accepted_fd < 0 ? err_sys(r->ctx, -errno, "accept4()") : 0;
}

/* By one that was there at the time and is not any more. */
static int connect_anew(struct rebuild *r, struct connection *c, int type,
			const Coppice__UnixCredentials *who)
{
	_cleanup_close_ int listener = -EBADF;
	int result = new_socket(r, type, &listener);

	if (result >= 0)
		result = unix_address_bind(r, listener, c->address);
	if (result >= 0)
		result = listen_as(r, who, listener, 1);
	return result < 0 ? result : connect_at(r, c, listener);
}

/* A listener's credentials are those of its last listen(): they change for the time of the connect. */
static int connect_by(struct rebuild *r, struct connection *c, const Coppice__File *listener,
		      const Coppice__UnixCredentials *who)
{
	const Coppice__UnixSocket *msg = listener->unix_socket;
	bool same = !who || unix_credentials_same(who, msg->credentials);
	int fd, result = 0;

	if (!unix_rebuild(r, listener->id)->made)
		result = make_single(r, listener);
	if (result < 0)
		return result;
	fd = unix_fd(r, listener->id);
	/* A backlog of 0 has room for one, which is us. */
	if (!same)
		result = listen_as(r, who, fd, (int)msg->backlog);
	if (result >= 0)
		result = connect_at(r, c, fd);
	if (result >= 0 && !same)
		result = listen_as(r, msg->credentials, fd, (int)msg->backlog);
	return result;
}

static int adopt_connection(struct rebuild *r, const Coppice__File *file, struct connection *c)
{
	struct rebuild_unix *u = unix_rebuild(r, file->id);
	int result = 0;

	if (c->client)
		result = adopt(r, c->client, TAKE_FD(c->client_fd), false);
	else
		u->partner = TAKE_FD(c->client_fd);
	if (result >= 0 && c->accepted)
		result = adopt(r, c->accepted, TAKE_FD(c->accepted_fd), false);
	else if (result >= 0)
		u->partner = TAKE_FD(c->accepted_fd);
	return result;
}

static int make_connection(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__UnixSocket *msg = file->unix_socket;
	struct connection c = connection_of(r, file);
	const Coppice__UnixCredentials *who = c.client ? c.client->unix_socket->credentials : NULL;
	const Coppice__File *listener = find_listener(r, &c);
	const Coppice__UnixSocket *client = c.client ? c.client->unix_socket : NULL;
	int result = new_socket(r, msg->type, &c.client_fd);

	/* Its name must be there when it connects: the other side sees it. */
	if (result >= 0 && client && client->name)
		result = unix_name_bind(r, c.client_fd, client->name);
	else if (result >= 0 && !client && msg->peer_address.len > 0)
		result = unix_address_bind(r, c.client_fd, &msg->peer_address);
	if (result >= 0)
		result = listener ? connect_by(r, &c, listener, who)
				  : connect_anew(r, &c, msg->type, who);
	if (result >= 0)
		result = adopt_connection(r, file, &c);
	close_guard(&c.client_fd);
	close_guard(&c.accepted_fd);
	return result;
}

int unix_make(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__UnixSocket *msg = file->unix_socket;

	switch (msg->birth) {
	case COPPICE__UNIX_BIRTH__UNIX_BIRTH_PAIR:
		return make_pair(r, file);
	case COPPICE__UNIX_BIRTH__UNIX_BIRTH_CLIENT:
		if (msg->waits_at != 0) /* connected when all others are */
			return make_single(r, file);
		return make_connection(r, file);
	case COPPICE__UNIX_BIRTH__UNIX_BIRTH_ACCEPTED:
		return make_connection(r, file);
	default:
		return make_single(r, file);
	}
}
