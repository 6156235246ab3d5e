/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all sockets have in common: the options of SOL_SOCKET.
 *
 * A kind of socket has a SocketOptions member in its message (validate_file must see that it is there)
 * and calls
 *
 *	.matches ... socket_domain(probe) == AF_...
 *	.collect ... socket_options_collect(c, probe, &msg->options);
 *	.check ..... socket_options_check(r, msg->options);
 *	.create .... socket_options_set(r, msg->options, fd, SOCKET_EARLY), before bind() and connect();
 *	.connect ... what is queued;
 *	.last ...... socket_options_set(r, msg->options, fd, SOCKET_LATE), when nothing is sent or
 *		     received by coppice any more.
 *
 * In between a kind may set options as it needs them (a larger SO_SNDBUF for what is queued): what
 * SOCKET_LATE finds to be another than in the image it sets.
 */
#pragma once

#include "kind/collect.h"
#include "kind/file.h"
#include "kind/rebuild.h"

enum socket_phase {
	SOCKET_EARLY, /* what bind() and connect() look at */
	SOCKET_LATE,  /* everything else, and the buffers again */
};

/* AF_*, or -1: no socket. */
int socket_domain(const struct file_probe *probe);

/*
 * Reads them from probe->fd; nothing of the socket is changed. Refuses what cannot be kept (attached
 * eBPF, ...), among it a socket of another network namespace than coppice's.
 */
int socket_options_collect(struct collect *c, const struct file_probe *probe,
			   Coppice__SocketOptions **ret_options);
/* Is there the device that it is bound to? Reports with rebuild_refuse. */
int socket_options_check(struct rebuild *r, const Coppice__SocketOptions *options);
/* Sets those of the phase that @fd has otherwise. */
int socket_options_set(struct rebuild *r, const Coppice__SocketOptions *options, int fd,
		       enum socket_phase phase);
