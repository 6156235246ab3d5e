/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Borrowed puppets: getting the area into a running program's task and out again. Private to the
 * puppet layer.
 */
#pragma once

#include "puppet/puppet.h"

int borrow_enter(struct context *ctx, struct puppet *p, uint32_t slots);
int borrow_leave(struct context *ctx, struct puppet *p);

/* True if the puppet's tables run in the loop; false: call by call, by boot sessions. */
bool borrow_has_loop(const struct puppet *p);
