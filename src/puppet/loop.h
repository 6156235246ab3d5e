/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The borrowed loop, seen from the coordinator: how a task gets in and out (what runs inside is
 * stub/borrowed.c). Private to the puppet layer. loop.c tells the order of steps.
 */
#pragma once

#include "puppet/boot.h"

/* Bytes at the end of a slot which tables leave alone: sigreturn frame, door, stack. */
enum { LOOP_RESERVE = 18 * 1024, LOOP_STACK = 2 * 1024 };

/* Starts the call that makes the pair of sockets, in a boot session. */
int loop_connect(struct context *ctx, struct boot *b);
/*
 * It has ended. 1: ours was taken, and the call that closes it in the program was started: the
 * loop may be entered when that ends. 0: it cannot be had (a full descriptor table), nothing is
 * left of it: tables must run the slow way.
 */
int loop_connected(struct context *ctx, struct boot *b, int64_t result);
/* Starts the call that closes the far end; ours is closed. Only where there is one. */
int loop_disconnect(struct context *ctx, struct boot *b);
/* Closes ours alone: nothing is left of the program's. */
void loop_forget(struct puppet_area *area);
/* From a boot session into the loop. */
int loop_enter(struct context *ctx, struct boot *b);
/* Out of the loop: parked, but still with the loop's registers. In two halves, or whole. */
int loop_call_back(struct context *ctx, struct puppet *p);
int loop_park(struct context *ctx, struct puppet *p);
/* Where the looping task's door has the descriptor that is lent: struct door_lent. */
puppet_addr loop_lent(const struct puppet *p);
/* Starts the call that closes what is lent still; the socket stays. */
int loop_take_back(struct context *ctx, struct boot *b);
/* A parked task gets its own mask and registers back. */
int loop_home(struct context *ctx, struct puppet *p);

/* Has a parked task that is not in the loop run the one table in its slot. */
int loop_visit(struct context *ctx, struct puppet *p);
