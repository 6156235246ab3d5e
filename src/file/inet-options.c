/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most of the options of struct inet_sock, ipv6_pinfo and tcp_sock: do_ip_getsockopt() in
 * net/ipv4/ip_sockglue.c, do_ipv6_getsockopt() in net/ipv6/ipv6_sockglue.c, do_tcp_getsockopt() in
 * net/ipv4/tcp.c.
 *
 * Cannot be read: the device of IP_MULTICAST_IF where it was given by its number (only the address
 * comes back), IP_MULTICAST_ALL's effect on what is queued already, IPsec policies of a single socket. Headers
 * that a program has added to its packets (IP_OPTIONS, IPV6_HOPOPTS and its like) are refused.
 */
#include "file/inet-options.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "file/socket-options.h"
#include "file/state.h"
#include "kernel/uapi.h"
#include "util/macro.h"

struct inet_option {
	int level;
	int number;
	const char *name;
	size_t offset; /* of the int32 field in the message */
	/* TCP has it as well; in others of its sockets there may be what the first packet had
	 * (tcp_v4_syn_recv_sock()), and nobody can set that. */
	bool of_streams;
};

#define IP(number, field, streams)                                                                 \
	{                                                                                          \
		SOL_IP, number, #number, offsetof(Coppice__IpOptions, field), streams              \
	}
#define IPV6(number, field, streams)                                                               \
	{                                                                                          \
		SOL_IPV6, number, #number, offsetof(Coppice__Ipv6Options, field), streams          \
	}
#define TCP(number, field)                                                                         \
	{                                                                                          \
		IPPROTO_TCP, number, #number, offsetof(Coppice__TcpOptions, field), true           \
	}

static const struct inet_option ip_table[] = {
	IP(IP_TOS, tos, true),
	IP(IP_TTL, ttl, true),
	IP(IP_RECVOPTS, recv_opts, true),
	IP(IP_RETOPTS, ret_opts, true),
	IP(IP_PKTINFO, pkt_info, true),
	IP(IP_MTU_DISCOVER, mtu_discover, true),
	IP(IP_RECVERR, recv_err, true),
	IP(IP_RECVTTL, recv_ttl, true),
	IP(IP_RECVTOS, recv_tos, true),
	IP(IP_FREEBIND, freebind, true),
	IP(IP_PASSSEC, pass_sec, true),
	IP(IP_TRANSPARENT, transparent, true),
	IP(IP_RECVORIGDSTADDR, recv_orig_dst_addr, true),
	IP(IP_MINTTL, min_ttl, true),
	IP(IP_NODEFRAG, no_defrag, false),
	IP(IP_CHECKSUM, checksum, false),
	IP(IP_BIND_ADDRESS_NO_PORT, bind_address_no_port, true),
	IP(IP_RECVFRAGSIZE, recv_frag_size, false),
	IP(IP_RECVERR_RFC4884, recv_err_rfc4884, true),
	IP(IP_MULTICAST_TTL, multicast_ttl, false),
	IP(IP_MULTICAST_LOOP, multicast_loop, false),
	IP(IP_MULTICAST_IF, multicast_if, false),
	IP(IP_MULTICAST_ALL, multicast_all, false),
	IP(IP_UNICAST_IF, unicast_if, true),
	IP(IP_LOCAL_PORT_RANGE, local_port_range, true),
	IP(IP_HDRINCL, hdrincl, false),
};

static const struct inet_option ipv6_table[] = {
	IPV6(IPV6_V6ONLY, v6only, true),
	IPV6(IPV6_UNICAST_HOPS, unicast_hops, true),
	IPV6(IPV6_MULTICAST_HOPS, multicast_hops, false),
	IPV6(IPV6_MULTICAST_LOOP, multicast_loop, false),
	IPV6(IPV6_MULTICAST_ALL, multicast_all, false),
	IPV6(IPV6_MULTICAST_IF, multicast_if, false),
	IPV6(IPV6_UNICAST_IF, unicast_if, true),
	IPV6(IPV6_MTU_DISCOVER, mtu_discover, true),
	IPV6(IPV6_RECVERR, recv_err, true),
	IPV6(IPV6_RECVERR_RFC4884, recv_err_rfc4884, true),
	IPV6(IPV6_FLOWINFO_SEND, flow_info_send, true),
	IPV6(IPV6_FLOWINFO, recv_flow_info, true),
	IPV6(IPV6_RECVPKTINFO, recv_pkt_info, true),
	IPV6(IPV6_RECVHOPLIMIT, recv_hop_limit, true),
	IPV6(IPV6_RECVRTHDR, recv_rthdr, true),
	IPV6(IPV6_RECVHOPOPTS, recv_hop_opts, true),
	IPV6(IPV6_RECVDSTOPTS, recv_dst_opts, true),
	IPV6(IPV6_RECVPATHMTU, recv_path_mtu, true),
	IPV6(IPV6_RECVTCLASS, recv_tclass, true),
	IPV6(IPV6_RECVORIGDSTADDR, recv_orig_dst_addr, true),
	IPV6(IPV6_RECVFRAGSIZE, recv_frag_size, false),
	IPV6(IPV6_2292PKTINFO, old_pkt_info, true),
	IPV6(IPV6_2292HOPLIMIT, old_hop_limit, true),
	IPV6(IPV6_2292RTHDR, old_rthdr, true),
	IPV6(IPV6_2292HOPOPTS, old_hop_opts, true),
	IPV6(IPV6_2292DSTOPTS, old_dst_opts, true),
	IPV6(IPV6_TCLASS, tclass, true),
	IPV6(IPV6_DONTFRAG, dont_frag, true),
	IPV6(IPV6_AUTOFLOWLABEL, auto_flow_label, true),
	IPV6(IPV6_ADDR_PREFERENCES, addr_preferences, true),
	IPV6(IPV6_MINHOPCOUNT, min_hop_count, true),
	IPV6(IPV6_TRANSPARENT, transparent, true),
	IPV6(IPV6_FREEBIND, freebind, true),
};

