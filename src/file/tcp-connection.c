/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making connections, by repair mode (tcp-repair.h). The steps, in the only order in which the kernel
 * takes them:
 *
 *  1. Sequence numbers of both directions, from what is queued backwards; connect(), which is done
 *     at once; the options that the two ends had agreed upon (not after data).
 *  2. What was not read is written into the receive queue, what was sent into the send queue.
 *  3. What was queued but not sent must not count as sent. So the window is closed behind what was sent,
 *     and the rest is written out of repair mode, as a program would.
 *  4. A FIN from the peer, and its confirmation of ours, are given as segments (tcp-segment.h). Our own is
 *     queued by shutdown(): in repair mode as one that was sent, outside and behind a closed window as
 *     one that was not.
 *  5. The windows as they were.
 *
 * All packets of the connection are held back meanwhile. What is not set, because nobody can: the
 * congestion window and round-trip times (they start anew, as after a pause), what came out of order
 * (the peer sends it again), the peer's last timestamp (the next segment brings it), ECN.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file/inet-address.h"
#include "file/tcp-repair.h"
#include "file/tcp-segment.h"
#include "file/tcp.h"
#include "util/macro.h"

enum {
	ROOM = 256 * 1024, /* bytes of buffer more than there is data, for what the kernel adds */
	PATIENCE = 1000,   /* looks at the state, a millisecond apart */
	FAKE_PORT = 9,
	FAKE_TRIES = 100,
};

/* ---- step 1 -------------------------------------------------------------------------------- */

static int set_options(struct rebuild *r, const Coppice__TcpConnection *conn, int fd)
{
	struct tcp_repair_opt options[4];
	socklen_t n = 0;

	options[n++] = (struct tcp_repair_opt){2 /* TCPOPT_MAXSEG */, conn->mss};
	if (conn->window_scaling)
		options[n++] = (struct tcp_repair_opt){
			3 /* TCPOPT_WINDOW */, conn->send_scale | conn->receive_scale << 16};
	if (conn->sack)
		options[n++] = (struct tcp_repair_opt){4 /* TCPOPT_SACK_PERMITTED */, 0};
	if (conn->timestamps)
		options[n++] = (struct tcp_repair_opt){8 /* TCPOPT_TIMESTAMP */, 0};
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options, n * sizeof(*options)) < 0)
		return err_sys(r->ctx, -errno, "setsockopt(TCP_REPAIR_OPTIONS)");
	if (setsockopt(fd, IPPROTO_TCP, TCP_TIMESTAMP, &conn->timestamp, sizeof(conn->timestamp)) <
	    0)
		return err_sys(r->ctx, -errno, "setsockopt(TCP_TIMESTAMP)");
	return 0;
}

static int bind_local(struct rebuild *r, const Coppice__TcpSocket *socket, int fd)
{
	char text[INET_ADDRESS_TEXT];
	union inet_sockaddr local;
	socklen_t len;

	if (!socket->local)
		return 0;
	len = inet_address_get(socket->local, socket->family, &local);
	if (bind(fd, &local.any, len) < 0)
		return err_sys(r->ctx, -errno, "bind(%s)", inet_address_text(socket->local, text));
	return 0;
}

/* In repair mode from here on. */
static int begin(struct rebuild *r, const Coppice__TcpSocket *socket, int fd, uint32_t send_seq,
		 uint32_t receive_seq)
{
	int result = tcp_repair_on(r->ctx, fd);

	if (result >= 0)
		result = bind_local(r, socket, fd);
	if (result >= 0)
		result = tcp_repair_set_seq(r->ctx, fd, TCP_SEND_QUEUE, send_seq);
	if (result >= 0)
		result = tcp_repair_set_seq(r->ctx, fd, TCP_RECV_QUEUE, receive_seq);
	return result;
}

