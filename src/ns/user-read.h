/* SPDX-License-Identifier: Apache-2.0 */
/* The pure part of reading user namespaces. */
#pragma once

#include "image/checkpoint.pb-c.h"
#include "util/arena.h"

/* The lines of /proc/PID/uid_map. -EBADMSG: it is none; -ENOMEM. */
int id_map_parse(struct arena *arena, const char *text, Coppice__IdMap ***ret, size_t *ret_n);
