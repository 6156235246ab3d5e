/* SPDX-License-Identifier: Apache-2.0 */
/* A plan tried out on the model kernel. */
#pragma once

#include "tree/plan.h"
#include "tree/tree.h"
#include "util/context.h"
#include "util/strbuf.h"

/*
 * Replays @plan and adds every difference between its outcome and @tree to @diff, a line each: a
 * step that the kernel would refuse (which ends the replay), a process too many or missing, a
 * field that is not as it should be. Returns the number of differences, or -ENOMEM.
 */
int replay_diff(const struct tree *tree, const struct plan *plan, struct strbuf *diff);

/* 0, or -ENOTRECOVERABLE with a chain when there are differences: the planner has a bug. */
int replay_check(struct context *ctx, const struct tree *tree, const struct plan *plan);
