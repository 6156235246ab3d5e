/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of SOL_IP, SOL_IPV6 and SOL_TCP that are integers and come back as they were set. Like those
 * of SOL_SOCKET (socket-options.h), one that a socket or a kernel does not have reads as zero, and
 * only what a new socket has otherwise is set.
 */
#pragma once

#include <stddef.h>

#include "kind/collect.h"
#include "kind/file.h"
#include "kind/rebuild.h"

/* IPPROTO_*, or -1: no socket of IPv4 or IPv6. */
int inet_protocol(const struct file_probe *probe);

/* Fills in the options of IP and, for AF_INET6, of IPv6. Options that cannot be kept are refused. */
int inet_options_collect(struct collect *c, const struct file_probe *probe, int family,
			 Coppice__IpOptions **ret_ip, Coppice__Ipv6Options **ret_ipv6);
/* Sets them; before bind(), for which some are. @ipv6 may be NULL. */
int inet_options_set(struct rebuild *r, int fd, const Coppice__IpOptions *ip,
		     const Coppice__Ipv6Options *ipv6);

int tcp_options_collect(struct context *ctx, int fd, Coppice__TcpOptions *tcp);
int tcp_options_set(struct rebuild *r, int fd, const Coppice__TcpOptions *tcp);

int udp_options_collect(struct context *ctx, int fd, Coppice__UdpOptions *udp);
int udp_options_set(struct rebuild *r, int fd, const Coppice__UdpOptions *udp);
