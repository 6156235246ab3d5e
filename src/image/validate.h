/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold in a checkpoint before anybody uses it: ids are dense and references lead
 * somewhere, enums are known, lists are in order and as long as the kernel has them, VMAs do not
 * overlap, page runs lie inside VMAs and inside page files. Code behind it may index by id and
 * copy by length without checks of its own.
 *
 * It does not say that the tree can be rebuilt (tree/planner.h) or that this machine can do it
 * (the check phase of the registries).
 */
#pragma once

#include "image/checkpoint.pb-c.h"

struct context;

/*
 * 0, or -EBADMSG with a chain that names the file, the record and the field
 * ("mms.img, record 2: mms[1].vmas[7].start: ..."). Fast enough for every dump to call it too.
 */
int checkpoint_validate(struct context *ctx, const Coppice__Checkpoint *cp);

/*
 * Calls @visit for every field that holds the id of a record of @list ("inodes"), and lets it change the
 * id; stops at the first result other than 0 and returns it.
 */
int checkpoint_references(Coppice__Checkpoint *cp, const char *list,
			  int (*visit)(void *data, uint32_t *id), void *data);
