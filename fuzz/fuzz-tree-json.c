/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reader of tree files, and the planner with whatever it accepts. */

#include "fuzz.h"
#include "tree/planner.h"
#include "tree/print.h"
#include "tree/replay.h"
#include "util/cleanup.h"

static void plan(struct context *ctx, struct arena *arena, const struct tree *tree)
{
	static const struct planner_options little = {.effort = 100000};
	_cleanup_strbuf_ struct strbuf text = {0};
	struct plan *plan;

	if (planner_run(ctx, arena, tree, &little, &plan) < 0)
		return;
	if (replay_diff(tree, plan, &text) != 0)
		abort();
	print_plan_text(tree, plan, &text);
	print_plan_json(tree, plan, &text);
	print_plan_dot(tree, plan, &text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_(arena_deinit) struct arena arena;
	struct context ctx = {0};
	struct tree *tree;

	arena_init(&arena, NULL);
	if (tree_from_json(&ctx, &arena, text, size, &tree) == 0)
		plan(&ctx, &arena, tree);
	return 0;
}
