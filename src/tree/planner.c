/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/planner.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tree/builder.h"
#include "tree/replay.h"
#include "tree/state.h"

/* Is anything of the session left that the root was born in? */
static enum plan_root_session root_session(const struct birth *b)
{
	for (size_t i = 0; i < b->n_nodes; i++)
		if (!b->nodes[i].dead && b->nodes[i].session == b->nodes[0].birth)
			return b->tree->shell_job ? PLAN_ROOT_SESSION_INHERITED
						  : PLAN_ROOT_SESSION_NEW;
	return PLAN_ROOT_SESSION_ANY;
}

/* @tree with no shared tables, and as if everybody had been adopted. */
static struct tree *without_tables(struct arena *scratch, const struct tree *tree)
{
	struct tree *plain = arena_memdup(scratch, tree, sizeof(*tree));

	if (!plain)
		return NULL;
	plain->processes = arena_memdup(scratch, tree->processes,
					tree->n_processes * sizeof(*tree->processes));
	for (size_t i = 0; plain->processes && i < tree->n_processes; i++) {
		memset(plain->processes[i].table, 0, sizeof(plain->processes[i].table));
		plain->processes[i].exit_signal = SIGCHLD;
	}
	return plain->processes ? plain : NULL;
}

static bool has_strangers(const struct tree *tree)
{
	for (size_t i = 1; i < tree->n_processes; i++)
		if (tree->processes[i].parent == TREE_NONE)
			return true;
	return false;
}

static int solve_once(struct context *ctx, struct arena *scratch, const struct tree *tree,
		      uint64_t limit, bool rooted, struct birth *b)
{
	int r = birth_init(b, ctx, scratch, tree);

	if (r < 0)
		return r;
	b->limit = limit;
	b->rooted = rooted;
	return birth_solve(b, ctx);
}

/*
 * Solves for @tree. Where everybody's parent is within, first as if all had come from the root; but
 * others may have come from outside into its namespaces and died.
 */
static int solve(struct context *ctx, struct arena *scratch, const struct tree *tree,
		 uint64_t limit, struct birth *b)
{
	struct context quiet = {0};
	int r;

	if (has_strangers(tree))
		return solve_once(ctx, scratch, tree, limit, false, b);
	r = solve_once(&quiet, scratch, tree, limit, true, b);
	if (r == 0)
		return 0;
	if (r == -EDOM && (tree->n_pid_ns > 1 || (tree->container && b->n_outside > 1)))
		return solve_once(ctx, scratch, tree, limit, false, b);
	ctx->err = quiet.err;
	return r;
}

/*
 * Tables are left, and exit signals reset, by exec and unshare(), too, which no plan makes use of. So
 * what cannot be for their sake is not called impossible.
 */
static int explain_refusal(struct context *ctx, struct arena *scratch, const struct tree *tree,
			   uint64_t limit)
{
	struct tree *plain = without_tables(scratch, tree);
	char cause[ERR_TEXT];
	struct context quiet = {0};
	struct birth birth;
	int r;

	if (!plain)
		return err_oom(ctx);
	r = solve(&quiet, scratch, plain, limit, &birth);
	if (r == -EDOM)
		return -EDOM;
	if (r == -ENOMEM)
		return err_oom(ctx);
	memcpy(cause, ctx->err.frame[0], sizeof(cause));
	return err_msg(
		ctx, -EOPNOTSUPP,
		"%.380s; but for an exec or unshare() on the way, which is not supported yet",
		cause);
}

static int build(struct builder *bu)
{
	int r;

	if (builder_init(bu) < 0)
		return err_oom(bu->ctx);
	r = placement_find(bu);
	if (r < 0)
		return r;
	if (namespaces_begin(bu) < 0)
		return err_oom(bu->ctx);
	r = births_plan(bu);
	if (r == 0)
		r = groups_plan(bu);
	if (r < 0)
		return r;
	return finish_plan(bu) < 0 ? err_oom(bu->ctx) : 0;
}

/* Everything but the plan itself lives in @scratch. */
static int find_plan(struct context *ctx, struct arena *arena, struct arena *scratch,
		     const struct tree *tree, uint64_t limit, struct plan *plan)
{
	struct birth birth = {0};
	struct tree_index index;
	struct builder bu = {
		.ctx = ctx, .arena = arena, .tree = tree, .birth = &birth, .plan = plan};
	int r;

	if (tree_index_init(&index, scratch, tree) < 0)
		return err_oom(ctx);
	r = state_check(ctx, &index);
	if (r == 0)
		r = solve(ctx, scratch, tree, limit, &birth);
	if (r == -EDOM && birth.nodes)
		r = explain_refusal(ctx, scratch, tree, limit);
	if (r < 0)
		return r;
	plan->effort = birth.effort;
	plan->root_session = root_session(&birth);
	plan->root_exit_signal = tree->processes[0].exit_signal;
	return build(&bu);
}

int planner_run(struct context *ctx, struct arena *arena, const struct tree *tree,
		const struct planner_options *opt, struct plan **ret_plan)
{
	struct plan *plan = arena_new(arena, struct plan);
	uint64_t limit = opt && opt->effort ? opt->effort : PLANNER_EFFORT;
	struct arena scratch;
	int r;

	if (!plan)
		return err_oom(ctx);
	arena_init(&scratch, ctx);
	r = find_plan(ctx, arena, &scratch, tree, limit, plan);
	arena_deinit(&scratch);
	if (r < 0)
		return r;
	*ret_plan = plan;
	return 0;
}

int planner_run_checked(struct context *ctx, struct arena *arena, const struct tree *tree,
			struct plan **ret_plan)
{
	struct plan *plan;
	int r;

	r = planner_run(ctx, arena, tree, NULL, &plan);
	if (r < 0)
		return r;
	r = replay_check(ctx, tree, plan);
	if (r < 0)
		return r;
	*ret_plan = plan;
	return 0;
}
