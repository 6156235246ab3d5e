/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which processes share an address space, a descriptor table, fs, signal handlers, a SEM_UNDO
 * list or an I/O context.
 */
#pragma once

#include "kind/collect.h"

/*
 * To be called once, after collect.processes is complete (with puppets, stat and status) and
 * before any aspect: finds the sharing with kcmp(2), makes the empty Mm, Fs, FdTable and Sighand
 * messages of the checkpoint in canonical order, fills in their numbers in each Process, and sets
 * mm_owner, files_owner, fs_owner, sighand_owner (a zombie has none of these and owns itself).
 *
 * Refused: a thread with an fs, a descriptor table, a SEM_UNDO list or an I/O context other than
 * sharing by its whole thread group allows for, and any of these tables shared with a task
 * outside the tree.
 */
int share_collect(struct collect *c);
