/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Borrowed puppets: getting the area into a running program's task and out again. Private to the
 * puppet layer.
 */
#pragma once

#include "puppet/puppet.h"

/* The task must be parked with its own registers; it is in the loop afterwards. */
int borrow_enter(struct context *ctx, struct puppet *p, uint32_t slots);
int borrow_leave(struct context *ctx, struct puppet *p);

/*
 * The same for many at once, of which no two have an area in common: while one works, the
 * coordinator sees to the others. Those that failed show it by their state. Returns how many did;
 * the chain is of one of them.
 */
size_t borrow_enter_all(struct context *ctx, struct puppet **puppets, size_t n, uint32_t slots);
size_t borrow_leave_all(struct context *ctx, struct puppet **puppets, size_t n);
