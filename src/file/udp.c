/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP and UDP-Lite sockets (struct udp_sock): bound, connected, their options, the groups that they
 * are members of, and the datagrams that wait, with their senders.
 *
 * Datagrams that come between the dump and the restore are lost, as on any line. Those that wait are
 * read by MSG_PEEK with SO_PEEK_OFF (peek-guard.h) and given to the new socket as packets from their
 * senders (inet-packet.h). Not kept is what else may be asked about a packet that waits: the device that
 * it came in by (it is the loopback device now), when, and the fields of its IP header.
 *
 * Refused: a datagram that is not sent yet (UDP_CORK, MSG_MORE: nobody can read it), sockets that unpack
 * other protocols in the kernel (UDP_ENCAP), an error that was not fetched, sockets that are shut down for
 * reading, and datagrams that wait while UDP_GRO may have joined them, or at a socket to which none of ours
 * would come.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file/hold.h"
#include "file/inet-address.h"
#include "file/inet-groups.h"
#include "file/inet-options.h"
#include "file/inet-packet.h"
#include "file/peek-guard.h"
#include "file/socket-options.h"
#include "file/state.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum {
	DATAGRAM_MAX = 65536,
	PATIENCE = 1000,
	/* Ours may take more of the buffer than the ones that a device brought; the size comes last. */
	ROOM_TO_FILL = 1 << 28,
};

static bool matches(const struct file_probe *probe)
{
	int protocol = inet_protocol(probe);

	return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

static int refuse(struct collect *c, const struct file_probe *probe, const char *hint,
		  const char *what)
{
	return collect_refuse(c, hint, "%s, fd %d (UDP %s): %s", collect_name(c, probe->process),
			      probe->number, probe->link, what);
}

static bool is_any(const Coppice__UdpSocket *udp, const union inet_sockaddr *address)
{
	return udp->family == AF_INET ? address->v4.sin_addr.s_addr == INADDR_ANY
				      : IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

/* ---- collect ------------------------------------------------------------------------------- */

static int refuse_unkept(struct collect *c, const struct file_probe *probe)
{
	struct pollfd pfd = {.fd = probe->fd, .events = POLLRDHUP};
	int unsent = 0, encap = 0;
	socklen_t len = sizeof(encap);
	int r = 0;

	if (poll(&pfd, 1, 0) < 0 || ioctl(probe->fd, SIOCOUTQ, &unsent) < 0)
		return err_sys(c->ctx, -errno, "looking at a UDP socket");
	if (unsent > 0)
		r = refuse(c, probe, "try again",
			   "has a datagram that is not sent yet (UDP_CORK, MSG_MORE), which nobody "
			   "can read");
	if (r >= 0 && (pfd.revents & POLLERR))
		r = refuse(c, probe, "let it read it",
			   "has an error that was not fetched; a look would take it away");
	if (r >= 0 && (pfd.revents & POLLRDHUP))
		r = refuse(c, probe, "have the program close it before the dump",
			   "is shut down for reading (shutdown())");
	if (getsockopt(probe->fd, IPPROTO_UDP, UDP_ENCAP, &encap, &len) >= 0 && encap != 0 &&
	    r >= 0)
		r = refuse(
			c, probe, NULL,
			"unpacks another protocol in the kernel (UDP_ENCAP), whose state cannot be "
			"read");
	return r;
}

static int add_datagram(struct collect *c, Coppice__UdpSocket *udp, const void *data, size_t len,
			const union inet_sockaddr *from)
{
	Coppice__Datagram *datagram = arena_new(c->arena, Coppice__Datagram);
	Coppice__Datagram **slot =
		arena_append(c->arena, &udp->queue, &udp->n_queue, sizeof(*slot));

	if (!datagram || !slot)
		return err_oom(c->ctx);
	coppice__datagram__init(datagram);
	*slot = datagram;
	datagram->data.len = len;
	datagram->data.data = arena_memdup(c->arena, data, len);
	if (!datagram->data.data && len > 0)
		return err_oom(c->ctx);
	return inet_address_collect(c, from, &datagram->from);
}

/* Each look is at the next datagram, as SO_PEEK_OFF moves on by what it has shown. */
static int walk_queue(struct collect *c, int fd, Coppice__UdpSocket *udp)
{
	_cleanup_free_ char *buf = malloc(DATAGRAM_MAX);
	const int start = 0;

	if (!buf)
		return err_oom(c->ctx);
	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start)) < 0)
		return err_sys(c->ctx, -errno, "setsockopt(SO_PEEK_OFF)");
	for (;;) {
		union inet_sockaddr from = {0};
		socklen_t len = sizeof(from);
		ssize_t n =
			recvfrom(fd, buf, DATAGRAM_MAX, MSG_PEEK | MSG_DONTWAIT, &from.any, &len);
		int r;

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n < 0)
			return err_sys(c->ctx, -errno, "recvfrom(MSG_PEEK)");
		r = add_datagram(c, udp, buf, (size_t)n, &from);
		if (r < 0)
			return r;
		if (n == 0)
			return -EAGAIN; /* SO_PEEK_OFF does not move on */
	}
}

