/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/check.h"

#include "checkpoint/collect.h"
#include "checkpoint/rebuild.h"
#include "image/reader.h"
#include "tree/planner.h"
#include "util/cleanup.h"

void check_result_deinit(struct check_result *result)
{
	arena_deinit(&result->arena);
	*result = (struct check_result){0};
}

/* Is there a plan? That there is none is one more refusal; that it could not be found out, an error. */
static int check_plan(struct collect *c)
{
	struct tree *tree;
	struct plan *plan;
	int r = tree_from_checkpoint(c->ctx, c->arena, c->cp, &tree);

	if (r >= 0)
		r = planner_run_checked(c->ctx, c->arena, tree, &plan);
	if (r >= 0 || r == -ENOMEM)
		return r;
	r = collect_refuse(c, c->ctx->err.hint[0] != '\0' ? c->ctx->err.hint : NULL,
			   "the tree of processes cannot be grown again: %s", c->ctx->err.frame[0]);
	err_clear(c->ctx);
	return r;
}

static int collect_and_plan(struct collect *c, const struct puppet_tree *tree)
{
	int r = collect_tree(c, tree);

	return r < 0 ? r : check_plan(c);
}

int check_dump(struct context *ctx, const struct dump_options *opt, struct check_result *ret)
{
	const struct collect_options collect_opt = {.shell_job = opt->shell_job};
	struct check_result result = {0};
	struct puppet_tree tree = {0};
	struct collect c;
	uint64_t since = stage_clock();
	struct err err;
	int released;
	int r = puppet_tree_seize(ctx, opt->root, &tree);

	if (r < 0)
		return err_while(ctx, r, "stopping the tree below process %d", opt->root);
	arena_init(&result.arena, ctx);
	collect_init(&c, ctx, &result.arena, &collect_opt);
	r = collect_and_plan(&c, &tree);
	err = ctx->err;
	released = puppet_tree_release(ctx, &tree, FATE_RUN);
	if (r < 0)
		ctx->err = err; /* the first error is what is told */
	else
		r = released;
	result.stopped_ns = stage_clock() - since;
	result.refusals = c.refusals;
	result.n_refusals = c.n_refusals;
	result.n_processes = c.n_processes;
	collect_deinit(&c);
	if (r < 0) {
		arena_deinit(&result.arena);
		return r;
	}
	/* The arena moves into the result; what still counted allocations in it is done. */
	result.arena.ctx = NULL;
	*ret = result;
	return 0;
}

static int check_image(struct context *ctx, struct arena *arena, const char *dir,
		       const struct rebuild_options *opt, struct rebuild *rb)
{
	_cleanup_image_reader_ struct image_reader *images = NULL;
	Coppice__Checkpoint *cp;
	struct tree *tree;
	struct plan *plan;
	int r = image_reader_open(ctx, dir, IMAGE_RESTORE, &images);

	if (r >= 0 && opt->check_pages)
		r = image_reader_check_pages(ctx, images);
	if (r >= 0)
		r = image_reader_load(ctx, images, arena, &cp);
	if (r >= 0)
		r = rebuild_init(rb, ctx, arena, cp, opt);
	if (r < 0)
		return r;
	rb->images = images;
	r = rebuild_check(rb);
	if (r >= 0)
		r = tree_from_checkpoint(ctx, arena, cp, &tree);
	if (r >= 0)
		r = planner_run_checked(ctx, arena, tree, &plan);
	rebuild_deinit(rb);
	return r;
}

int check_restore(struct context *ctx, const char *dir, const struct rebuild_options *opt,
		  struct check_result *ret)
{
	struct check_result result = {0};
	struct rebuild rb = {0};
	int r;

	arena_init(&result.arena, ctx);
	r = check_image(ctx, &result.arena, dir, opt, &rb);
	if (r < 0) {
		arena_deinit(&result.arena);
		return r;
	}
	result.arena.ctx = NULL;
	result.refusals = rb.refusals;
	result.n_refusals = rb.n_refusals;
	result.n_processes = rb.n_processes;
	*ret = result;
	return 0;
}
