/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the whole state of a stopped tree, but for memory content, into a checkpoint: the walk over
 * all registries. dump, check and verify share it.
 */
#pragma once

#include "kind/collect.h"

void collect_init(struct collect *c, struct context *ctx, struct arena *arena,
		  const struct collect_options *opt);
void collect_deinit(struct collect *c);

/*
 * Collects every process of @tree, whose tasks are held. 0 also when there are refusals: the caller looks at
 * c->refusals. Processes get their ids here: parents before children, level by level, by PID within a
 * level. On return the first task of each process of a running tree is in its loop.
 */
int collect_tree(struct collect *c, struct puppet_tree *tree);