static int connect_remote(struct rebuild *r, const Coppice__TcpSocket *socket, int fd)
{
	char local[INET_ADDRESS_TEXT], remote[INET_ADDRESS_TEXT];
	union inet_sockaddr address;
	socklen_t len = inet_address_get(socket->remote, socket->family, &address);
	int result;

	if (connect(fd, &address.any, len) >= 0)
		return 0;
	result = err_sys(r->ctx, -errno, "connect(%s) from %s",
			 inet_address_text(socket->remote, remote),
			 inet_address_text(socket->local, local));
	return result == -EADDRNOTAVAIL ? err_hint(r->ctx, result,
						   "the connection exists already, or what a dead "
						   "process left of it; ss -a shows it")
					: result;
}

/* ---- steps 2 and 3 ------------------------------------------------------------------------- */

/* SO_SNDBUFFORCE and SO_RCVBUFFORCE double what they are given; SOCKET_LATE sets the real size. */
static int make_room(struct rebuild *r, int fd, int option, const char *name, size_t len)
{
	const int size = (int)MIN(len * 2 + ROOM, (size_t)INT32_MAX / 2);

	if (setsockopt(fd, SOL_SOCKET, option, &size, sizeof(size)) < 0)
		return err_sys(r->ctx, -errno, "setsockopt(%s, %d)", name, size);
	return 0;
}

static int put(struct rebuild *r, int fd, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(fd, data + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return err_sys(r->ctx, -errno, "send() of %zu of %zu queued bytes",
				       len - done, len);
		done += (size_t)n;
	}
	return 0;
}

static int put_unread(struct rebuild *r, const ProtobufCBinaryData *data, int fd)
{
	int result;

	if (data->len == 0)
		return 0;
	result = make_room(r, fd, SO_RCVBUFFORCE, "SO_RCVBUFFORCE", data->len);
	if (result >= 0)
		result = tcp_repair_select(r->ctx, fd, TCP_RECV_QUEUE);
	return result < 0 ? result : put(r, fd, data->data, data->len);
}

/* Closes the window towards the peer behind the first @len bytes that are queued. */
static int close_window(struct rebuild *r, const Coppice__TcpSocket *socket, int fd, size_t len)
{
	const Coppice__TcpConnection *conn = socket->connection;
	const struct tcp_repair_window window = {
		.snd_wl1 = conn->window_update,
		.snd_wnd = (uint32_t)len,
		.max_window = MAX((uint32_t)len, conn->max_window),
		.rcv_wnd = conn->receive_window,
		.rcv_wup = conn->receive_seq - tcp_fin_received(socket),
	};

	return tcp_repair_set_window(r->ctx, fd, &window);
}

/* How many of the queued bytes were not sent; a FIN behind them is not one. */
static size_t unsent_bytes(const Coppice__TcpSocket *socket)
{
	return socket->connection->unsent -
	       (socket->connection->unsent > 0 && tcp_fin_queued(socket));
}

static int put_unacked(struct rebuild *r, const Coppice__TcpSocket *socket, int fd)
{
	const Coppice__TcpConnection *conn = socket->connection;
	size_t sent = conn->unacked.len - unsent_bytes(socket);
	int result;

	if (conn->unacked.len == 0)
		return 0;
	result = make_room(r, fd, SO_SNDBUFFORCE, "SO_SNDBUFFORCE", conn->unacked.len);
	if (result >= 0)
		result = tcp_repair_select(r->ctx, fd, TCP_SEND_QUEUE);
	if (result >= 0)
		result = put(r, fd, conn->unacked.data, sent);
	if (result < 0 || sent == conn->unacked.len)
		return result;
	result = close_window(r, socket, fd, sent);
	if (result >= 0)
		result = tcp_repair_off(r->ctx, fd);
	if (result >= 0)
		result = put(r, fd, conn->unacked.data + sent, conn->unacked.len - sent);
	return result < 0 ? result : tcp_repair_on(r->ctx, fd);
}

/* ---- step 4 -------------------------------------------------------------------------------- */

static int await_state(struct rebuild *r, int fd, Coppice__TcpState state)
{
	struct tcp_info info;

	for (int i = 0; i < PATIENCE; i++) {
		int result = tcp_info_get(r->ctx, fd, &info);

		if (result < 0 || (Coppice__TcpState)info.tcpi_state == state)
			return result;
		(void)poll(NULL, 0, 1); /* softirqs of another CPU are slow at times */
	}
	(void)err_msg(r->ctx, -ETIMEDOUT, "the socket is in state %u and does not come to %u",
		      info.tcpi_state, state);
	return err_hint(r->ctx, -ETIMEDOUT, "a firewall may drop packets of the loopback device");
}

