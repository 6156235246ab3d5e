/* SPDX-License-Identifier: Apache-2.0 */
/* What is read in a user namespace, and written there again. */
#pragma once

#include "image/checkpoint.pb-c.h"
#include "util/arena.h"
#include "util/context.h"

/* The lines of /proc/PID/uid_map. -EBADMSG: it is none; -ENOMEM. */
int id_map_parse(struct arena *arena, const char *text, Coppice__IdMap ***ret, size_t *ret_n);

/* Limits are for the end: what is there may be more than they allow. */
int user_ns_limit(struct context *ctx, const Coppice__UserNs *msg, int fd);
