/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rebuild of a checkpoint as a data structure: which process owns which shared table, where the
 * stubs' area can lie, which descriptor numbers are ours. No process exists yet.
 */
#pragma once

#include "kind/rebuild.h"

enum { STUB_SLOT_SIZE = 32 * 1024 };

/* @cp must have been validated. */
int rebuild_init(struct rebuild *r, struct context *ctx, struct arena *arena,
		 const Coppice__Checkpoint *cp, const struct rebuild_options *opt);
/* Closes what is still open here; processes are released by whoever made them. */
void rebuild_deinit(struct rebuild *r);

/* Asks every registry and the machine itself what stands in the way; reasons go to r->refusals. */
int rebuild_check(struct rebuild *r);
/* How many slots the stubs' area has: the most tasks that any address space is shared by. */
uint32_t rebuild_slots(const struct rebuild *r);