static const struct inet_option tcp_table[] = {
	TCP(TCP_NODELAY, no_delay),
	TCP(TCP_CORK, cork),
	TCP(TCP_KEEPIDLE, keep_idle),
	TCP(TCP_KEEPINTVL, keep_interval),
	TCP(TCP_KEEPCNT, keep_count),
	TCP(TCP_SYNCNT, syn_count),
	TCP(TCP_LINGER2, linger2),
	TCP(TCP_DEFER_ACCEPT, defer_accept),
	TCP(TCP_WINDOW_CLAMP, window_clamp),
	TCP(TCP_USER_TIMEOUT, user_timeout),
	TCP(TCP_THIN_LINEAR_TIMEOUTS, thin_linear_timeouts),
	TCP(TCP_NOTSENT_LOWAT, not_sent_low_water),
	TCP(TCP_SAVE_SYN, save_syn),
	TCP(TCP_FASTOPEN, fast_open),
	TCP(TCP_FASTOPEN_CONNECT, fast_open_connect),
	TCP(TCP_FASTOPEN_NO_COOKIE, fast_open_no_cookie),
	TCP(TCP_INQ, inq),
	TCP(TCP_TX_DELAY, tx_delay),
	TCP(TCP_RTO_MAX_MS, rto_max_ms),
	TCP(TCP_RTO_MIN_US, rto_min_us),
	TCP(TCP_DELACK_MAX_US, delack_max_us),
	TCP(TCP_QUICKACK, quick_ack),
};

#define UDP(level, number, field)                                                                  \
	{                                                                                          \
		level, number, #number, offsetof(Coppice__UdpOptions, field), true                 \
	}

static const struct inet_option udp_table[] = {
	UDP(IPPROTO_UDP, UDP_CORK, cork),
	UDP(IPPROTO_UDP, UDP_NO_CHECK6_TX, no_check6_tx),
	UDP(IPPROTO_UDP, UDP_NO_CHECK6_RX, no_check6_rx),
	UDP(IPPROTO_UDP, UDP_SEGMENT, segment),
	UDP(IPPROTO_UDP, UDP_GRO, gro),
	UDP(IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, lite_send_coverage),
	UDP(IPPROTO_UDPLITE, UDPLITE_RECV_CSCOV, lite_receive_coverage),
};

/* Each is a sequence of bytes; there must be none. */
static const struct inet_option bytes_table[] = {
	{SOL_IP, IP_OPTIONS, "IP_OPTIONS", 0, true},
	{SOL_IPV6, IPV6_HOPOPTS, "IPV6_HOPOPTS", 0, true},
	{SOL_IPV6, IPV6_RTHDRDSTOPTS, "IPV6_RTHDRDSTOPTS", 0, true},
	{SOL_IPV6, IPV6_RTHDR, "IPV6_RTHDR", 0, true},
	{SOL_IPV6, IPV6_DSTOPTS, "IPV6_DSTOPTS", 0, true},
};

static int *field_of(const struct inet_option *o, const void *msg)
{
	return (int *)((char *)msg + o->offset);
}

/* An option that is not there reads as zero. */
static int get(struct context *ctx, int fd, const struct inet_option *o, int *ret)
{
	socklen_t len = sizeof(*ret);

	*ret = 0;
	if (getsockopt(fd, o->level, o->number, ret, &len) >= 0)
		return 0;
	*ret = 0;
	if (errno == ENOPROTOOPT || errno == EOPNOTSUPP || errno == EINVAL)
		return 0;
	return err_sys(ctx, -errno, "getsockopt(%s)", o->name);
}

