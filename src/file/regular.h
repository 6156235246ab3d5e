/* SPDX-License-Identifier: Apache-2.0 */
/* What the kinds that are a file with an offset have in common. */
#pragma once

#include "kind/rebuild.h"

/* The path that the description was opened by, if that is not the inode's; else NULL. */
const char *regular_own_path(const Coppice__File *file);

/* Opens @inode again as @file, at its offset. The descriptor belongs to r->files. */
int regular_open(struct rebuild *r, const Coppice__File *file, uint32_t inode, int *ret_fd);
