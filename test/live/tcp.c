/* SPDX-License-Identifier: Apache-2.0 */
/* TCP sockets, with a peer outside the tree that goes on as if nothing had happened. */
#include "live.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "peer.h"
#include "util/macro.h"

enum { CHUNK = 100000, PORT = 7777, PEER_PORT = 7778 };

static int listener = -1, fd = -1;
static int family = AF_INET;

static socklen_t address(struct sockaddr_storage *ss, int port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		v4->sin_port = htons((uint16_t)port);
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*v4);
	}
	v6->sin6_port = htons((uint16_t)port);
	v6->sin6_addr = in6addr_loopback;
	return sizeof(*v6);
}

static int listen_at(int port, int backlog)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, port);
	int s = socket(family, SOCK_STREAM, 0);
	const int on = 1;

	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(s, (struct sockaddr *)&ss, len) < 0 || listen(s, backlog) < 0)
		return -1;
	return s;
}

static int connect_to(int port)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, port);
	int s = socket(family, SOCK_STREAM, 0);

	if (s < 0 || connect(s, (struct sockaddr *)&ss, len) < 0)
		return -1;
	return s;
}

/* @n bytes of the pattern, from byte @from of the stream on. */
static int send_pattern(int s, size_t from, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned char buf[4096];
		size_t part = MIN(sizeof(buf), n - i);
		ssize_t done;

		for (size_t k = 0; k < part; k++)
			buf[k] = pattern(from + i + k);
		done = send(s, buf, part, MSG_NOSIGNAL);
		if (done < 0)
			return live_fail("send at %zu: %s", from + i, strerror(errno));
		i += (size_t)done;
	}
	return 0;
}

static int expect_pattern(int s, size_t from, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned char buf[4096];
		ssize_t done = recv(s, buf, MIN(sizeof(buf), n - i), 0);

		if (done <= 0)
			return live_fail("recv at %zu: %s", from + i,
					 done == 0 ? "end" : strerror(errno));
		for (ssize_t k = 0; k < done; k++)
			if (buf[k] != pattern(from + i + (size_t)k))
				return live_fail("byte %zu is %#x", from + i + (size_t)k, buf[k]);
		i += (size_t)done;
	}
	return 0;
}

static int expect_end(int s)
{
	char byte;

	CHECK_EQ(recv(s, &byte, 1, 0), 0);
	return 0;
}

/* The program accepts a connection of the peer's, whose end is *@ret_peer until peer_start. */
static int make_pair(int *ret_peer)
{
	listener = listen_at(PORT, 5);
	*ret_peer = connect_to(PORT);
	fd = accept(listener, NULL, NULL);
	CHECK(listener >= 0 && *ret_peer >= 0 && fd >= 0);
	return 0;
}

/* ---- idle ------------------------------------------------------------------------------------ */

static int peer_talk(int s)
{
	return expect_pattern(s, 0, CHUNK) || send_pattern(s, 0, CHUNK) || expect_end(s) ||
	       send_pattern(s, CHUNK, 10);
}

static int make_idle(void)
{
	int peer;

	return make_pair(&peer) || peer_start(peer, NULL, peer_talk);
}

static int make_idle6(void)
{
	family = AF_INET6;
	return make_idle();
}

static int check_idle(void)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int another;

	CHECK_EQ(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	CHECK_EQ(((struct sockaddr_in *)&ss)->sin_port, htons(PORT));
	CHECK(send_pattern(fd, 0, CHUNK) == 0);
	/* the listener does, too */
	another = connect_to(PORT);
	CHECK(another >= 0 && accept(listener, NULL, NULL) >= 0);
	CHECK_EQ(shutdown(fd, SHUT_WR), 0);
	if (peer_finish() != 0)
		return 1;
	return expect_pattern(fd, 0, CHUNK + 10);
}

/* ---- queues ---------------------------------------------------------------------------------- */

static int n_sent;

static int peer_sends(int s)
{
	return send_pattern(s, 0, CHUNK);
}