static int read_table(struct context *ctx, int fd, const struct inet_option *table, size_t n,
		      bool stream, void *msg)
{
	for (size_t i = 0; i < n; i++) {
		int r = stream && !table[i].of_streams
				? 0
				: get(ctx, fd, &table[i], field_of(&table[i], msg));

		if (r < 0)
			return r;
	}
	return 0;
}

static int set_table(struct context *ctx, int fd, const struct inet_option *table, size_t n,
		     bool stream, const void *msg)
{
	for (size_t i = 0; i < n; i++) {
		const struct inet_option *o = &table[i];
		const int *value = field_of(o, msg);
		int now, r;

		if (stream && !o->of_streams)
			continue;
		r = get(ctx, fd, o, &now);
		if (r < 0)
			return r;
		if (now != *value && setsockopt(fd, o->level, o->number, value, sizeof(*value)) < 0)
			return err_sys(ctx, -errno, "setsockopt(%s, %d), which is %d", o->name,
				       *value, now);
	}
	return 0;
}

static int is_stream(struct context *ctx, int fd, bool *ret)
{
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return err_sys(ctx, -errno, "getsockopt(SO_TYPE)");
	*ret = type == SOCK_STREAM;
	return 0;
}

static int refuse_bytes(struct collect *c, const struct file_probe *probe, int family)
{
	for (size_t i = 0; i < ARRAY_SIZE(bytes_table); i++) {
		const struct inet_option *o = &bytes_table[i];
		char buf[2048]; /* IPv6 extension headers are shorter */
		socklen_t len = sizeof(buf);
		int r;

		if ((o->level == SOL_IPV6 && family != AF_INET6) ||
		    getsockopt(probe->fd, o->level, o->number, buf, &len) < 0 || len == 0)
			continue;
		r = collect_refuse(c, "clear it", "%s, fd %d (%s): %s is set, which is not kept",
				   collect_name(c, probe->process), probe->number, probe->link,
				   o->name);
		if (r < 0)
			return r;
	}
	return 0;
}

int inet_protocol(const struct file_probe *probe)
{
	int domain = socket_domain(probe);
	int protocol;
	socklen_t len = sizeof(protocol);

	if ((domain != AF_INET && domain != AF_INET6) ||
	    getsockopt(probe->fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0)
		return -1;
	return protocol;
}

int inet_options_collect(struct collect *c, const struct file_probe *probe, int family,
			 Coppice__IpOptions **ret_ip, Coppice__Ipv6Options **ret_ipv6)
{
	Coppice__IpOptions *ip = arena_new(c->arena, Coppice__IpOptions);
	Coppice__Ipv6Options *ipv6 = NULL;
	bool stream;
	int r;

	if (!ip)
		return err_oom(c->ctx);
	coppice__ip_options__init(ip);
	r = is_stream(c->ctx, probe->fd, &stream);
	if (r >= 0)
		r = read_table(c->ctx, probe->fd, ip_table, ARRAY_SIZE(ip_table), stream, ip);
	if (r >= 0 && family == AF_INET6) {
		ipv6 = arena_new(c->arena, Coppice__Ipv6Options);
		if (!ipv6)
			return err_oom(c->ctx);
		coppice__ipv6_options__init(ipv6);
		r = read_table(c->ctx, probe->fd, ipv6_table, ARRAY_SIZE(ipv6_table), stream, ipv6);
	}
	if (r >= 0)
		r = refuse_bytes(c, probe, family);
	if (r < 0)
		return r;
	*ret_ip = ip;
	*ret_ipv6 = ipv6;
	return 0;
}

int inet_options_set(struct rebuild *r, int fd, const Coppice__IpOptions *ip,
		     const Coppice__Ipv6Options *ipv6)
{
	bool stream;
	int result = is_stream(r->ctx, fd, &stream);

	if (result >= 0)
		result = set_table(r->ctx, fd, ip_table, ARRAY_SIZE(ip_table), stream, ip);
	if (result >= 0 && ipv6)
		result = set_table(r->ctx, fd, ipv6_table, ARRAY_SIZE(ipv6_table), stream, ipv6);
	return result;
}

int tcp_options_collect(struct context *ctx, int fd, Coppice__TcpOptions *tcp)
{
	return read_table(ctx, fd, tcp_table, ARRAY_SIZE(tcp_table), true, tcp);
}

int tcp_options_set(struct rebuild *r, int fd, const Coppice__TcpOptions *tcp)
{
	return set_table(r->ctx, fd, tcp_table, ARRAY_SIZE(tcp_table), true, tcp);
}

int udp_options_collect(struct context *ctx, int fd, Coppice__UdpOptions *udp)
{
	return read_table(ctx, fd, udp_table, ARRAY_SIZE(udp_table), false, udp);
}

int udp_options_set(struct rebuild *r, int fd, const Coppice__UdpOptions *udp)
{
	return set_table(r->ctx, fd, udp_table, ARRAY_SIZE(udp_table), false, udp);
}
