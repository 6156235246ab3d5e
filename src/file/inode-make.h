/* SPDX-License-Identifier: Apache-2.0 */
/* Making inodes that are not found by a path; private to src/file. */
#pragma once

#include "kind/rebuild.h"

/*
 * Makes the inode, empty and of the right size, with ri->fd_rw open on it; says in needs_content
 * whether there is content to come. Leaves no name behind, whatever happens.
 */
int inode_make(struct rebuild *r, struct rebuild_inode *ri);
