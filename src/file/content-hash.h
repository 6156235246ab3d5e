/* SPDX-License-Identifier: Apache-2.0 */
/* The hash that tells, with --check-content, whether a file found by its path is the same. */
#pragma once

#include <stdint.h>

struct context;

/* XXH3 of all of the file behind @fd, from its start; @name is for messages. Moves no offset. */
int content_hash(struct context *ctx, int fd, const char *name, uint64_t *ret_hash);
