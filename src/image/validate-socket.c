/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for sockets: what all kinds have in common, and unix sockets. */
#include <inttypes.h>
#include <limits.h>
#include <linux/filter.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "image/validate-internal.h"

int validate_socket_options(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__SocketOptions *o = (const Coppice__SocketOptions *)msg;

	if (o->filter.len % sizeof(struct sock_filter) != 0 ||
	    o->filter.len > BPF_MAXINSNS * sizeof(struct sock_filter))
		return invalid(v, "options.filter: %zu bytes", o->filter.len);
	if (o->send_buffer > INT_MAX || o->receive_buffer > INT_MAX)
		return invalid(v, "options.send_buffer, receive_buffer: %u, %u", o->send_buffer,
			       o->receive_buffer);
	if (o->receive_timeout_us < 0 || o->send_timeout_us < 0)
		return invalid(v,
			       "options.receive_timeout_us, send_timeout_us: %" PRId64 ", %" PRId64,
			       o->receive_timeout_us, o->send_timeout_us);
	if (strlen(o->device) >= IFNAMSIZ)
		return invalid(v, "options.device: %s", o->device);
	if (o->peek_offset < -1)
		return invalid(v, "options.peek_offset: %d", o->peek_offset);
	return 0;
}

/* ---- unix sockets ---------------------------------------------------------------------------- */

enum {
	RIGHTS_MAX = 253,   /* SCM_MAX_FD */
	GROUPS_MAX = 65536, /* NGROUPS_MAX */
	SHUTDOWN_BOTH = 3,
	MODE_MAX = 07777,
};

static const Coppice__UnixSocket *unix_of(const struct validation *v, uint32_t file)
{
	const Coppice__File *f = file > 0 && file <= v->cp->n_files ? v->cp->files[file - 1] : NULL;

	return f && f->kind_case == COPPICE__FILE__KIND_UNIX_SOCKET ? f->unix_socket : NULL;
}

static bool is_address(const ProtobufCBinaryData *a, bool may_be_empty)
{
	return a->len <= sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1 &&
	       (may_be_empty || a->len > 0);
}

static int check_unix_name(const struct validation *v, const Coppice__UnixSocket *s)
{
	if (s->name && !is_address(&s->name->address, false))
		return invalid(v, "unix_socket.name.address: %zu bytes", s->name->address.len);
	if (s->name && s->name->path[0] != '\0' && s->name->path[0] != '/')
		return invalid(v, "unix_socket.name.path: %s", s->name->path);
	if (s->name && s->name->mode > MODE_MAX)
		return invalid(v, "unix_socket.name.mode: %#o", s->name->mode);
	if (!is_address(&s->peer_address, true))
		return invalid(v, "unix_socket.peer_address: %zu bytes", s->peer_address.len);
	if ((s->listening || s->birth == COPPICE__UNIX_BIRTH__UNIX_BIRTH_ACCEPTED) && !s->name)
		return invalid(v, "unix_socket.name: missing");
	return 0;
}

static int check_unix_peers(const struct validation *v, const Coppice__UnixSocket *s)
{
	const Coppice__UnixSocket *peer = unix_of(v, s->peer);
	const Coppice__UnixSocket *listener = unix_of(v, s->waits_at);

	if (s->peer != 0 && (!peer || peer->type != s->type))
		return invalid(v, "unix_socket.peer: %u", s->peer);
	if (s->peer != 0 && s->type != SOCK_DGRAM && unix_of(v, peer->peer) != s)
		return invalid(v, "unix_socket.peer: %u is connected to another", s->peer);
	if (s->waits_at != 0 && (!listener || !listener->listening || listener->type != s->type))
		return invalid(v, "unix_socket.waits_at: %u", s->waits_at);
	for (size_t i = 0; i < s->n_pending; i++) {
		const Coppice__UnixSocket *client = unix_of(v, s->pending[i]);

		if (!s->listening || !client || unix_of(v, client->waits_at) != s)
			return invalid(v, "unix_socket.pending[%zu]: %u", i, s->pending[i]);
	}
	return 0;
}

