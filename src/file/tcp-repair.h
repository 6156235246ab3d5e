/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP_REPAIR (tcp(7) does not have it; net/ipv4/tcp.c): a socket in repair mode shows its sequence
 * numbers and what is queued for sending; one that is connected is so at once, with the numbers it
 * was given; what is written into a queue is there, and nothing is sent; closed, it is silently gone.
 *
 * The mode belongs to the socket, not to who switched it on: it stays if coppice is killed. So while a
 * socket is only looked at, it lasts for a dozen calls, which are all in tcp_repair_read(), some tens of
 * microseconds; and before the kill, from tcp_disarm() of the first connection on. A socket that is left
 * in it neither sends nor lets its program read, until another coppice dumps it: that reads it, and
 * switches the mode off.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/tcp.h>

struct context;

int tcp_repair_on(struct context *ctx, int fd);
/* Off, without a probe of the window. SO_REUSEADDR is 0 afterwards. */
int tcp_repair_off(struct context *ctx, int fd);

/* What can be read of a connection in repair mode only. */
struct tcp_repair_state {
	uint32_t send_seq;    /* after the last byte that is queued, tp->write_seq */
	uint32_t receive_seq; /* tp->rcv_nxt */
	uint32_t mss;
	uint32_t timestamp;
	struct tcp_repair_window window;
	size_t n_send; /* bytes that were put into the send buffer; >= what was asked for */
};

/*
 * Reads a connection whose packets are held back, of a process that is stopped. @send has room for
 * @send_room bytes, of which none are read if that is 0. It is not in repair mode any more whatever is
 * returned, and has @reuse_addr again as SO_REUSEADDR.
 */
int tcp_repair_read(struct context *ctx, int fd, uint32_t reuse_addr, void *send, size_t send_room,
		    struct tcp_repair_state *ret);

/* In repair mode: the sequence number of a queue (TCP_SEND_QUEUE, TCP_RECV_QUEUE) that is selected. */
int tcp_repair_select(struct context *ctx, int fd, int queue);
int tcp_repair_set_seq(struct context *ctx, int fd, int queue, uint32_t seq);
int tcp_repair_set_window(struct context *ctx, int fd, const struct tcp_repair_window *window);

/* The state (TCP_ESTABLISHED, ...) and negotiated options. Also of sockets not in repair mode. */
int tcp_info_get(struct context *ctx, int fd, struct tcp_info *ret);
