/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/check.h"

#include "checkpoint/collect.h"
#include "checkpoint/externals.h"
#include "checkpoint/rebuild.h"
#include "file/external.h"
#include "file/fdtable.h"
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

/* Stops the tree for as long as it takes to collect it and to @look at it (may be NULL). */
static int collect_stopped(struct collect *c, pid_t root, int (*look)(struct collect *c),
			   uint64_t *ret_stopped_ns)
{
	struct puppet_tree tree = {0};
	uint64_t since = stage_clock();
	struct err err;
	int released;
	int r = puppet_tree_seize(c->ctx, root, &tree);

	if (r < 0)
		return err_while(c->ctx, r, "stopping the tree below process %d", root);
	r = collect_tree(c, &tree);
	if (r >= 0 && look)
		r = look(c);
	files_unhold(c);
	err = c->ctx->err;
	released = puppet_tree_release(c->ctx, &tree, FATE_RUN);
	*ret_stopped_ns = stage_clock() - since;
	if (r >= 0)
		return released;
	c->ctx->err = err; /* the first error is what is told */
	return r;
}

int check_dump(struct context *ctx, const struct dump_options *opt, struct check_result *ret)
{
	const struct collect_options collect_opt = {
		.external = opt->external,
		.n_external = opt->n_external,
		.shell_job = opt->shell_job,
		.ext_unix = opt->ext_unix,
		.tcp_established = opt->tcp_established,
		.tcp_close = opt->tcp_close,
		.skip_in_flight = opt->skip_in_flight,
	};
	struct check_result result = {0};
	struct collect c;
	int r;

	r = externals_find(ctx, opt);
	if (r < 0)
		return r;
	arena_init(&result.arena, NULL);
	collect_init(&c, ctx, &result.arena, &collect_opt);
	r = collect_stopped(&c, opt->root, check_plan, &result.stopped_ns);
	result.refusals = c.refusals;
	result.n_refusals = c.n_refusals;
	result.n_processes = c.n_processes;
	collect_deinit(&c);
	if (r < 0)
		arena_deinit(&result.arena);
	else
		*ret = result;
	return r;
}

int check_tree(struct context *ctx, const struct dump_options *opt, struct arena *arena,
	       struct tree **ret_tree)
{
	const struct collect_options collect_opt = {.shell_job = opt->shell_job, .tree_only = true};
	uint64_t stopped_ns;
	struct collect c;
	int r;

	collect_init(&c, ctx, arena, &collect_opt);
	r = collect_stopped(&c, opt->root, NULL, &stopped_ns);
	if (r >= 0)
		r = tree_from_checkpoint(ctx, arena, c.cp, ret_tree);
	collect_deinit(&c);
	return r;
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
		r = external_replace(ctx, arena, cp, opt);
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

	arena_init(&result.arena, NULL);
	r = check_image(ctx, &result.arena, dir, opt, &rb);
	if (r < 0) {
		arena_deinit(&result.arena);
		return r;
	}
	result.refusals = rb.refusals;
	result.n_refusals = rb.n_refusals;
	result.n_processes = rb.n_processes;
	*ret = result;
	return 0;
}