/*
 * A packet to an address of this machine comes from that address's device. One to a group would go out
 * into the network.
 */
static bool can_be_given(const Coppice__UdpSocket *udp)
{
	const char *device = udp->options->device;
	union inet_sockaddr to;

	if (!udp->local)
		return true;
	(void)inet_address_get(udp->local, udp->family, &to);
	if (udp->family == AF_INET && IN_MULTICAST(ntohl(to.v4.sin_addr.s_addr)))
		return false;
	if (udp->family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&to.v6.sin6_addr))
		return false;
	return device[0] == '\0' || strcmp(device, "lo") == 0 || !is_any(udp, &to);
}

static int collect_queue(struct collect *c, const struct file_probe *probe, Coppice__UdpSocket *udp)
{
	_cleanup_(peek_guard_stopp) struct peek_guard *guard = NULL;
	struct pollfd pfd = {.fd = probe->fd, .events = POLLIN};
	int r, end;

	if (poll(&pfd, 1, 0) < 0)
		return err_sys(c->ctx, -errno, "poll()");
	if (!(pfd.revents & POLLIN))
		return 0;
	if (c->rebuilt && (udp->udp->gro || !can_be_given(udp)))
		return 0; /* the image has none, so these have come since */
	if (udp->udp->gro)
		return refuse(c, probe, "let it read them",
			      "has datagrams that wait, and UDP_GRO may have joined some");
	if (!can_be_given(udp))
		return refuse(
			c, probe, "let it read them",
			"has datagrams that wait, and takes none but a group's, or a device's "
			"(SO_BINDTODEVICE)");
	r = peek_guard_start(c->ctx, &guard);
	if (r >= 0)
		r = peek_guard_begin(c->ctx, guard, probe->fd);
	if (r < 0)
		return r;
	r = walk_queue(c, probe->fd, udp);
	end = peek_guard_end(c->ctx, guard, probe->fd);
	if (r == -EAGAIN && c->rebuilt)
		return end;
	if (r == -EAGAIN)
		return refuse(c, probe, "let it read it",
			      "has an empty datagram that waits, behind which nobody can look");
	return r < 0 ? r : end;
}

static int collect_addresses(struct collect *c, int fd, Coppice__UdpSocket *udp)
{
	union inet_sockaddr address = {0};
	socklen_t len = sizeof(address);
	int r;

	if (getsockname(fd, &address.any, &len) < 0)
		return err_sys(c->ctx, -errno, "getsockname()");
	r = inet_address_collect(c, &address, &udp->local);
	if (r < 0)
		return r;
	len = sizeof(address);
	if (getpeername(fd, &address.any, &len) < 0)
		return errno == ENOTCONN ? 0 : err_sys(c->ctx, -errno, "getpeername()");
	return inet_address_collect(c, &address, &udp->remote);
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__UdpSocket *udp = arena_new(c->arena, Coppice__UdpSocket);
	Coppice__UdpOptions *options = arena_new(c->arena, Coppice__UdpOptions);
	size_t refusals = c->n_refusals;
	int r;

	if (!udp || !options)
		return err_oom(c->ctx);
	coppice__udp_socket__init(udp);
	coppice__udp_options__init(options);
	file->udp = udp;
	udp->udp = options;
	udp->family = (uint32_t)socket_domain(probe);
	udp->lite = inet_protocol(probe) == IPPROTO_UDPLITE;
	r = socket_options_collect(c, probe, &udp->options);
	if (r >= 0)
		r = inet_options_collect(c, probe, (int)udp->family, &udp->ip, &udp->ipv6);
	if (r >= 0)
		r = udp_options_collect(c->ctx, probe->fd, options);
	if (r >= 0)
		r = collect_addresses(c, probe->fd, udp);
	if (r >= 0)
		r = inet_groups_collect(c, probe->fd, &udp->groups, &udp->n_groups);
	if (r >= 0)
		r = refuse_unkept(c, probe);
	return r < 0 || c->n_refusals > refusals ? r : collect_queue(c, probe, udp);
}

/* ---- restore ------------------------------------------------------------------------------- */

