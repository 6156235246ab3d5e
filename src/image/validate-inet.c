/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for internet and netlink sockets. */
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "image/validate-internal.h"

enum {
	PORT_MAX = 65535,
	SCALE_MAX = 14,	     /* TCP_MAX_WSCALE */
	QUEUE_MAX = 1 << 30, /* bytes; buffers are smaller */
	SOURCES_MAX = 128,   /* of a multicast group */
	DATAGRAM_MAX = 65507,
	CONGESTION_NAME_MAX = 16, /* TCP_CA_NAME_MAX */
};

static int check_address(const struct validation *v, const char *name,
			 const Coppice__InetAddress *address, uint32_t family)
{
	struct in6_addr ip;

	if (!address)
		return 0;
	if (inet_pton((int)family, address->ip, &ip) != 1)
		return invalid(v, "%s.ip: \"%s\" is no address of family %u", name, address->ip,
			       family);
	if (address->port > PORT_MAX)
		return invalid(v, "%s.port: %u", name, address->port);
	return 0;
}

/* What each inet socket has: family, addresses, options. */
static int check_socket(const struct validation *v, const char *kind, uint32_t family,
			const Coppice__SocketOptions *options, const Coppice__IpOptions *ip,
			const Coppice__Ipv6Options *ipv6)
{
	if (family != AF_INET && family != AF_INET6)
		return invalid(v, "%s.family: %u", kind, family);
	if (!options || !ip || !ipv6 != (family == AF_INET))
		return invalid(v, "%s: options are missing", kind);
	return 0;
}

/* A FIN is queued, which counts as one. */
static bool has_fin(const Coppice__TcpSocket *tcp)
{
	return tcp->state == COPPICE__TCP_STATE__TCP_STATE_FIN_WAIT1 ||
	       tcp->state == COPPICE__TCP_STATE__TCP_STATE_CLOSING ||
	       tcp->state == COPPICE__TCP_STATE__TCP_STATE_LAST_ACK;
}

static int check_connection(const struct validation *v, const Coppice__TcpSocket *tcp)
{
	const Coppice__TcpConnection *conn = tcp->connection;

	if (!tcp->local || !tcp->remote || !conn)
		return invalid(v, "tcp: state %d without a connection", tcp->state);
	if (conn->unacked.len > QUEUE_MAX || conn->unread.len > QUEUE_MAX)
		return invalid(v, "tcp.connection: queues of %zu and %zu bytes", conn->unacked.len,
			       conn->unread.len);
	if (conn->unsent > conn->unacked.len + has_fin(tcp))
		return invalid(v, "tcp.connection.unsent: %u of %zu bytes", conn->unsent,
			       conn->unacked.len);
	if (conn->send_scale > SCALE_MAX || conn->receive_scale > SCALE_MAX)
		return invalid(v, "tcp.connection: window scales %u and %u", conn->send_scale,
			       conn->receive_scale);
	return 0;
}

static bool may_be_connected(const Coppice__TcpSocket *tcp)
{
	switch (tcp->state) {
	case COPPICE__TCP_STATE__TCP_STATE_ESTABLISHED:
	case COPPICE__TCP_STATE__TCP_STATE_FIN_WAIT1:
	case COPPICE__TCP_STATE__TCP_STATE_FIN_WAIT2:
	case COPPICE__TCP_STATE__TCP_STATE_CLOSE_WAIT:
	case COPPICE__TCP_STATE__TCP_STATE_LAST_ACK:
	case COPPICE__TCP_STATE__TCP_STATE_CLOSING:
		return true;
	default:
		return false;
	}
}

int validate_tcp(const struct validation *v, const Coppice__TcpSocket *tcp)
{
	int r = check_socket(v, "tcp", tcp->family, tcp->options, tcp->ip, tcp->ipv6);

	if (r == 0)
		r = check_address(v, "tcp.local", tcp->local, tcp->family);
	if (r == 0)
		r = check_address(v, "tcp.remote", tcp->remote, tcp->family);
	if (r < 0)
		return r;
	if (!tcp->tcp || strlen(tcp->tcp->congestion) >= CONGESTION_NAME_MAX)
		return invalid(v, "tcp.tcp: missing, or its congestion control");
	if (tcp->unread.len > QUEUE_MAX)
		return invalid(v, "tcp.unread: %zu bytes", tcp->unread.len);
	if (may_be_connected(tcp))
		return check_connection(v, tcp);
	if (tcp->state != COPPICE__TCP_STATE__TCP_STATE_CLOSE &&
	    tcp->state != COPPICE__TCP_STATE__TCP_STATE_LISTEN)
		return invalid(v, "tcp.state: %d cannot be restored", tcp->state);
	return 0;
}

static int check_group(const struct validation *v, const Coppice__InetGroup *group)
{
	struct in6_addr ip;
	int family = strchr(group->group, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, group->group, &ip) != 1)
		return invalid(v, "groups.group: \"%s\"", group->group);
	if (group->device[0] == '\0' || strlen(group->device) >= IF_NAMESIZE)
		return invalid(v, "groups.device: \"%s\"", group->device);
	if (group->n_sources > SOURCES_MAX)
		return invalid(v, "groups.sources: %zu", group->n_sources);
	for (size_t i = 0; i < group->n_sources; i++)
		if (inet_pton(family, group->sources[i], &ip) != 1)
			return invalid(v, "groups.sources[%zu]: \"%s\"", i, group->sources[i]);
	return 0;
}

int validate_udp(const struct validation *v, const Coppice__UdpSocket *udp)
{
	int r = check_socket(v, "udp", udp->family, udp->options, udp->ip, udp->ipv6);

	if (r == 0)
		r = check_address(v, "udp.local", udp->local, udp->family);
	if (r == 0)
		r = check_address(v, "udp.remote", udp->remote, udp->family);
	for (size_t i = 0; r == 0 && i < udp->n_groups; i++)
		r = check_group(v, udp->groups[i]);
	if (r < 0)
		return r;
	if (!udp->udp || (udp->remote && !udp->local) || (udp->n_queue > 0 && !udp->local))
		return invalid(v, "udp: options or a local address are missing");
	for (size_t i = 0; i < udp->n_queue; i++) {
		const Coppice__Datagram *d = udp->queue[i];

		if (!d->from || d->data.len > DATAGRAM_MAX)
			return invalid(v, "udp.queue[%zu]: %zu bytes", i, d->data.len);
		r = check_address(v, "udp.queue.from", d->from, udp->family);
		if (r < 0)
			return r;
	}
	return 0;
}

int validate_netlink(const struct validation *v, const Coppice__NetlinkSocket *netlink)
{
	if (netlink->type != SOCK_RAW && netlink->type != SOCK_DGRAM)
		return invalid(v, "netlink.type: %u", netlink->type);
	if (!netlink->options)
		return invalid(v, "netlink.options: missing");
	return 0;
}

int validate_hold(const struct validation *v, const char *id)
{
	if (id[0] != '\0' && (strlen(id) != 16 || strspn(id, "0123456789abcdef") != 16))
		return invalid(v, "hold: \"%s\"", id);
	return 0;
}