static bool is_connected(const Coppice__UnixSocket *s)
{
	return s->peer != 0 || s->waits_at != 0 || s->peer_gone;
}

/* How it was born tells how it is made, so this has to fit what it is connected to. */
static int check_unix_birth(const struct validation *v, const Coppice__UnixSocket *s)
{
	bool stream = s->type != SOCK_DGRAM;
	bool ok = true;

	switch (s->birth) {
	case COPPICE__UNIX_BIRTH__UNIX_BIRTH_SOCKET:
		ok = !stream || !is_connected(s);
		break;
	case COPPICE__UNIX_BIRTH__UNIX_BIRTH_PAIR:
		ok = !s->listening && s->waits_at == 0 && (!stream || is_connected(s));
		break;
	default:
		ok = stream && !s->listening && is_connected(s);
		break;
	}
	if (ok && stream && s->peer != 0) {
		const Coppice__UnixSocket *peer = unix_of(v, s->peer);
		bool pair = s->birth == COPPICE__UNIX_BIRTH__UNIX_BIRTH_PAIR;

		ok = pair == (peer->birth == COPPICE__UNIX_BIRTH__UNIX_BIRTH_PAIR) &&
		     (pair || peer->birth != s->birth);
	}
	return ok ? 0 : invalid(v, "unix_socket.birth: %d does not fit its connection", s->birth);
}

static int check_unix_message(const struct validation *v, const Coppice__UnixSocket *s, size_t i)
{
	const Coppice__UnixMessage *m = s->queue[i];

	if (m->n_rights > RIGHTS_MAX)
		return invalid(v, "unix_socket.queue[%zu].rights: %zu", i, m->n_rights);
	for (size_t k = 0; k < m->n_rights; k++)
		if (m->rights[k] == 0 || m->rights[k] > v->cp->n_files)
			return invalid(v, "unix_socket.queue[%zu].rights[%zu]: %u", i, k,
				       m->rights[k]);
	if (!is_address(&m->sender, true))
		return invalid(v, "unix_socket.queue[%zu].sender: %zu bytes", i, m->sender.len);
	if (m->out_of_band && (s->type != SOCK_STREAM || m->data.len != !m->taken))
		return invalid(v, "unix_socket.queue[%zu].out_of_band", i);
	if (s->type == SOCK_STREAM && m->data.len == 0 && !m->taken)
		return invalid(v, "unix_socket.queue[%zu].data: empty", i);
	return 0;
}

int validate_unix_socket(const struct validation *v, const Coppice__UnixSocket *s)
{
	int r;

	if (s->type != SOCK_STREAM && s->type != SOCK_DGRAM && s->type != SOCK_SEQPACKET)
		return invalid(v, "unix_socket.type: %d", s->type);
	if (!s->options)
		return invalid(v, "unix_socket.options: missing");
	if (s->shutdown > SHUTDOWN_BOTH || s->backlog > INT_MAX)
		return invalid(v, "unix_socket.shutdown, backlog: %u, %u", s->shutdown, s->backlog);
	if (s->credentials && s->credentials->n_groups > GROUPS_MAX)
		return invalid(v, "unix_socket.credentials.groups: %zu", s->credentials->n_groups);
	if (s->n_queue > 0 && (s->listening || (s->type != SOCK_DGRAM && !is_connected(s))))
		return invalid(v, "unix_socket.queue: of one that is not connected");
	r = check_unix_name(v, s);
	if (r >= 0)
		r = check_unix_peers(v, s);
	if (r >= 0)
		r = check_unix_birth(v, s);
	for (size_t i = 0; r >= 0 && i < s->n_queue; i++)
		r = check_unix_message(v, s, i);
	return r;
}