/* Everything up to the end, and tells how much it was. */
static int peer_reads_all(int s)
{
	unsigned int n = 0;
	unsigned char byte;

	while (recv(s, &byte, 1, MSG_PEEK) == 1) {
		unsigned char buf[65536];
		ssize_t got = recv(s, buf, sizeof(buf), 0);

		for (ssize_t i = 0; i < got; i++, n++)
			if (buf[i] != pattern(n))
				return live_fail("byte %u is %#x", n, buf[i]);
	}
	CHECK_EQ(send(s, &n, sizeof(n), MSG_NOSIGNAL), sizeof(n));
	return 0;
}

static int queued(unsigned long request)
{
	int n = -1;

	return ioctl(fd, request, &n) < 0 ? -1 : n;
}

static bool all_came(void)
{
	return queued(SIOCINQ) == CHUNK;
}

static int fill_queue(void)
{
	static unsigned char buf[65536];
	int flags = fcntl(fd, F_GETFL);

	CHECK_EQ(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
	for (;;) {
		ssize_t n;

		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = pattern((size_t)n_sent + i);
		n = send(fd, buf, sizeof(buf), MSG_NOSIGNAL);
		if (n < 0)
			break;
		n_sent += (int)n;
	}
	CHECK_EQ(fcntl(fd, F_SETFL, flags), 0);
	return 0;
}

static int unsent_before;

static int make_queues(void)
{
	int peer;

	if (make_pair(&peer) != 0 || peer_start(peer, peer_sends, peer_reads_all) != 0)
		return 1;
	CHECK(live_await(all_came) == 0 && fill_queue() == 0);
	CHECK(queued(SIOCOUTQNSD) > 0 && queued(SIOCOUTQ) >= queued(SIOCOUTQNSD));
	unsent_before = queued(SIOCOUTQNSD);
	return 0;
}

static int make_queues6(void)
{
	family = AF_INET6;
	return make_queues();
}

static int expect_count(void)
{
	unsigned int n = 0;

	CHECK_EQ(recv(fd, &n, sizeof(n), MSG_WAITALL), sizeof(n));
	CHECK_EQ(n, n_sent);
	return 0;
}

static int check_queues(void)
{
	CHECK_EQ(queued(SIOCINQ), CHUNK);
	CHECK_EQ(queued(SIOCOUTQNSD), unsent_before);
	CHECK(expect_pattern(fd, 0, CHUNK) == 0);
	CHECK(shutdown(fd, SHUT_WR) == 0 && peer_finish() == 0);
	return expect_count();
}

/* ---- states ---------------------------------------------------------------------------------- */

static int state_of(int s)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ? -1 : info.tcpi_state;
}

static int awaited;

static bool is_in_state(void)
{
	return state_of(fd) == awaited;
}

static int await_state(int state)
{
	awaited = state;
	return live_await(is_in_state);
}

/* What arrives at a socket with such a filter is lost. */
static int set_deaf(int s, bool deaf)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = {.len = 1, .filter = &drop};
	const int none = 0;
	int r = deaf ? setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program))
		     : setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));

	return r < 0 ? live_fail("the filter cannot be changed: %s", strerror(errno)) : 0;
}

static int peer_is_deaf(int s)
{
	return set_deaf(s, true);
}

static int peer_hears_all(int s)
{
	return set_deaf(s, false) || peer_reads_all(s);
}

static int peer_ends(int s)
{
	return send_pattern(s, 0, CHUNK) || shutdown(s, SHUT_WR);
}

static int peer_ends_deaf(int s)
{
	return peer_ends(s) || set_deaf(s, true);
}

/* Without waiting for what it cannot hear. */
static int peer_ends_at_once(int s)
{
	return send_pattern(s, 0, 10) || shutdown(s, SHUT_WR);
}

static int peer_ends_late(int s)
{
	return expect_end(s) || peer_ends(s);
}

static int peer_expects_end(int s)
{
	return set_deaf(s, false) || expect_pattern(s, 0, 10) || expect_end(s);
}

/* The FIN has not been sent: the peer's buffer is full. */
static int make_fin_queued(void)
{
	int peer;

	if (make_pair(&peer) != 0 || peer_start(peer, NULL, peer_reads_all) != 0)
		return 1;
	CHECK(fill_queue() == 0 && shutdown(fd, SHUT_WR) == 0);
	CHECK_EQ(state_of(fd), TCP_FIN_WAIT1);
	return 0;
}

