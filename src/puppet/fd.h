/* SPDX-License-Identifier: Apache-2.0 */
/* Lending a descriptor to a borrowed task (loan.c is the front door). Private to the puppet layer. */
#pragma once

#include "puppet/puppet.h"

/* To the process of @p, which must have been entered. One at a time. */
int fd_lend(struct context *ctx, struct puppet *p, int fd, int *ret_number);
/* Nothing to do where nothing is lent. */
int fd_take_back(struct context *ctx, struct puppet *p);
