/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP sockets (struct tcp_sock), IPv4 and IPv6: not connected, listening, and connected in every state
 * from ESTABLISHED to LAST_ACK, with what was not read and what was not confirmed by the peer; sockets
 * whose connection is over with what it left.
 *
 * While the tree is down, the packets of its connections are dropped (hold.h), so that the peer sees a
 * bad line, not a reset. It must be reached again from the same address.
 *
 * Refused, because the kernel shows it to nobody: connections of MPTCP (a client of today's Go; one that
 * was accepted from a peer without MPTCP is plain TCP, and its listener is kept), TLS in the kernel,
 * urgent data, an error that was not fetched. Connections that wait to be accepted belong to nobody
 * who could give them back: --skip-in-flight drops them.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "file/inet-address.h"
#include "file/inet-options.h"
#include "file/tcp.h"

static bool matches(const struct file_probe *probe)
{
	int protocol = inet_protocol(probe);

	return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	char local[INET_ADDRESS_TEXT], remote[INET_ADDRESS_TEXT];

	(void)snprintf(buf, size, "TCP %s to %s", inet_address_text(file->tcp->local, local),
		       inet_address_text(file->tcp->remote, remote));
}

const struct file_kind kind_tcp = {
	.name = "TCP socket",
	.which = COPPICE__FILE__KIND_TCP,
	.matches = matches,
	.collect = tcp_collect,
	.collect_late = tcp_collect_late,
	.disarm = tcp_disarm,
	.check = tcp_check,
	.create = tcp_create,
	.connect = tcp_connect,
	.last = tcp_last,
	.describe = describe,
};