/* It has been sent, and lost. */
static int make_fin_wait1(void)
{
	int peer;

	if (make_pair(&peer) != 0 || peer_start(peer, peer_is_deaf, peer_hears_all) != 0)
		return 1;
	n_sent = 10;
	CHECK(send_pattern(fd, 0, 10) == 0 && shutdown(fd, SHUT_WR) == 0);
	CHECK_EQ(state_of(fd), TCP_FIN_WAIT1);
	return 0;
}

static int check_fin_wait1(void)
{
	CHECK_EQ(state_of(fd), TCP_FIN_WAIT1);
	if (peer_finish() != 0)
		return 1;
	return expect_count();
}

static int make_fin_wait2(void)
{
	int peer;

	if (make_pair(&peer) != 0 || peer_start(peer, peer_sends, peer_reads_all) != 0)
		return 1;
	n_sent = 10;
	CHECK(send_pattern(fd, 0, 10) == 0 && shutdown(fd, SHUT_WR) == 0);
	return await_state(TCP_FIN_WAIT2) || live_await(all_came);
}

static int check_fin_wait2(void)
{
	CHECK_EQ(state_of(fd), TCP_FIN_WAIT2);
	CHECK(expect_pattern(fd, 0, CHUNK) == 0);
	CHECK_EQ(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	CHECK_EQ(errno, EPIPE);
	if (peer_finish() != 0)
		return 1;
	return expect_count();
}

static int make_close_wait(void)
{
	int peer;

	if (make_pair(&peer) != 0 || peer_start(peer, peer_ends, peer_reads_all) != 0)
		return 1;
	return await_state(TCP_CLOSE_WAIT);
}

/* As routers talk to each other: nothing is taken that could have come from afar. */
static int make_near(void)
{
	const int most = 255;
	int peer;

	CHECK(make_pair(&peer) == 0);
	CHECK_EQ(setsockopt(peer, SOL_IP, IP_TTL, &most, sizeof(most)), 0);
	CHECK_EQ(setsockopt(fd, SOL_IP, IP_MINTTL, &most, sizeof(most)), 0);
	return peer_start(peer, peer_ends, peer_reads_all) || await_state(TCP_CLOSE_WAIT);
}

static int check_close_wait(void)
{
	CHECK_EQ(state_of(fd), TCP_CLOSE_WAIT);
	CHECK(expect_pattern(fd, 0, CHUNK) == 0 && expect_end(fd) == 0);
	CHECK(send_pattern(fd, 0, CHUNK) == 0 && shutdown(fd, SHUT_WR) == 0);
	n_sent = CHUNK;
	CHECK_EQ(peer_finish(), 1); /* it cannot say how much, but has read it */
	return strstr(live_failure(), "Broken pipe") || strstr(live_failure(), "send") ? 0 : 1;
}

static int make_last_ack(void)
{
	int peer;

	if (make_pair(&peer) != 0 || peer_start(peer, peer_ends_deaf, peer_expects_end) != 0)
		return 1;
	CHECK(await_state(TCP_CLOSE_WAIT) == 0);
	CHECK(send_pattern(fd, 0, 10) == 0 && shutdown(fd, SHUT_WR) == 0);
	CHECK_EQ(state_of(fd), TCP_LAST_ACK);
	return 0;
}

static int check_last_ack(void)
{
	CHECK_EQ(state_of(fd), TCP_LAST_ACK);
	CHECK(expect_pattern(fd, 0, CHUNK) == 0 && expect_end(fd) == 0);
	if (peer_finish() != 0)
		return 1;
	return await_state(TCP_CLOSE);
}

/* Both ends at the same time, and neither has heard the other's confirmation. */
static int make_closing(void)
{
	int peer;

	CHECK(make_pair(&peer) == 0 && set_deaf(peer, true) == 0);
	CHECK(send_pattern(fd, 0, 10) == 0 && shutdown(fd, SHUT_WR) == 0);
	if (peer_start(peer, peer_ends_at_once, peer_expects_end) != 0)
		return 1;
	return await_state(TCP_CLOSING);
}

static int check_closing(void)
{
	CHECK_EQ(state_of(fd), TCP_CLOSING);
	CHECK(expect_pattern(fd, 0, 10) == 0 && expect_end(fd) == 0);
	if (peer_finish() != 0)
		return 1;
	return await_state(TCP_CLOSE);
}

static int make_over(void)
{
	int peer;

	CHECK(make_pair(&peer) == 0 && shutdown(fd, SHUT_WR) == 0);
	if (peer_start(peer, peer_ends_late, NULL) != 0)
		return 1;
	return await_state(TCP_CLOSE);
}

static int check_over(void)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN | POLLRDHUP};

	CHECK_EQ(state_of(fd), TCP_CLOSE);
	CHECK_EQ(poll(&pfd, 1, 0), 1);
	CHECK_EQ(pfd.revents, POLLIN | POLLRDHUP | POLLHUP);
	CHECK(expect_pattern(fd, 0, CHUNK) == 0 && expect_end(fd) == 0);
	CHECK_EQ(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	CHECK_EQ(errno, EPIPE);
	return peer_finish();
}

