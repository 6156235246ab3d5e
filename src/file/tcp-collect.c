/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading TCP sockets, in two steps: when it is first seen, the options and the addresses; when all
 * are known and their packets are held back, so that nothing moves any more, the state and what is
 * queued.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file/inet-address.h"
#include "file/inet-options.h"
#include "file/socket-options.h"
#include "file/state.h"
#include "file/tcp-repair.h"
#include "file/tcp.h"
#include "util/cleanup.h"

enum {
	NAME_MAX_LEN = 32,	 /* TCP_CA_NAME_MAX, TCP_ULP_NAME_MAX */
	SEND_SLACK = 512 * 1024, /* a buffer that is confirmed in part: at most GSO_MAX_SIZE */
};

static int refuse(struct collect *c, const struct file_probe *probe, const char *hint,
		  const char *what)
{
	return collect_refuse(c, hint, "%s, fd %d (TCP %s): %s", collect_name(c, probe->process),
			      probe->number, probe->link, what);
}

/* ---- at first sight ------------------------------------------------------------------------ */

static int collect_addresses(struct collect *c, int fd, Coppice__TcpSocket *socket)
{
	union inet_sockaddr address = {0};
	socklen_t len = sizeof(address);
	int r;

	if (getsockname(fd, &address.any, &len) < 0)
		return err_sys(c->ctx, -errno, "getsockname()");
	r = inet_address_collect(c, &address, &socket->local);
	if (r < 0)
		return r;
	len = sizeof(address);
	if (getpeername(fd, &address.any, &len) < 0)
		return errno == ENOTCONN ? 0 : err_sys(c->ctx, -errno, "getpeername()");
	return inet_address_collect(c, &address, &socket->remote);
}

static int collect_congestion(struct collect *c, int fd, Coppice__TcpOptions *tcp)
{
	char name[NAME_MAX_LEN] = "";
	socklen_t len = sizeof(name) - 1;

	if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len) < 0)
		return errno == EOPNOTSUPP ? 0
					   : err_sys(c->ctx, -errno, "getsockopt(TCP_CONGESTION)");
	tcp->congestion = arena_strdup(c->arena, name);
	return tcp->congestion ? 0 : err_oom(c->ctx);
}

/* Protocols above it in the kernel (TLS ...) have state of their own. */
static int refuse_ulp(struct collect *c, const struct file_probe *probe)
{
	char name[NAME_MAX_LEN] = "";
	socklen_t len = sizeof(name) - 1;

	if (getsockopt(probe->fd, IPPROTO_TCP, TCP_ULP, name, &len) < 0 || len == 0 || !name[0])
		return 0;
	return collect_refuse(c, NULL,
			      "%s, fd %d (TCP %s): the kernel runs %s on it (TCP_ULP), whose keys "
			      "and records cannot be read",
			      collect_name(c, probe->process), probe->number, probe->link, name);
}

static int collect_options(struct collect *c, const struct file_probe *probe,
			   Coppice__TcpSocket *socket)
{
	Coppice__TcpOptions *tcp = arena_new(c->arena, Coppice__TcpOptions);
	int r;

	if (!tcp)
		return err_oom(c->ctx);
	coppice__tcp_options__init(tcp);
	socket->tcp = tcp;
	r = socket_options_collect(c, probe, &socket->options);
	/* MPTCP hands connections out with 0, which means 1 and cannot be set (sock_rcvlowat()) */
	if (r >= 0 && socket->options->receive_low_water == 0)
		socket->options->receive_low_water = 1;
	/* SK_FORCE_REUSE, of repair mode: a coppice was killed in it, and what it was is not known */
	if (r >= 0 && socket->options->reuse_addr > 1)
		socket->options->reuse_addr = 0;
	if (r >= 0)
		r = inet_options_collect(c, probe, (int)socket->family, &socket->ip, &socket->ipv6);
	if (r >= 0)
		r = tcp_options_collect(c->ctx, probe->fd, tcp);
	if (r >= 0)
		r = collect_congestion(c, probe->fd, tcp);
	return r < 0 || socket->mptcp ? r : refuse_ulp(c, probe);
}