static int give(struct rebuild *r, const Coppice__TcpSocket *socket, uint32_t seq, uint32_t ack,
		uint8_t flags)
{
	const struct hold_flow flow = tcp_flow(socket);

	return tcp_segment_give(r->ctx, &flow, socket->local->scope_id, seq, ack, flags);
}

/* The FIN that was received last; nothing of what is queued here is confirmed by it. */
static int give_fin(struct rebuild *r, const Coppice__TcpSocket *socket, int fd,
		    Coppice__TcpState then)
{
	const Coppice__TcpConnection *conn = socket->connection;
	uint32_t unacked = (uint32_t)conn->unacked.len + tcp_fin_queued(socket);
	/* a segment must lie in the window, which is set to what it was in the end */
	const struct tcp_repair_window open = {
		.snd_wl1 = conn->receive_seq - 1,
		.rcv_wnd = UINT16_MAX,
		.rcv_wup = conn->receive_seq - 1,
	};
	int result = tcp_repair_set_window(r->ctx, fd, &open);

	if (result >= 0)
		result = give(r, socket, conn->receive_seq - 1, conn->send_seq - unacked,
			      SEGMENT_FIN | SEGMENT_ACK);
	return result < 0 ? result : await_state(r, fd, then);
}

/* shutdown(SHUT_WR). In repair mode, with the send queue selected, the FIN counts as sent. */
static int queue_fin(struct rebuild *r, const Coppice__TcpSocket *socket, int fd)
{
	const Coppice__TcpConnection *conn = socket->connection;
	bool sent = conn->unsent == 0;
	int result = sent ? tcp_repair_select(r->ctx, fd, TCP_SEND_QUEUE)
			  : close_window(r, socket, fd, conn->unacked.len - unsent_bytes(socket));

	if (result >= 0 && !sent)
		result = tcp_repair_off(r->ctx, fd);
	if (result >= 0 && shutdown(fd, SHUT_WR) < 0)
		result = err_sys(r->ctx, -errno, "shutdown(SHUT_WR)");
	return result < 0 || sent ? result : tcp_repair_on(r->ctx, fd);
}

/* The FIN that shutdown() queued is confirmed. */
static int confirm_fin(struct rebuild *r, const Coppice__TcpSocket *socket, int fd)
{
	const Coppice__TcpConnection *conn = socket->connection;
	int result = give(r, socket, conn->receive_seq, conn->send_seq, SEGMENT_ACK);

	return result < 0 ? result : await_state(r, fd, COPPICE__TCP_STATE__TCP_STATE_FIN_WAIT2);
}

static int reach_state(struct rebuild *r, const Coppice__TcpSocket *socket, int fd)
{
	int result = 0;

	switch (socket->state) {
	case COPPICE__TCP_STATE__TCP_STATE_FIN_WAIT1:
		return queue_fin(r, socket, fd);
	case COPPICE__TCP_STATE__TCP_STATE_FIN_WAIT2:
		result = queue_fin(r, socket, fd);
		return result < 0 ? result : confirm_fin(r, socket, fd);
	case COPPICE__TCP_STATE__TCP_STATE_CLOSE_WAIT:
		return give_fin(r, socket, fd, COPPICE__TCP_STATE__TCP_STATE_CLOSE_WAIT);
	case COPPICE__TCP_STATE__TCP_STATE_CLOSING:
		result = queue_fin(r, socket, fd);
		return result < 0 ? result : give_fin(r, socket, fd, socket->state);
	case COPPICE__TCP_STATE__TCP_STATE_LAST_ACK:
		result = give_fin(r, socket, fd, COPPICE__TCP_STATE__TCP_STATE_CLOSE_WAIT);
		return result < 0 ? result : queue_fin(r, socket, fd);
	default:
		return 0;
	}
}

/* ---- together ------------------------------------------------------------------------------ */

