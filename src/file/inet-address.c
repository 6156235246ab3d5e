/* SPDX-License-Identifier: Apache-2.0 */
#include "file/inet-address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "file/hold.h"
#include "util/cleanup.h"

static bool is_zero(const union inet_sockaddr *from)
{
	if (from->any.sa_family == AF_INET)
		return from->v4.sin_port == 0 && from->v4.sin_addr.s_addr == 0;
	return from->v6.sin6_port == 0 && IN6_IS_ADDR_UNSPECIFIED(&from->v6.sin6_addr);
}

int inet_address_collect(struct collect *c, const union inet_sockaddr *from,
			 Coppice__InetAddress **ret_address)
{
	Coppice__InetAddress *address = NULL;
	char text[INET6_ADDRSTRLEN] = "";
	bool v6 = from->any.sa_family == AF_INET6;
	const void *ip = v6 ? (const void *)&from->v6.sin6_addr : &from->v4.sin_addr;

	if (!is_zero(from)) {
		address = arena_new(c->arena, Coppice__InetAddress);
		if (!address)
			return err_oom(c->ctx);
		coppice__inet_address__init(address);
		(void)inet_ntop(from->any.sa_family, ip, text, sizeof(text)); /* it fits */
		address->ip = arena_strdup(c->arena, text);
		if (!address->ip)
			return err_oom(c->ctx);
		address->port = ntohs(v6 ? from->v6.sin6_port : from->v4.sin_port);
		address->scope_id = v6 ? from->v6.sin6_scope_id : 0;
		address->flow_info = v6 ? from->v6.sin6_flowinfo : 0;
	}
	*ret_address = address;
	return 0;
}

socklen_t inet_address_get(const Coppice__InetAddress *address, uint32_t family,
			   union inet_sockaddr *ret)
{
	*ret = (union inet_sockaddr){.any.sa_family = (sa_family_t)family};
	if (family == AF_INET) {
		ret->v4.sin_port = htons((uint16_t)address->port);
		(void)inet_pton(AF_INET, address->ip, &ret->v4.sin_addr); /* validated */
		return sizeof(ret->v4);
	}
	ret->v6.sin6_port = htons((uint16_t)address->port);
	ret->v6.sin6_scope_id = address->scope_id;
	ret->v6.sin6_flowinfo = address->flow_info;
	(void)inet_pton(AF_INET6, address->ip, &ret->v6.sin6_addr);
	return sizeof(ret->v6);
}

struct hold_flow inet_flow(const union inet_sockaddr *local, const union inet_sockaddr *remote)
{
	const struct in6_addr *from = &local->v6.sin6_addr, *to = &remote->v6.sin6_addr;
	struct hold_flow flow = {0};

	if (local->any.sa_family == AF_INET) {
		memcpy(&flow.local, &local->v4.sin_addr, sizeof(struct in_addr));
		memcpy(&flow.remote, &remote->v4.sin_addr, sizeof(struct in_addr));
		flow.local_port = ntohs(local->v4.sin_port);
		flow.remote_port = ntohs(remote->v4.sin_port);
		return flow;
	}
	flow.local_port = ntohs(local->v6.sin6_port);
	flow.remote_port = ntohs(remote->v6.sin6_port);
	flow.v6 = !IN6_IS_ADDR_V4MAPPED(from);
	memcpy(&flow.local, flow.v6 ? from->s6_addr : from->s6_addr + 12, flow.v6 ? 16 : 4);
	memcpy(&flow.remote, flow.v6 ? to->s6_addr : to->s6_addr + 12, flow.v6 ? 16 : 4);
	return flow;
}

const char *inet_address_text(const Coppice__InetAddress *address, char buf[INET_ADDRESS_TEXT])
{
	bool v6 = address && strchr(address->ip, ':');

	if (!address)
		(void)snprintf(buf, INET_ADDRESS_TEXT, "-");
	else
		(void)snprintf(buf, INET_ADDRESS_TEXT, v6 ? "[%s]:%u" : "%s:%u", address->ip,
			       address->port & 0xffff);
	return buf;
}

int inet_address_check(struct rebuild *r, const char *kind, const Coppice__InetAddress *address,
		       uint32_t family, bool may_be_foreign)
{
	_cleanup_close_ int fd = -EBADF;
	char text[INET_ADDRESS_TEXT];
	union inet_sockaddr local;
	socklen_t len;

	if (!address || may_be_foreign)
		return 0;
	fd = socket((int)family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(r->ctx, -errno, "socket(%u)", family);
	len = inet_address_get(address, family, &local);
	if (family == AF_INET)
		local.v4.sin_port = 0;
	else
		local.v6.sin6_port = 0;
	if (bind(fd, &local.any, len) >= 0 || errno != EADDRNOTAVAIL)
		return 0;
	return rebuild_refuse(r, "add it (ip address add), or restore where it is",
			      "a %s socket has the address %s, which this machine does not", kind,
			      inet_address_text(address, text));
}