int tcp_collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__TcpSocket *socket = arena_new(c->arena, Coppice__TcpSocket);
	int r;

	if (!socket)
		return err_oom(c->ctx);
	coppice__tcp_socket__init(socket);
	file->tcp = socket;
	socket->family = (uint32_t)socket_domain(probe);
	socket->mptcp = inet_protocol(probe) == IPPROTO_MPTCP;
	r = collect_options(c, probe, socket);
	return r < 0 ? r : collect_addresses(c, probe->fd, socket);
}

/* ---- the state ----------------------------------------------------------------------------- */

static int count(struct context *ctx, int fd, unsigned long request, const char *name, int *ret)
{
	if (ioctl(fd, request, ret) < 0)
		return err_sys(ctx, -errno, "ioctl(%s)", name);
	return 0;
}

/*
 * SIOCINQ counts up to a byte that was sent as urgent, unless SO_OOBINLINE is set, and a look ends there
 * (tcp_inq(), tcp_recvmsg_locked()), even if the program has received that byte by MSG_OOB already, when
 * poll() tells of none any more. Whether there is more behind it, SO_OOBINLINE shows.
 */
static int count_behind_urgent(struct context *ctx, int fd, int *ret)
{
	const int on = 1, off = 0;
	int up_to, all;
	int r = count(ctx, fd, SIOCINQ, "SIOCINQ", &up_to);

	if (r < 0)
		return r;
	if (setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) < 0)
		return err_sys(ctx, -errno, "setsockopt(SO_OOBINLINE)");
	r = count(ctx, fd, SIOCINQ, "SIOCINQ", &all);
	if (setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &off, sizeof(off)) < 0 && r >= 0)
		r = err_sys(ctx, -errno, "setsockopt(SO_OOBINLINE)");
	if (r >= 0)
		*ret = all - up_to;
	return r;
}

/*
 * What has come and was not read yet. With SO_PEEK_OFF a look has to start where the queue does, and
 * must not move on what the program set.
 */
static int read_unread(struct collect *c, int fd, const Coppice__SocketOptions *options,
		       ProtobufCBinaryData *ret)
{
	const int start = 0, offset = options->peek_offset;
	int n, r = count(c->ctx, fd, SIOCINQ, "SIOCINQ", &n);
	ssize_t got;

	if (r < 0 || n <= 0)
		return r;
	ret->data = arena_alloc(c->arena, (size_t)n);
	if (!ret->data)
		return err_oom(c->ctx);
	ret->len = (size_t)n;
	if (offset >= 0 && setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start)) < 0)
		return err_sys(c->ctx, -errno, "setsockopt(SO_PEEK_OFF)");
	got = recv(fd, ret->data, ret->len, MSG_PEEK | MSG_DONTWAIT);
	if (got != n)
		r = got < 0 ? err_sys(c->ctx, -errno, "recv(MSG_PEEK)")
			    : err_msg(c->ctx, -EIO, "%zd of %d bytes could be read", got, n);
	if (offset >= 0 && setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)) < 0 &&
	    r >= 0)
		r = err_sys(c->ctx, -errno, "setsockopt(SO_PEEK_OFF)");
	return r;
}

/* tcp_receive_window(): rcv_wnd counts from where the peer was told of it. */
static uint32_t receive_window(const struct tcp_repair_state *state)
{
	uint32_t edge = state->window.rcv_wup + state->window.rcv_wnd;
	int32_t left = (int32_t)(edge - state->receive_seq);

	return left > 0 ? (uint32_t)left : 0;
}

static void fill_connection(Coppice__TcpConnection *to, const struct tcp_repair_state *from,
			    const struct tcp_info *info)
{
	to->send_seq = from->send_seq;
	to->receive_seq = from->receive_seq;
	to->mss = from->mss;
	to->timestamp = from->timestamp;
	to->sack = info->tcpi_options & TCPI_OPT_SACK;
	to->timestamps = info->tcpi_options & TCPI_OPT_TIMESTAMPS;
	to->window_scaling = info->tcpi_options & TCPI_OPT_WSCALE;
	to->send_scale = to->window_scaling ? info->tcpi_snd_wscale : 0;
	to->receive_scale = to->window_scaling ? info->tcpi_rcv_wscale : 0;
	to->window_update = from->window.snd_wl1;
	to->send_window = from->window.snd_wnd;
	to->max_window = from->window.max_window;
	to->receive_window = receive_window(from);
}

