/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for what the kinds of sockets have in common. */
#include <inttypes.h>
#include <limits.h>
#include <linux/filter.h>
#include <net/if.h>
#include <string.h>

#include "image/validate-internal.h"

int validate_socket_options(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__SocketOptions *o = (const Coppice__SocketOptions *)msg;

	if (o->filter.len % sizeof(struct sock_filter) != 0 ||
	    o->filter.len > BPF_MAXINSNS * sizeof(struct sock_filter))
		return invalid(v, "options.filter: %zu bytes", o->filter.len);
	if (o->send_buffer > INT_MAX || o->receive_buffer > INT_MAX)
		return invalid(v, "options.send_buffer, receive_buffer: %u, %u", o->send_buffer,
			       o->receive_buffer);
	if (o->receive_timeout_us < 0 || o->send_timeout_us < 0)
		return invalid(v,
			       "options.receive_timeout_us, send_timeout_us: %" PRId64 ", %" PRId64,
			       o->receive_timeout_us, o->send_timeout_us);
	if (strlen(o->device) >= IFNAMSIZ)
		return invalid(v, "options.device: %s", o->device);
	if (o->peek_offset < -1)
		return invalid(v, "options.peek_offset: %d", o->peek_offset);
	return 0;
}