static int make_shut_read(void)
{
	int peer;

	if (make_pair(&peer) != 0 || peer_start(peer, NULL, peer_reads_all) != 0)
		return 1;
	CHECK_EQ(shutdown(fd, SHUT_RD), 0);
	return 0;
}

static int check_shut_read(void)
{
	CHECK(expect_end(fd) == 0);
	CHECK(send_pattern(fd, 0, CHUNK) == 0 && shutdown(fd, SHUT_WR) == 0);
	return peer_finish(); /* it has read all; what it says then is for nobody */
}

/* ---- what is not kept as it is --------------------------------------------------------------- */

static int peer_expects_reset(int s)
{
	char byte;

	return recv(s, &byte, 1, 0) == 0 || errno == ECONNRESET
		       ? 0
		       : live_fail("recv: %s", strerror(errno));
}

static int make_given_up(void)
{
	int peer;

	return make_pair(&peer) || peer_start(peer, NULL, peer_expects_reset);
}

static int check_given_up(void)
{
	struct pollfd pfd = {.fd = fd};
	char byte = 0;

	CHECK_EQ(poll(&pfd, 1, 0), 1);
	CHECK_EQ(pfd.revents, POLLHUP);
	CHECK(expect_end(fd) == 0);
	CHECK_EQ(send(fd, &byte, 1, MSG_NOSIGNAL), -1);
	CHECK_EQ(errno, EPIPE);
	return peer_finish();
}

static bool one_waits(void)
{
	struct pollfd pfd = {.fd = listener, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

static int make_in_flight(void)
{
	int peer;

	listener = listen_at(PORT, 5);
	peer = connect_to(PORT);
	CHECK(listener >= 0 && peer >= 0 && live_await(one_waits) == 0);
	return peer_start(peer, NULL, peer_expects_reset);
}

static int check_in_flight(void)
{
	CHECK(!one_waits());
	CHECK(connect_to(PORT) >= 0 && accept(listener, NULL, NULL) >= 0);
	return peer_finish();
}

static int make_failed(void)
{
	const struct linger now = {.l_onoff = 1};
	int peer;

	CHECK(make_pair(&peer) == 0);
	CHECK_EQ(setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	CHECK_EQ(close(peer), 0);
	return await_state(TCP_CLOSE);
}

static int check_failed(void)
{
	char byte;

	CHECK_EQ(recv(fd, &byte, 1, 0), -1);
	CHECK_EQ(errno, ECONNRESET);
	return 0;
}

static int make_urgent(void)
{
	int peer;

	CHECK(make_pair(&peer) == 0);
	CHECK_EQ(send(peer, "!", 1, MSG_OOB), 1);
	return 0;
}

static int check_urgent(void)
{
	char byte = 0;

	CHECK_EQ(recv(fd, &byte, 1, MSG_OOB), 1);
	CHECK_EQ(byte, '!');
	return 0;
}

/* The urgent byte is received, what came before and after it is not. */
static int make_urgent_taken(void)
{
	char byte = 0;
	int peer;

	CHECK(make_pair(&peer) == 0);
	CHECK_EQ(send(peer, "before", 6, 0), 6);
	CHECK_EQ(send(peer, "!", 1, MSG_OOB), 1);
	CHECK_EQ(send(peer, "after", 5, 0), 5);
	while (recv(fd, &byte, 1, MSG_OOB) != 1)
		CHECK(poll(NULL, 0, 1) == 0);
	return 0;
}

static int check_urgent_taken(void)
{
	char buf[16];
	int inline_now = -1;
	socklen_t len = sizeof(inline_now);

	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &inline_now, &len), 0);
	CHECK_EQ(inline_now, 0);
	CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 6);
	CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 5);
	CHECK(memcmp(buf, "after", 5) == 0);
	return 0;
}

