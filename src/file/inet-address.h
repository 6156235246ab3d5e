/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of internet sockets, as the kernel and as images have them. */
#pragma once

#include <netinet/in.h>

#include "kind/collect.h"
#include "kind/rebuild.h"

struct hold_flow;

union inet_sockaddr {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* A message for @from, from the arena; NULL for the address of a socket that is not bound: all zero. */
int inet_address_collect(struct collect *c, const union inet_sockaddr *from,
			 Coppice__InetAddress **ret_address);
/* The other way round, for a valid image. Returns the length. */
socklen_t inet_address_get(const Coppice__InetAddress *address, uint32_t family,
			   union inet_sockaddr *ret);
/* Is a local address (may be NULL) this machine's, unless it @may_be_foreign? Reports with
 * rebuild_refuse. @kind: "TCP", for the message. */
int inet_address_check(struct rebuild *r, const char *kind, const Coppice__InetAddress *address,
		       uint32_t family, bool may_be_foreign);
/* The connection between two addresses, the local one first. */
struct hold_flow inet_flow(const union inet_sockaddr *local, const union inet_sockaddr *remote);

enum { INET_ADDRESS_TEXT = INET6_ADDRSTRLEN + 8 };
/* "10.0.0.1:80", "[::1]:80", "*:80"; "-" for NULL. Returns @buf. */
const char *inet_address_text(const Coppice__InetAddress *address, char buf[INET_ADDRESS_TEXT]);
