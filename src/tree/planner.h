/* SPDX-License-Identifier: Apache-2.0 */
/* The planner: from the final tree to the steps that grow it. */
#pragma once

#include "tree/plan.h"
#include "tree/tree.h"
#include "util/arena.h"
#include "util/context.h"

struct planner_options {
	uint64_t effort; /* inferences after which the search gives up; 0: PLANNER_EFFORT */
};

#define PLANNER_EFFORT UINT64_C(20000000)

/*
 * Finds a plan for @tree (which tree_validate has accepted; @opt may be NULL). The plan lives in
 * @arena and refers to @tree's numbers.
 *
 * Returns 0; -EDOM when no history of the kernel can end in this tree: the chain says which
 * constraint cannot be met; -ETIME when the bounded search gave up, which says nothing about the
 * tree; -EOPNOTSUPP for state that cannot be planned yet, by name; -ENOMEM.
 */
int planner_run(struct context *ctx, struct arena *arena, const struct tree *tree,
		const struct planner_options *opt, struct plan **ret_plan);

/* planner_run, and the plan replayed on the model kernel: what dump and restore call. */
int planner_run_checked(struct context *ctx, struct arena *arena, const struct tree *tree,
			struct plan **ret_plan);
