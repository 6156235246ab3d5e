/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To look at all that is queued in a socket, options of it must be other ones for a moment
 * (SO_PEEK_OFF, SO_PASSCRED); and the socket is a running program's. The guard is a process that puts
 * them back if this one dies in between.
 */
#pragma once

struct context;
struct peek_guard;

/* One guard serves one socket after the other. */
int peek_guard_start(struct context *ctx, struct peek_guard **ret_guard);
/* Ends the process; takes NULL. */
void peek_guard_stop(struct peek_guard *guard);
void peek_guard_stopp(struct peek_guard **guard);

/* From here on the options of @fd may be changed; */
int peek_guard_begin(struct context *ctx, struct peek_guard *guard, int fd);
/* and here they are as they were. */
int peek_guard_end(struct context *ctx, struct peek_guard *guard, int fd);