static int make_signed(void)
{
	struct tcp_md5sig key = {.tcpm_keylen = 3, .tcpm_key = "key"};

	listener = listen_at(PORT, 5);
	(void)address(&key.tcpm_addr, 0);
	if (setsockopt(listener, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)) < 0)
		return live_fail("no TCP_MD5SIG"), 77;
	return 0;
}

/* Clients that do not wait until the restored program runs. */
static int keeps_connecting(int s)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, PORT);
	pid_t pid = fork();

	if (pid != 0)
		return pid < 0;
	for (;;) {
		char byte;

		(void)recv(s, &byte, 1, 0); /* until the program has died */
		(void)close(s);
		s = socket(family, SOCK_STREAM, 0);
		if (connect(s, (struct sockaddr *)&ss, len) < 0)
			(void)poll(NULL, 0, 1);
	}
}

static int make_busy(void)
{
	int peer;

	return make_pair(&peer) || peer_start(peer, keeps_connecting, NULL);
}

static int check_busy(void)
{
	CHECK(expect_end(fd) == 0);
	CHECK(accept(listener, NULL, NULL) >= 0);
	return 0;
}

/* ---- both ends in the tree ------------------------------------------------------------------- */

static int other;

static int make_both(void)
{
	CHECK(make_pair(&other) == 0);
	CHECK(send_pattern(other, 0, CHUNK) == 0 && send_pattern(fd, 0, 10) == 0);
	return live_await(all_came);
}

static int check_both(void)
{
	CHECK(expect_pattern(fd, 0, CHUNK) == 0 && expect_pattern(other, 0, 10) == 0);
	CHECK(send_pattern(other, 5, 10) == 0 && expect_pattern(fd, 5, 10) == 0);
	CHECK(close(fd) == 0 && expect_end(other) == 0);
	return 0;
}

/* ---- without a peer -------------------------------------------------------------------------- */

static int make_bare(void)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, PORT);

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	other = socket(AF_INET, SOCK_STREAM, 0);
	return fd < 0 || bind(other, (struct sockaddr *)&ss, len) < 0;
}

static int check_bare(void)
{
	char byte;

	CHECK_EQ(recv(fd, &byte, 1, 0), -1);
	CHECK_EQ(errno, ENOTCONN);
	CHECK_EQ(listen(other, 1), 0);
	errno = 0;
	CHECK(connect_to(PORT) >= 0);
	return 0;
}

/* ---- MPTCP ----------------------------------------------------------------------------------- */

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int listen_mptcp(void)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, PORT);

	listener = socket(family, SOCK_STREAM, IPPROTO_MPTCP);
	if (listener < 0)
		return live_fail("no MPTCP here"), 77;
	return bind(listener, (struct sockaddr *)&ss, len) < 0 || listen(listener, 5) < 0;
}

static int protocol_of(int s)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	return getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0 ? -1 : protocol;
}

static int make_mptcp(void)
{
	return listen_mptcp();
}

static int check_mptcp(void)
{
	CHECK_EQ(protocol_of(listener), IPPROTO_MPTCP);
	CHECK(connect_to(PORT) >= 0 && accept(listener, NULL, NULL) >= 0);
	return 0;
}

/* What a server that asks for MPTCP gets from a client that does not. */
static int make_fallback(void)
{
	int peer, r = listen_mptcp();

	if (r != 0)
		return r;
	peer = connect_to(PORT);
	fd = accept(listener, NULL, NULL);
	CHECK(peer >= 0 && fd >= 0);
	return peer_start(peer, NULL, peer_talk);
}

static int make_mptcp_connected(void)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, PORT);
	int r = listen_mptcp();

	if (r != 0)
		return r;
	fd = socket(family, SOCK_STREAM, IPPROTO_MPTCP);
	CHECK_EQ(connect(fd, (struct sockaddr *)&ss, len), 0);
	other = accept(listener, NULL, NULL);
	return other < 0;
}

static int make_mptcp_given_up(void)
{
	int r = make_mptcp_connected();

	return r != 0 ? r : peer_start(other, NULL, NULL);
}

