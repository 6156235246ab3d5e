/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that a restored socket is given as if its peer had sent them: what has come to it, and the
 * states that only a peer brings about, are made in no other way.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct context;
struct hold_flow;

/*
 * Sends the @len bytes of @segment, a header of @protocol (IPPROTO_TCP, IPPROTO_UDP) and what follows,
 * from @flow's remote end to the local one, through the loopback device and past held-back packets. The
 * checksum at offset @checksum_at, zero so far, is filled in. @scope_id: of a link-local address.
 */
int inet_packet_give(struct context *ctx, const struct hold_flow *flow, uint32_t scope_id,
		     uint8_t protocol, void *segment, size_t len, size_t checksum_at);
