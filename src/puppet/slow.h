/* SPDX-License-Identifier: Apache-2.0 */
/* Running the table in a slot call by call, from outside. Private to the puppet layer. */
#pragma once

#include "puppet/puppet.h"

int slow_run(struct context *ctx, struct puppet *p);
