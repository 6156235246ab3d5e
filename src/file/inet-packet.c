/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw sockets with the IP header included. A packet to an address of this machine is routed to the
 * loopback device, and what comes from there is not asked whether its sender may come this way
 * (the route was found when it was sent, ip_rcv_finish_core()).
 */
#include "file/inet-packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "file/hold.h"
#include "util/cleanup.h"
#include "util/context.h"

enum { TTL = 255 }; /* IP_MINTTL and IPV6_MINHOPCOUNT ask for at most that */

/* What the checksum covers before the header (RFC 9293, 3.1); a sum does not care about places. */
struct pseudo {
	uint8_t addresses[32];
	uint16_t protocol;
	uint16_t length;
};

static uint32_t sum(const void *data, size_t len, uint32_t start)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i < len; i++)
		start += (uint32_t)byte[i] << (i % 2 ? 0 : 8);
	return start;
}

static void set_checksum(const struct hold_flow *flow, uint8_t protocol, uint8_t *segment,
			 size_t len, size_t at)
{
	size_t size = flow->v6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
	struct pseudo pseudo = {.protocol = htons(protocol), .length = htons((uint16_t)len)};
	uint16_t folded;
	uint32_t total;

	memcpy(pseudo.addresses, &flow->remote, size);
	memcpy(pseudo.addresses + size, &flow->local, size);
	total = sum(segment, len, sum(&pseudo, sizeof(pseudo), 0));
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	folded = (uint16_t)~total;
	if (folded == 0 && protocol == IPPROTO_UDP)
		folded = UINT16_MAX; /* 0 means that there is none */
	folded = htons(folded);
	memcpy(segment + at, &folded, sizeof(folded));
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

static int send_packet(struct context *ctx, int family, void *to, socklen_t to_len, void *head_data,
		       size_t head_len, const struct iovec *segment)
{
	struct iovec iov[2] = {{head_data, head_len}, *segment};
	const struct msghdr head = {
		.msg_name = to, .msg_namelen = to_len, .msg_iov = iov, .msg_iovlen = 2};
	_cleanup_close_ int fd = -EBADF;
	int r = raw_socket(ctx, family, &fd);

	if (r >= 0 && sendmsg(fd, &head, 0) < 0)
		r = err_sys(ctx, -errno, "sendmsg() of a raw packet");
	return r;
}

static int give_v4(struct context *ctx, const struct hold_flow *flow, uint8_t protocol,
		   const struct iovec *segment)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct iphdr ip = {
		.version = 4, /* the kernel fills in checksum and id */
		.ihl = sizeof(ip) / 4,
		.tot_len = htons((uint16_t)(sizeof(ip) + segment->iov_len)),
		.ttl = TTL,
		.protocol = protocol,
	};

	memcpy(&ip.saddr, &flow->remote, sizeof(ip.saddr));
	memcpy(&ip.daddr, &flow->local, sizeof(ip.daddr));
	to.sin_addr.s_addr = ip.daddr;
	return send_packet(ctx, AF_INET, &to, sizeof(to), &ip, sizeof(ip), segment);
}

static int give_v6(struct context *ctx, const struct hold_flow *flow, uint32_t scope_id,
		   uint8_t protocol, const struct iovec *segment)
{
	struct sockaddr_in6 to = {
		.sin6_family = AF_INET6, .sin6_addr = flow->local, .sin6_scope_id = scope_id};
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = htons((uint16_t)segment->iov_len),
		.nexthdr = protocol,
		.hop_limit = TTL,
		.saddr = flow->remote,
		.daddr = flow->local,
	};

	return send_packet(ctx, AF_INET6, &to, sizeof(to), &ip, sizeof(ip), segment);
}

int inet_packet_give(struct context *ctx, const struct hold_flow *flow, uint32_t scope_id,
		     uint8_t protocol, void *segment, size_t len, size_t checksum_at)
{
	const struct iovec iov = {segment, len};

	set_checksum(flow, protocol, segment, len, checksum_at);
	return flow->v6 ? give_v6(ctx, flow, scope_id, protocol, &iov)
			: give_v4(ctx, flow, protocol, &iov);
}