/* Both sides have ended it. */
static int make_mptcp_over(void)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);
	int r = make_mptcp_connected();

	if (r != 0)
		return r;
	CHECK_EQ(close(other), 0);
	CHECK(expect_end(fd) == 0);
	CHECK_EQ(shutdown(fd, SHUT_WR), 0);
	do
		CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	while (info.tcpi_state != TCP_CLOSE && poll(NULL, 0, 1) == 0);
	return 0;
}

/* A group that shares a port, and one of them is IPv6 only. */
static int group[3];

static int make_group(void)
{
	const int on = 1;

	for (size_t i = 0; i < ARRAY_SIZE(group); i++) {
		struct sockaddr_storage ss;
		socklen_t len;

		family = i == 2 ? AF_INET6 : AF_INET;
		len = address(&ss, PORT);
		group[i] = socket(family, SOCK_STREAM, 0);
		CHECK_EQ(setsockopt(group[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
		if (i == 2)
			CHECK_EQ(setsockopt(group[i], SOL_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
		CHECK_EQ(bind(group[i], (struct sockaddr *)&ss, len), 0);
		CHECK_EQ(listen(group[i], 3 + (int)i), 0);
	}
	return 0;
}

static int check_group(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(group); i++) {
		struct tcp_info info;
		socklen_t len = sizeof(info);
		int on = 0;

		CHECK_EQ(getsockopt(group[i], IPPROTO_TCP, TCP_INFO, &info, &len), 0);
		CHECK_EQ(info.tcpi_sacked, 3 + i); /* the backlog */
		len = sizeof(on);
		CHECK_EQ(getsockopt(group[i], SOL_SOCKET, SO_REUSEPORT, &on, &len), 0);
		CHECK_EQ(on, 1);
	}
	family = AF_INET6;
	CHECK(connect_to(PORT) >= 0 && accept(group[2], NULL, NULL) >= 0);
	return 0;
}

/* ---- options --------------------------------------------------------------------------------- */

static const struct {
	int level, number, value;
} options[] = {
	{IPPROTO_TCP, TCP_NODELAY, 1},
	{IPPROTO_TCP, TCP_CORK, 1},
	{IPPROTO_TCP, TCP_KEEPIDLE, 77},
	{IPPROTO_TCP, TCP_KEEPINTVL, 7},
	{IPPROTO_TCP, TCP_KEEPCNT, 3},
	{IPPROTO_TCP, TCP_SYNCNT, 2},
	{IPPROTO_TCP, TCP_LINGER2, 5},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, 12345},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, 54321},
	{IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1},
	{SOL_SOCKET, SO_KEEPALIVE, 1},
	{SOL_SOCKET, SO_REUSEADDR, 1},
	{SOL_SOCKET, SO_RCVLOWAT, 10},
	{SOL_SOCKET, SO_PEEK_OFF, 3},
	{SOL_SOCKET, SO_SNDBUF, 50000},
	{SOL_SOCKET, SO_RCVBUF, 60000},
	{SOL_IP, IP_TOS, 0x10},
	{SOL_IP, IP_TTL, 33},
	{SOL_IP, IP_RECVTTL, 1},
	{SOL_IP, IP_FREEBIND, 1},
	{SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT},
};

static int set_options(int s)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (setsockopt(s, options[i].level, options[i].number, &options[i].value,
			       sizeof(int)) < 0)
			return live_fail("option %zu: %s", i, strerror(errno));
	return setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static int check_options(int s)
{
	char name[16] = "";
	socklen_t len = sizeof(name);

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		bool doubled = options[i].number == SO_SNDBUF || options[i].number == SO_RCVBUF;
		int value = -1;

		len = sizeof(value);
		CHECK_EQ(getsockopt(s, options[i].level, options[i].number, &value, &len), 0);
		if (options[i].level != SOL_SOCKET || !doubled)
			CHECK_EQ(value, options[i].value);
		else
			CHECK_EQ(value, 2 * options[i].value);
	}
	len = sizeof(name);
	CHECK_EQ(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
	CHECK(strcmp(name, "reno") == 0);
	return 0;
}

static int make_options(void)
{
	int seconds = 9;
	int peer;

	if (make_pair(&peer) != 0 || set_options(fd) != 0 ||
	    peer_start(peer, peer_sends, NULL) != 0)
		return 1;
	CHECK_EQ(setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(int)), 0);
	CHECK_EQ(setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &seconds, sizeof(int)), 0);
	return 0;
}

