/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw sockets with the IP header included. A packet to an address of this machine is routed to the
 * loopback device, and what comes from there is not asked whether its sender may come this way
 * (the route was found when it was sent, ip_rcv_finish_core()). It has no timestamp option: a
 * connection that uses them takes a segment without (tcp_fast_parse_options()), whereas a wrong one
 * would be remembered as the peer's clock.
 */
#include "file/tcp-segment.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "file/hold.h"
#include "util/cleanup.h"
#include "util/context.h"

/* What TCP's checksum covers before the header (RFC 9293, 3.1); of IPv4 the first form of each. */
struct pseudo {
	uint8_t addresses[32];
	uint16_t protocol; /* the checksum does not care where in a sum a number stands */
	uint16_t length;
};

static uint32_t sum(const void *data, size_t len, uint32_t start)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i < len; i += 2)
		start += (uint32_t)byte[i] << 8 | byte[i + 1];
	return start;
}

static void set_checksum(struct tcphdr *tcp, const struct hold_flow *flow)
{
	size_t size = flow->v6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
	struct pseudo pseudo = {.protocol = htons(IPPROTO_TCP), .length = htons(sizeof(*tcp))};
	uint32_t total;

	memcpy(pseudo.addresses, &flow->remote, size);
	memcpy(pseudo.addresses + size, &flow->local, size);
	total = sum(tcp, sizeof(*tcp), sum(&pseudo, sizeof(pseudo), 0));
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	tcp->check = htons((uint16_t)~total);
}

static struct tcphdr make_header(const struct hold_flow *flow, uint32_t seq, uint32_t ack,
				 uint8_t flags)
{
	struct tcphdr tcp = {
		.source = htons(flow->remote_port),
		.dest = htons(flow->local_port),
		.seq = htonl(seq),
		.ack_seq = htonl(ack),
		.doff = sizeof(tcp) / 4,
		.fin = (flags & SEGMENT_FIN) != 0,
		.rst = (flags & SEGMENT_RST) != 0,
		.ack = (flags & SEGMENT_ACK) != 0,
		.window = htons(UINT16_MAX),
	};

	set_checksum(&tcp, flow);
	return tcp;
}

static int raw_socket(struct context *ctx, int family, int *ret_fd)
{
	_cleanup_close_ int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	const int mark = HOLD_MARK;

	if (fd < 0)
		return err_sys(ctx, -errno, "socket(SOCK_RAW)");
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return err_sys(ctx, -errno, "setsockopt(SO_MARK)");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int give_v4(struct context *ctx, const struct hold_flow *flow, const struct tcphdr *tcp)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	_cleanup_close_ int fd = -EBADF;
	struct {
		struct iphdr ip; /* the kernel fills in checksum and id */
		struct tcphdr tcp;
	} packet = {
		.ip = {.version = 4,
		       .ihl = sizeof(struct iphdr) / 4,
		       .tot_len = htons(sizeof(packet)),
		       .ttl = 64,
		       .protocol = IPPROTO_TCP},
		.tcp = *tcp,
	};
	int r = raw_socket(ctx, AF_INET, &fd);

	if (r < 0)
		return r;
	memcpy(&packet.ip.saddr, &flow->remote, sizeof(packet.ip.saddr));
	memcpy(&packet.ip.daddr, &flow->local, sizeof(packet.ip.daddr));
	to.sin_addr.s_addr = packet.ip.daddr;
	if (sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return err_sys(ctx, -errno, "sendto() of a raw segment");
	return 0;
}

static int give_v6(struct context *ctx, const struct hold_flow *flow, uint32_t scope_id,
		   const struct tcphdr *tcp)
{
	struct sockaddr_in6 to = {
		.sin6_family = AF_INET6, .sin6_addr = flow->local, .sin6_scope_id = scope_id};
	_cleanup_close_ int fd = -EBADF;
	struct {
		struct ipv6hdr ip;
		struct tcphdr tcp;
	} packet = {
		.ip = {.version = 6,
		       .payload_len = htons(sizeof(*tcp)),
		       .nexthdr = IPPROTO_TCP,
		       .hop_limit = 64,
		       .saddr = flow->remote,
		       .daddr = flow->local},
		.tcp = *tcp,
	};
	int r = raw_socket(ctx, AF_INET6, &fd);

	if (r < 0)
		return r;
	if (sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return err_sys(ctx, -errno, "sendto() of a raw segment");
	return 0;
}

int tcp_segment_give(struct context *ctx, const struct hold_flow *flow, uint32_t scope_id,
		     uint32_t seq, uint32_t ack, uint8_t flags)
{
	const struct tcphdr tcp = make_header(flow, seq, ack, flags);

	return flow->v6 ? give_v6(ctx, flow, scope_id, &tcp) : give_v4(ctx, flow, &tcp);
}