static int set_windows(struct rebuild *r, const Coppice__TcpConnection *conn, int fd)
{
	const struct tcp_repair_window window = {
		.snd_wl1 = conn->window_update,
		.snd_wnd = conn->send_window,
		.max_window = conn->max_window,
		.rcv_wnd = conn->receive_window,
		.rcv_wup = conn->receive_seq,
	};

	return tcp_repair_set_window(r->ctx, fd, &window);
}

/* What was there when the first of the queued bytes had not been sent, and not come. */
static uint32_t first_sent(const Coppice__TcpSocket *socket)
{
	const Coppice__TcpConnection *conn = socket->connection;
	bool fin =
		tcp_fin_queued(socket) || socket->state == COPPICE__TCP_STATE__TCP_STATE_FIN_WAIT2;

	return conn->send_seq - (uint32_t)conn->unacked.len - fin;
}

int tcp_connection_make(struct rebuild *r, const Coppice__TcpSocket *socket, int fd)
{
	const Coppice__TcpConnection *conn = socket->connection;
	uint32_t first_received =
		conn->receive_seq - (uint32_t)conn->unread.len - tcp_fin_received(socket);
	int result = begin(r, socket, fd, first_sent(socket), first_received);

	if (result >= 0)
		result = connect_remote(r, socket, fd);
	if (result >= 0)
		result = set_options(r, conn, fd);
	if (result >= 0)
		result = put_unread(r, &conn->unread, fd);
	if (result >= 0)
		result = put_unacked(r, socket, fd);
	if (result >= 0)
		result = reach_state(r, socket, fd);
	if (result >= 0)
		result = set_windows(r, conn, fd);
	if (result >= 0)
		result = tcp_repair_off(r->ctx, fd);
	if (result >= 0 && socket->shut_read && !tcp_fin_received(socket) &&
	    shutdown(fd, SHUT_RD) < 0)
		result = err_sys(r->ctx, -errno, "shutdown(SHUT_RD)");
	return result;
}

/* ---- connections that are over ------------------------------------------------------------- */

/*
 * Any peer will do, on this machine, since nobody can see it any more, if there is no such connection.
 */
static int connect_fake(struct rebuild *r, Coppice__TcpSocket *socket, int fd)
{
	int result = -EADDRNOTAVAIL;

	for (uint32_t i = 0; result == -EADDRNOTAVAIL && i < FAKE_TRIES; i++) {
		socket->remote->port = FAKE_PORT + i;
		result = connect_remote(r, socket, fd);
	}
	return result;
}

/* Its address, or if it has none the loopback device's. */
static void choose_local(const Coppice__TcpSocket *socket, Coppice__InetAddress *local)
{
	static char v4[] = "127.0.0.1", v6[] = "::1";

	coppice__inet_address__init(local);
	if (socket->local)
		*local = *socket->local;
	else
		local->ip = socket->family == AF_INET ? v4 : v6;
}

/* The error, which the program has had or is not to have, is taken away. */
static int reset_by_peer(struct rebuild *r, const Coppice__TcpSocket *socket, int fd)
{
	const struct hold_flow flow = tcp_flow(socket);
	int error, result;
	socklen_t len = sizeof(error);

	result = tcp_segment_give(r->ctx, &flow, socket->local->scope_id,
				  (uint32_t)socket->unread.len, 0, SEGMENT_RST);
	if (result >= 0)
		result = await_state(r, fd, COPPICE__TCP_STATE__TCP_STATE_CLOSE);
	if (result >= 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		result = err_sys(r->ctx, -errno, "getsockopt(SO_ERROR)");
	return result;
}

int tcp_over_make(struct rebuild *r, const Coppice__TcpSocket *image, int fd)
{
	Coppice__TcpSocket socket = *image;
	Coppice__InetAddress local, remote;
	int result;

	choose_local(image, &local);
	remote = local;
	socket.local = &local;
	socket.remote = &remote;
	result = begin(r, &socket, fd, 0, 0);
	if (result >= 0)
		result = connect_fake(r, &socket, fd);
	if (result >= 0)
		result = put_unread(r, &socket.unread, fd);
	if (result >= 0)
		result = tcp_repair_off(r->ctx, fd);
	return result < 0 ? result : reset_by_peer(r, &socket, fd);
}