static int check(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__UdpSocket *udp = file->udp;
	int result = socket_options_check(r, udp->options);

	return result < 0 ? result
			  : inet_address_check(r, "UDP", udp->local, udp->family,
					       udp->ip->freebind || udp->ip->transparent);
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const Coppice__UdpSocket *udp = file->udp;
	_cleanup_close_ int fd = socket((int)udp->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
					udp->lite ? IPPROTO_UDPLITE : IPPROTO_UDP);
	char text[INET_ADDRESS_TEXT];
	union inet_sockaddr address;
	int result;

	if (fd < 0)
		return err_sys(r->ctx, -errno, "socket(%u, SOCK_DGRAM)", udp->family);
	result = socket_options_set(r, udp->options, fd, SOCKET_EARLY);
	if (result >= 0)
		result = inet_options_set(r, fd, udp->ip, udp->ipv6);
	if (result >= 0)
		result = udp_options_set(r, fd, udp->udp);
	if (result >= 0)
		result = inet_groups_set(r, fd, udp->groups, udp->n_groups);
	if (result < 0)
		return result;
	if (udp->local &&
	    bind(fd, &address.any, inet_address_get(udp->local, udp->family, &address)) < 0)
		return err_sys(r->ctx, -errno, "bind(%s)", inet_address_text(udp->local, text));
	if (udp->remote &&
	    connect(fd, &address.any, inet_address_get(udp->remote, udp->family, &address)) < 0)
		return err_sys(r->ctx, -errno, "connect(%s)", inet_address_text(udp->remote, text));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Where a sender's packet can go: the socket's address, or if it takes any the loopback device's. */
static struct hold_flow flow_to(const Coppice__UdpSocket *udp, const Coppice__Datagram *datagram)
{
	union inet_sockaddr from, to;
	bool any;

	(void)inet_address_get(datagram->from, udp->family, &from);
	(void)inet_address_get(udp->local, udp->family, &to);
	any = is_any(udp, &to);
	if (any && udp->family == AF_INET)
		to.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (any && IN6_IS_ADDR_V4MAPPED(&from.v6.sin6_addr))
		to.v6.sin6_addr = (struct in6_addr){
			.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
	else if (any)
		to.v6.sin6_addr = in6addr_loopback;
	return inet_flow(&to, &from);
}

static int give(struct rebuild *r, const Coppice__UdpSocket *udp, const Coppice__Datagram *datagram)
{
	const struct hold_flow flow = flow_to(udp, datagram);
	size_t len = sizeof(struct udphdr) + datagram->data.len;
	_cleanup_free_ uint8_t *packet = malloc(len);
	const struct udphdr head = {
		.source = htons(flow.remote_port),
		.dest = htons(flow.local_port),
		.len = htons((uint16_t)len),
	};

	if (!packet)
		return err_oom(r->ctx);
	memcpy(packet, &head, sizeof(head));
	memcpy(packet + sizeof(head), datagram->data.data, datagram->data.len);
	return inet_packet_give(r->ctx, &flow, udp->local->scope_id,
				udp->lite ? IPPROTO_UDPLITE : IPPROTO_UDP, packet, len,
				offsetof(struct udphdr, check));
}

/* Packets of the loopback device come at once, except that softirqs of another CPU are slow at times. */
static int await_packets(struct rebuild *r, int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	if (poll(&pfd, 1, PATIENCE) > 0)
		return 0;
	(void)err_msg(r->ctx, -ETIMEDOUT, "a datagram that waits does not come to the socket");
	return err_hint(r->ctx, -ETIMEDOUT, "a firewall may drop packets of the loopback device");
}

static int connect_queue(struct rebuild *r, const Coppice__File *file, int fd)
{
	const Coppice__UdpSocket *udp = file->udp;
	const int room = ROOM_TO_FILL;
	int result = 0;

	/* Without CAP_NET_ADMIN there may be enough as it is. */
	if (udp->n_queue > 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	for (size_t i = 0; result >= 0 && i < udp->n_queue; i++)
		result = give(r, udp, udp->queue[i]);
	return result < 0 || udp->n_queue == 0 ? result : await_packets(r, fd);
}

static int last(struct rebuild *r, const Coppice__File *file, int fd)
{
	return socket_options_set(r, file->udp->options, fd, SOCKET_LATE);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	char local[INET_ADDRESS_TEXT], remote[INET_ADDRESS_TEXT];

	(void)snprintf(buf, size, "UDP%s %s to %s", file->udp->lite ? "-Lite" : "",
		       inet_address_text(file->udp->local, local),
		       inet_address_text(file->udp->remote, remote));
}

const struct file_kind kind_udp = {
	.name = "UDP socket",
	.which = COPPICE__FILE__KIND_UDP,
	.matches = matches,
	.collect = collect,
	.check = check,
	.create = create,
	.connect = connect_queue,
	.last = last,
	.describe = describe,
};
