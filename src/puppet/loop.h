/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The borrowed loop, seen from the coordinator: how a task gets in and out (the code that runs
 * inside is stub/loop.c). Private to the puppet layer. loop.c tells the order of steps.
 */
#pragma once

#include "puppet/boot.h"

/* Bytes at the end of a slot which tables leave alone: sigreturn frame, door, stack. */
enum { LOOP_RESERVE = 16 * 1024 };

uint64_t loop_code_len(void);
int loop_write_code(struct context *ctx, struct puppet *p);

/* Makes the pair of sockets. 1: done; 0: it cannot be had (a full descriptor table): the slow way
 * it is. */
int loop_connect(struct context *ctx, struct boot *b);
/* Closes it again, ours and the program's; nothing to do where there is none. */
int loop_disconnect(struct context *ctx, struct boot *b);

/* From a boot session into the loop. */
int loop_enter(struct context *ctx, struct boot *b);
/* Out of the loop: parked, but still with the loop's registers. */
int loop_park(struct context *ctx, struct puppet *p);
/* A parked task gets its own mask and registers back. */
int loop_leave(struct context *ctx, struct puppet *p);
