/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File handles (open_by_handle_at(2)): the way to a file that has names, none of which is known.
 * Private to src/file.
 */
#pragma once

#include "file/inode-storage.h"

struct rebuild;

/*
 * Takes the handle of what @sight leads to. 1: it leads back to it; 0: this file system gives none,
 * or nothing on it can be reached below the file's old path.
 */
int inode_handle_collect(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg);
/* O_PATH, owned by the caller. -ESTALE: the file is gone; -errno without a chain. */
int inode_handle_open(struct arena *arena, const Coppice__Inode *msg);
