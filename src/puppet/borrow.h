/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Borrowed puppets: getting the area into a running program's task and out again. Private to the
 * puppet layer.
 */
#pragma once

#include "puppet/puppet.h"

int borrow_enter(struct context *ctx, struct puppet *p, uint32_t slots);
int borrow_leave(struct context *ctx, struct puppet *p);
