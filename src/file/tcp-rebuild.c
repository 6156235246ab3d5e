/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making TCP sockets anew. All that are bound are bound before any listens, and all listen before any
 * is connected: a port that has a listener takes others only if they are forced (repair mode).
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file/inet-address.h"
#include "file/inet-options.h"
#include "file/socket-options.h"
#include "file/state.h"
#include "file/tcp-repair.h"
#include "file/tcp.h"
#include "util/cleanup.h"

int tcp_check(struct rebuild *r, const Coppice__File *file)
{
	int result = socket_options_check(r, file->tcp->options);

	return result < 0
		       ? result
		       : inet_address_check(r, "TCP", file->tcp->local, file->tcp->family,
					    file->tcp->ip->freebind || file->tcp->ip->transparent);
}

/* ---- create -------------------------------------------------------------------------------- */

/*
 * Remains of connections (TIME_WAIT) may be in the way of a socket that had been bound before there
 * were any: then it is bound as if it would share the address.
 */
static int bind_socket(struct rebuild *r, const Coppice__TcpSocket *tcp, int fd)
{
	char text[INET_ADDRESS_TEXT];
	union inet_sockaddr local;
	const int on = 1, off = 0;
	socklen_t len;

	if (!tcp->local)
		return 0;
	len = inet_address_get(tcp->local, tcp->family, &local);
	if (bind(fd, &local.any, len) >= 0)
		return 0;
	if (errno == EADDRINUSE && !tcp->options->reuse_addr &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) >= 0) {
		int result = bind(fd, &local.any, len) < 0 ? -errno : 0;

		if (result >= 0 && tcp->state != COPPICE__TCP_STATE__TCP_STATE_LISTEN)
			(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
		errno = -result;
		if (result >= 0)
			return 0;
	}
	return err_sys(r->ctx, -errno, "bind(%s)", inet_address_text(tcp->local, text));
}

static int set_congestion(struct rebuild *r, const char *name, int fd)
{
	char now[32] = "";
	socklen_t len = sizeof(now) - 1;
	int result;

	if (name[0] == '\0' ||
	    (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, now, &len) >= 0 && strcmp(now, name) == 0))
		return 0;
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) >= 0)
		return 0;
	result = err_sys(r->ctx, -errno, "setsockopt(TCP_CONGESTION, %s)", name);
	return err_hint(r->ctx, result, "load the kernel's module tcp_%s", name);
}

static int set_max_segment(struct rebuild *r, int size, int fd)
{
	int now;
	socklen_t len = sizeof(now);

	if (getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &now, &len) < 0 || now == size)
		return 0;
	if (setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &size, sizeof(size)) < 0)
		return err_sys(r->ctx, -errno, "setsockopt(TCP_MAXSEG, %d)", size);
	return 0;
}

static int prepare(struct rebuild *r, const Coppice__TcpSocket *tcp, int fd)
{
	int result = socket_options_set(r, tcp->options, fd, SOCKET_EARLY);

	if (result >= 0)
		result = inet_options_set(r, fd, tcp->ip, tcp->ipv6);
	if (result >= 0)
		result = set_congestion(r, tcp->tcp->congestion, fd);
	if (result < 0 || tcp_has_peer(tcp) || tcp->over)
		return result;
	result = set_max_segment(r, tcp->tcp->max_segment, fd);
	return result < 0 ? result : bind_socket(r, tcp, fd);
}

int tcp_create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const Coppice__TcpSocket *tcp = file->tcp;
	_cleanup_close_ int fd =
		socket((int)tcp->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       tcp->mptcp ? IPPROTO_MPTCP : IPPROTO_TCP);
	int result;

	if (fd < 0)
		return err_sys(r->ctx, -errno, "socket(%u, SOCK_STREAM%s)", tcp->family,
			       tcp->mptcp ? ", IPPROTO_MPTCP" : "");
	result = prepare(r, tcp, fd);
	if (result >= 0)
		*ret_fd = TAKE_FD(fd);
	return result;
}

/* ---- connect ------------------------------------------------------------------------------- */

static int listen_all(struct rebuild *r, struct rebuild_file_state *state)
{
	for (size_t i = 0; i < r->n_files && !state->listening; i++) {
		const Coppice__File *msg = r->files[i].msg;
		char text[INET_ADDRESS_TEXT];

		if (msg->kind_case != COPPICE__FILE__KIND_TCP ||
		    msg->tcp->state != COPPICE__TCP_STATE__TCP_STATE_LISTEN)
			continue;
		if (listen(r->files[i].fd, (int)msg->tcp->backlog) < 0)
			return err_sys(r->ctx, -errno, "listen() on %s",
				       inet_address_text(msg->tcp->local, text));
	}
	state->listening = true;
	return 0;
}

/* A duplicate is kept until the tree runs; see rebuild_files_unhold(). */
static int keep_duplicate(struct rebuild *r, struct rebuild_file_state *state, int fd)
{
	int *slot =
		arena_append(r->arena, &state->connections, &state->n_connections, sizeof(*slot));

	if (!slot)
		return err_oom(r->ctx);
	*slot = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *slot < 0 ? err_sys(r->ctx, -errno, "fcntl(F_DUPFD_CLOEXEC)") : 0;
}

static int make_connection(struct rebuild *r, const Coppice__TcpSocket *tcp, int fd)
{
	struct rebuild_file_state *state = rebuild_file_state_get(r);
	int result = tcp_hold_rebuild(r);

	if (result >= 0)
		result = keep_duplicate(r, state, fd);
	return result < 0 ? result : tcp_connection_make(r, tcp, fd);
}

int tcp_connect(struct rebuild *r, const Coppice__File *file, int fd)
{
	const Coppice__TcpSocket *tcp = file->tcp;
	struct rebuild_file_state *state = rebuild_file_state_get(r);
	int result = state ? listen_all(r, state) : err_oom(r->ctx);

	if (result >= 0 && tcp_has_peer(tcp))
		result = make_connection(r, tcp, fd);
	else if (result >= 0 && tcp->over)
		result = tcp_over_make(r, tcp, fd);
	/* repair mode has reset SO_REUSEADDR, and buffers were enlarged */
	return result < 0 ? result : socket_options_set(r, tcp->options, fd, SOCKET_EARLY);
}

int tcp_last(struct rebuild *r, const Coppice__File *file, int fd)
{
	int result = tcp_options_set(r, fd, file->tcp->tcp);

	return result < 0 ? result : socket_options_set(r, file->tcp->options, fd, SOCKET_LATE);
}
