/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments that a restored connection is given as if its peer had sent them: the states after a FIN,
 * a confirmed FIN or a reset are reached in no other way.
 */
#pragma once

#include <stdint.h>

struct context;
struct hold_flow;

enum {
	SEGMENT_FIN = 0x01,
	SEGMENT_RST = 0x04,
	SEGMENT_ACK = 0x10,
};

/*
 * Sends one without data from @flow's remote end to the local one, through the loopback device and
 * past the held-back packets. @scope_id: of a link-local address, else 0.
 */
int tcp_segment_give(struct context *ctx, const struct hold_flow *flow, uint32_t scope_id,
		     uint32_t seq, uint32_t ack, uint8_t flags);
