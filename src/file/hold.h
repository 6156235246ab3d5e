/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holding back the packets of connections whose owner is stopped or gone, by an nftables table in
 * coppice's network namespace: what arrives for them is dropped, as by a bad line, and so is what the
 * kernel would send on their behalf. The peer sends it again later; it never gets a reset.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct context;
struct hold;

/* One connection, seen from here. Ports in host order. */
struct hold_flow {
	uint32_t v6;	       /* 0 or 1; as wide as the others, so that there is no padding */
	struct in6_addr local; /* IPv4: in the first four bytes */
	struct in6_addr remote;
	uint16_t local_port;
	uint16_t remote_port;
};

/* Packets with this mark (SO_MARK) pass: those that coppice itself gives to the sockets. */
enum { HOLD_MARK = 0x0c099 };

/*
 * libnftables waits by select(), which knows descriptors below FD_SETSIZE only. So one is taken early, for
 * nothing, and given back when the library needs it. -EBADF if there is none.
 */
int hold_reserve(void);

/*
 * Drops the packets of @flows from now on, until hold_end, or until this process dies in whatever
 * way. What a coppice that died between a dump's end and the tree's has left over is removed
 * first. *@reserved is what hold_reserve gave; it is closed. *@ret_hold is owned by the caller.
 */
int hold_begin(struct context *ctx, const struct hold_flow *flows, size_t n, int *reserved,
	       struct hold **ret_hold);
/* Lets them through again. Takes NULL. */
void hold_end(struct hold *hold);

/* Names what hold_keep leaves behind: 16 hexadecimal digits. */
const char *hold_id(const struct hold *hold);
/*
 * The same packets are dropped also after this process has ended, until somebody calls hold_forget.
 * @root and @root_start (in /proc/PID/stat's units) are the process whose death is next: while it
 * lives and we do not, whoever calls hold_begin removes this.
 */
int hold_keep(struct context *ctx, struct hold *hold, pid_t root, uint64_t root_start);
/* Removes what hold_keep left behind under @id, if it is in this network namespace. */
int hold_forget(struct context *ctx, struct hold *hold, const char *id);