static int collect_connection(struct collect *c, int fd, Coppice__TcpSocket *socket,
			      const struct tcp_info *info)
{
	Coppice__TcpConnection *conn = arena_new(c->arena, Coppice__TcpConnection);
	struct tcp_repair_state state;
	_cleanup_free_ char *send = NULL;
	int queued = 0, unsent = 0;
	size_t data, room;
	int r;

	if (!conn)
		return err_oom(c->ctx);
	coppice__tcp_connection__init(conn);
	socket->connection = conn;
	r = count(c->ctx, fd, SIOCOUTQ, "SIOCOUTQ", &queued);
	if (r >= 0)
		r = count(c->ctx, fd, SIOCOUTQNSD, "SIOCOUTQNSD", &unsent);
	if (r < 0)
		return r;
	/* SIOCOUTQ counts a FIN as one; it is no byte. */
	data = (size_t)queued - (queued > 0 && tcp_fin_queued(socket));
	room = data ? data + SEND_SLACK : 0;
	send = malloc(room + 1);
	if (!send)
		return err_oom(c->ctx);
	r = tcp_repair_read(c->ctx, fd, socket->options->reuse_addr, send, room, &state);
	if (r < 0)
		return r;
	if (state.n_send < data)
		return err_msg(c->ctx, -EIO, "only %zu of %zu bytes to be sent could be read",
			       state.n_send, data);
	fill_connection(conn, &state, info);
	/* Only now: a look, too, may open the window (tcp_cleanup_rbuf()). */
	r = read_unread(c, fd, socket->options, &conn->unread);
	if (r < 0)
		return r;
	conn->unsent = (uint32_t)unsent;
	conn->unacked.len = data;
	conn->unacked.data = arena_memdup(c->arena, send + state.n_send - data, data);
	return conn->unacked.data || data == 0 ? 0 : err_oom(c->ctx);
}

/* As the program set it; where it did not, as it is in every new socket. */
static int collect_max_segment(struct collect *c, int fd, Coppice__TcpOptions *tcp)
{
	socklen_t len = sizeof(tcp->max_segment);

	if (getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &tcp->max_segment, &len) < 0)
		return errno == EOPNOTSUPP ? 0 : err_sys(c->ctx, -errno, "getsockopt(TCP_MAXSEG)");
	return 0;
}

static int refuse_mptcp(struct collect *c, const struct file_probe *probe)
{
	return refuse(c, probe, NULL,
		      "is a connection of MPTCP, whose queues and numbers the kernel shows to "
		      "nobody; a client gets plain TCP with GODEBUG=multipathtcp=0");
}

static int refuse_urgent(struct collect *c, const struct file_probe *probe, int fd,
			 short *ret_events)
{
	struct pollfd pfd = {.fd = fd, .events = POLLPRI | POLLRDHUP};

	if (poll(&pfd, 1, 0) < 0)
		return err_sys(c->ctx, -errno, "poll()");
	*ret_events = pfd.revents;
	if (!(pfd.revents & POLLPRI))
		return 0;
	return refuse(c, probe, "let it read it", "has urgent data that was not read yet");
}

static int refuse_behind_urgent(struct collect *c, const struct file_probe *probe, int fd,
				const Coppice__SocketOptions *options)
{
	int behind = 0;
	int r = options->oob_inline ? 0 : count_behind_urgent(c->ctx, fd, &behind);

	if (r < 0 || behind == 0)
		return r;
	return refuse(c, probe, "let it read it",
		      "has data that was not read yet, in which urgent data was");
}

/* A socket in TCP_CLOSE: never connected, or not any more. */
static int collect_closed(struct collect *c, const struct file_probe *probe, int fd,
			  Coppice__TcpSocket *socket)
{
	struct pollfd pfd = {.fd = fd};
	short events;
	char byte;
	int r;

	socket->remote = NULL;
	if (poll(&pfd, 1, 0) < 0)
		return err_sys(c->ctx, -errno, "poll()");
	if (pfd.revents & POLLERR)
		return refuse(c, probe, "let it read or write once",
			      "its connection failed, and the program has not been told yet; which "
			      "error it will be cannot be looked at without taking it away");
	socket->over = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
	if (socket->over && socket->mptcp)
		return refuse_mptcp(c, probe);
	if (!socket->over)
		return collect_max_segment(c, fd, socket->tcp);
	r = refuse_urgent(c, probe, fd, &events);
	if (r >= 0)
		r = refuse_behind_urgent(c, probe, fd, socket->options);
	return r < 0 ? r : read_unread(c, fd, socket->options, &socket->unread);
}

