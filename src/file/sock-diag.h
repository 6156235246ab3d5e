/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NETLINK_SOCK_DIAG: what the kernel tells of sockets and getsockopt does not (sock_diag(7)). It
 * answers for the network namespace in which it was opened: coppice's, the only one whose sockets
 * are dumped.
 */
#pragma once

#include <linux/netlink.h>
#include <stdint.h>
#include <sys/types.h>

struct context;
struct sock_diag;

int sock_diag_open(struct context *ctx, struct sock_diag **ret_diag);
void sock_diag_close(struct sock_diag *diag); /* takes NULL */
void sock_diag_closep(struct sock_diag **diag);

/*
 * Asks with one request of SOCK_DIAG_BY_FAMILY (struct unix_diag_req, inet_diag_req_v2, ...), for all
 * sockets that match (@flags NLM_F_DUMP) or for one (0). @each is called for every answer; what it
 * returns below zero ends the asking. -ENOENT: there is no such socket, or the kernel does not know
 * the family (CONFIG_*_DIAG).
 */
int sock_diag_ask(struct context *ctx, struct sock_diag *diag, const void *request, size_t len,
		  uint16_t flags, int (*each)(const struct nlmsghdr *answer, void *data),
		  void *data);
