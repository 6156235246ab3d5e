/* SPDX-License-Identifier: Apache-2.0 */
/* May a borrowed task make system calls for us? Private to the puppet layer. */
#pragma once

#include "puppet/puppet.h"

/* 0, or why not. Finds out once per task whether it is under seccomp (p->filtered). */
int permit_calls(struct context *ctx, struct puppet *p);