/* For a listening socket TCP_INFO tells its queue of connections that wait for accept(). */
static int collect_listening(struct collect *c, const struct file_probe *probe, int fd,
			     Coppice__TcpSocket *socket, const struct tcp_info *info)
{
	socket->backlog = info->tcpi_sacked;
	if (info->tcpi_unacked == 0 || c->opt.skip_in_flight)
		return collect_max_segment(c, fd, socket->tcp);
	return collect_refuse(
		c, "--skip-in-flight drops them",
		"%s, fd %d (TCP %s): %u connections wait to be accepted, and cannot be "
		"put into a queue again",
		collect_name(c, probe->process), probe->number, probe->link, info->tcpi_unacked);
}

static int refuse_connected(struct collect *c, const struct file_probe *probe,
			    const Coppice__TcpSocket *socket)
{
	char local[INET_ADDRESS_TEXT], remote[INET_ADDRESS_TEXT];

	if (socket->mptcp)
		return refuse_mptcp(c, probe);
	if (!socket->remote)
		return refuse(c, probe, "try again when it is connected", "is being connected");
	if (c->opt.tcp_established || tcp_peer_in_tree(c, socket))
		return 0;
	return collect_refuse(c, "--tcp-established keeps it, --tcp-close gives it up",
			      "%s, fd %d (TCP %s): is connected, %s to %s",
			      collect_name(c, probe->process), probe->number, probe->link,
			      inet_address_text(socket->local, local),
			      inet_address_text(socket->remote, remote));
}

/*
 * --tcp-close: the program will find that the peer has ended the connection. Not of MPTCP, which has no
 * repair mode to make such a socket by (tcp_over_make()).
 */
static void give_up(Coppice__TcpSocket *socket)
{
	socket->state = COPPICE__TCP_STATE__TCP_STATE_CLOSE;
	socket->remote = NULL;
	socket->over = true;
}

static int collect_state(struct collect *c, const struct file_probe *probe, int fd,
			 Coppice__TcpSocket *socket)
{
	struct tcp_info info;
	size_t refusals = c->n_refusals;
	short events = 0;
	int r = tcp_info_get(c->ctx, fd, &info);

	if (r < 0)
		return r;
	socket->state = (Coppice__TcpState)info.tcpi_state;
	if (socket->state == COPPICE__TCP_STATE__TCP_STATE_CLOSE)
		return collect_closed(c, probe, fd, socket);
	if (socket->state == COPPICE__TCP_STATE__TCP_STATE_LISTEN)
		return collect_listening(c, probe, fd, socket, &info);
	if (c->opt.tcp_close && !socket->mptcp && !tcp_peer_in_tree(c, socket)) {
		give_up(socket);
		return 0;
	}
	r = refuse_connected(c, probe, socket);
	if (r >= 0)
		r = refuse_urgent(c, probe, fd, &events);
	if (r >= 0 && c->n_refusals == refusals)
		r = refuse_behind_urgent(c, probe, fd, socket->options);
	if (r < 0 || c->n_refusals > refusals)
		return r;
	socket->shut_read = events & POLLRDHUP;
	return collect_connection(c, fd, socket, &info);
}

int tcp_collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	_cleanup_close_ int fd = -EBADF;
	int r = tcp_hold_collect(c);

	if (r >= 0)
		r = file_probe_dup(c, probe, &fd);
	if (r >= 0)
		r = tcp_refuse_signed(c, probe, fd);
	return r < 0 ? r : collect_state(c, probe, fd, file->tcp);
}

/* ---- before the kill ----------------------------------------------------------------------- */

/* close() of a socket in repair mode drops it (tcp_disconnect()): no FIN, no reset, and no remains. */
int tcp_disarm(struct collect *c, const struct file_probe *probe, const Coppice__File *file)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!tcp_has_peer(file->tcp))
		return 0;
	r = file_probe_dup(c, probe, &fd);
	return r < 0 ? r : tcp_repair_on(c->ctx, fd);
}
