/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment has no timestamp option: a connection that uses them takes one without
 * (tcp_fast_parse_options()), whereas a wrong one would be remembered as the peer's clock.
 */
#include "file/tcp-segment.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <stddef.h>

#include "file/hold.h"
#include "file/inet-packet.h"

int tcp_segment_give(struct context *ctx, const struct hold_flow *flow, uint32_t scope_id,
		     uint32_t seq, uint32_t ack, uint8_t flags)
{
	struct tcphdr tcp = {
		.source = htons(flow->remote_port),
		.dest = htons(flow->local_port),
		.seq = htonl(seq),
		.ack_seq = htonl(ack),
		.doff = sizeof(tcp) / 4,
		.fin = (flags & SEGMENT_FIN) != 0,
		.rst = (flags & SEGMENT_RST) != 0,
		.ack = (flags & SEGMENT_ACK) != 0,
		.window = htons(UINT16_MAX),
	};

	return inet_packet_give(ctx, flow, scope_id, IPPROTO_TCP, &tcp, sizeof(tcp),
				offsetof(struct tcphdr, check));
}