static int check_all_options(void)
{
	unsigned char bytes[4] = {0};
	int value = 0;
	socklen_t len = sizeof(value);

	CHECK(check_options(fd) == 0);
	CHECK_EQ(recv(fd, bytes, 4, MSG_PEEK), 4);
	for (size_t i = 0; i < 4; i++)
		CHECK_EQ(bytes[i], pattern(3 + i));
	CHECK_EQ(getsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &value, &len), 0);
	CHECK_EQ(value, 9);
	CHECK_EQ(getsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &value, &len), 0);
	CHECK(value >= 9 && value < 32);
	return peer_finish();
}

#define KEPT .dump_options = "--tcp-established"

static const struct live_row rows[] = {
	{.name = "idle", .make = make_idle, .check = check_idle, KEPT},
	{.name = "idle v6", .make = make_idle6, .check = check_idle, KEPT},
	{.name = "queues", .make = make_queues, .check = check_queues, KEPT},
	{.name = "queues v6", .make = make_queues6, .check = check_queues, KEPT},
	{.name = "FIN queued", .make = make_fin_queued, .check = check_fin_wait1, KEPT},
	{.name = "FIN_WAIT1", .make = make_fin_wait1, .check = check_fin_wait1, KEPT},
	{.name = "FIN_WAIT2", .make = make_fin_wait2, .check = check_fin_wait2, KEPT},
	{.name = "CLOSE_WAIT", .make = make_close_wait, .check = check_close_wait, KEPT},
	{.name = "CLOSE_WAIT from near", .make = make_near, .check = check_close_wait, KEPT},
	{.name = "LAST_ACK", .make = make_last_ack, .check = check_last_ack, KEPT},
	{.name = "CLOSING", .make = make_closing, .check = check_closing, KEPT},
	{.name = "over", .make = make_over, .check = check_over, KEPT},
	{.name = "shut for reading", .make = make_shut_read, .check = check_shut_read, KEPT},
	{.name = "options", .make = make_options, .check = check_all_options, KEPT},
	{.name = "mptcp", .make = make_mptcp, .check = check_mptcp, KEPT},
	{.name = "mptcp fallback", .make = make_fallback, .check = check_idle, KEPT},
	{.name = "mptcp connected",
	 .make = make_mptcp_connected,
	 .dump_options = "--tcp-established",
	 .refused = "is a connection of MPTCP"},
	{.name = "mptcp given up",
	 .make = make_mptcp_given_up,
	 .dump_options = "--tcp-close",
	 .refused = "is a connection of MPTCP"},
	{.name = "mptcp over", .make = make_mptcp_over, .refused = "is a connection of MPTCP"},
	{.name = "both ends", .make = make_both, .check = check_both},
	{.name = "bare", .make = make_bare, .check = check_bare},
	{.name = "group", .make = make_group, .check = check_group},
	{.name = "connected",
	 .make = make_idle,
	 .check = check_idle,
	 .refused = "is connected, 127.0.0.1:7777"},
	{.name = "given up",
	 .make = make_given_up,
	 .check = check_given_up,
	 .dump_options = "--tcp-close"},
	{.name = "busy",
	 .make = make_busy,
	 .check = check_busy,
	 .dump_options = "--tcp-close --skip-in-flight"},
	{.name = "in flight",
	 .make = make_in_flight,
	 .check = check_in_flight,
	 .dump_options = "--skip-in-flight"},
	{.name = "in flight, refused",
	 .make = make_in_flight,
	 .refused = "1 connections wait to be accepted"},
	{.name = "signed", .make = make_signed, .refused = "its segments are signed"},
	{.name = "urgent",
	 .make = make_urgent,
	 .check = check_urgent,
	 .refused = "has urgent data that was not read yet"},
	{.name = "urgent, taken",
	 .make = make_urgent_taken,
	 .check = check_urgent_taken,
	 .dump_options = "--tcp-established",
	 .refused = "in which urgent data was"},
	{.name = "failed",
	 .make = make_failed,
	 .check = check_failed,
	 .refused = "its connection failed, and the program has not been told yet"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
