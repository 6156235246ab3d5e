/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dump, stage by stage. Until the image is committed, every way out lets the tree run on as
 * before; afterwards nothing can fail any more that would matter to the image.
 *
 * No descriptor, mapping or register of ours stays in a process that is let go: that is the puppet
 * layer's promise. If this process is killed (SIGKILL), the mapping does: a task cannot unmap the
 * page that it goes home from. No file stays in the directory unless the
 * manifest was renamed into place: that is the image layer's.
 */
#include "checkpoint/dump.h"

#include "checkpoint/collect.h"
#include "checkpoint/externals.h"
#include "checkpoint/origin.h"
#include "file/fdtable.h"
#include "image/validate.h"
#include "image/writer.h"
#include "task/disarm.h"
#include "task/memory.h"
#include "task/settle.h"
#include "tree/planner.h"
#include "util/cleanup.h"

struct dump {
	struct context *ctx;
	const struct dump_options *opt;
	struct dump_report report;
	struct arena arena;
	struct collect collect;
	struct puppet_tree tree;
	bool held; /* the tree is seized */
	uint64_t held_since_ns;
	struct image_writer *image;
	struct memory_stats memory;
};

static void dump_init(struct dump *d, struct context *ctx, const struct dump_options *opt)
{
	const struct collect_options collect = {
		.shell_job = opt->shell_job,
		.ext_unix = opt->ext_unix,
		.check_content = opt->check_content,
		.external = opt->external,
		.n_external = opt->n_external,
		.tcp_established = opt->tcp_established,
		.tcp_close = opt->tcp_close,
		.skip_in_flight = opt->skip_in_flight,
	};

	*d = (struct dump){.ctx = ctx, .opt = opt};
	arena_init(&d->arena, ctx);
	collect_init(&d->collect, ctx, &d->arena, &collect);
	stage_begin(&d->report.times);
}

static int let_go(struct dump *d, enum puppet_fate fate)
{
	if (!d->held)
		return 0;
	d->held = false;
	/* What is in flight is open here, too: a pipe's reader would wait for us to close it. */
	files_collect_deinit(&d->collect);
	if (fate != FATE_KILL)
		files_unhold(&d->collect);
	d->report.frozen_ns = stage_clock() - d->held_since_ns;
	return puppet_tree_release(d->ctx, &d->tree, fate);
}

/* The error that ends the dump must survive whatever letting go may meet. */
static void dump_deinit(struct dump *d)
{
	struct err err = d->ctx->err;

	(void)let_go(d, FATE_RUN); /* does what can be done; the first error is what is told */
	image_writer_free(d->image);
	collect_deinit(&d->collect);
	arena_deinit(&d->arena);
	d->ctx->err = err;
}

static int stage_seize(struct dump *d)
{
	int r;

	d->held_since_ns = stage_clock();
	r = puppet_tree_seize(d->ctx, d->opt->root, &d->tree);
	if (r < 0)
		return err_while(d->ctx, r, "stopping the tree below process %d", d->opt->root);
	d->held = true;
	return 0;
}

static int stage_collect(struct dump *d)
{
	int r = collect_tree(&d->collect, &d->tree);

	return r < 0 ? r : origin_collect(&d->collect);
}

static int refused(struct dump *d)
{
	const struct collect *c = &d->collect;

	if (c->n_refusals == 0)
		return 0;
	return refusals_error(d->ctx, c->refusals, c->n_refusals, "coppice check -t");
}

/* What dump accepts, restore can grow: the plan is made and replayed on the model now. */
static int stage_plan(struct dump *d)
{
	struct tree *tree;
	struct plan *plan;
	int r = refused(d);

	if (r < 0)
		return r;
	r = tree_from_checkpoint(d->ctx, &d->arena, d->collect.cp, &tree);
	if (r >= 0)
		r = planner_run_checked(d->ctx, &d->arena, tree, &plan);
	return r < 0 ? err_while(d->ctx, r, "planning how to grow the tree again") : 0;
}

static int stage_memory(struct dump *d)
{
	int r = memory_save(&d->collect, d->image, &d->memory);

	return r < 0 ? err_while(d->ctx, r, "writing the memory of the tree to %s", d->opt->dir)
		     : 0;
}

static int stage_settle(struct dump *d)
{
	int r = settle_tree(&d->collect);

	return r < 0 ? r : refused(d);
}

static int stage_write(struct dump *d)
{
	int r = image_writer_write(d->ctx, d->image, d->collect.cp);

	if (r >= 0)
		r = checkpoint_validate(d->ctx, d->collect.cp);
	return r < 0 ? err_while(d->ctx, r, "writing the image to %s", d->opt->dir) : 0;
}

static int stage_commit(struct dump *d)
{
	int r = cancel_point(d->ctx);

	if (r >= 0)
		r = image_writer_commit(d->ctx, d->image);
	return r < 0 ? err_while(d->ctx, r, "committing the image in %s", d->opt->dir) : 0;
}

/* From here on the tree belongs to the image: it dies whatever disarming meets. */
static int stage_end_tree(struct dump *d)
{
	int disarmed = disarm_tree(&d->collect);
	int r;

	if (disarmed >= 0)
		disarmed = files_disarm(&d->collect);
	r = let_go(d, FATE_KILL);
	if (disarmed < 0)
		log_warn(d->ctx,
			 "the image is complete, but undoing what the tree's death does to "
			 "others failed: %s",
			 d->ctx->err.frame[0]);
	return r;
}

static void fill_report(struct dump *d)
{
	d->report.n_processes = d->collect.n_processes;
	for (size_t i = 0; i < d->collect.n_processes; i++)
		d->report.n_threads += d->collect.processes[i].n_threads;
	d->report.page_bytes = d->memory.written;
}

static int run_stages(struct dump *d)
{
	const struct image_writer_options image = {.checksum_pages = d->opt->checksum_pages};
	struct stage_times *times = &d->report.times;
	int r;

	r = externals_find(d->ctx, d->opt);
	if (r < 0)
		return r;
	r = image_writer_open(d->ctx, d->opt->dir, &image, &d->image);
	if (r < 0)
		return r;
	stage_end(times, "prepare");
	r = stage_seize(d);
	if (r < 0)
		return r;
	stage_end(times, "seize");
	r = stage_collect(d);
	if (r < 0)
		return r;
	stage_end(times, "collect");
	r = stage_plan(d);
	if (r < 0)
		return r;
	stage_end(times, "plan");
	r = stage_memory(d);
	if (r < 0)
		return r;
	stage_end(times, "memory");
	r = stage_settle(d);
	if (r < 0)
		return r;
	stage_end(times, "settle");
	r = stage_write(d);
	if (r < 0)
		return r;
	stage_end(times, "write");
	/* A tree that lives on need not wait for the disk. */
	r = d->opt->fate == FATE_KILL ? 0 : let_go(d, d->opt->fate);
	if (r < 0)
		return r;
	stage_end(times, "release");
	r = stage_commit(d);
	if (r < 0)
		return r;
	stage_end(times, "sync");
	r = d->opt->fate == FATE_KILL ? stage_end_tree(d) : 0;
	stage_end(times, "end");
	fill_report(d);
	return r;
}

int dump_tree(struct context *ctx, const struct dump_options *opt, struct dump_report *ret_report)
{
	struct dump d;
	int r;

	dump_init(&d, ctx, opt);
	r = run_stages(&d);
	if (r >= 0)
		*ret_report = d.report;
	dump_deinit(&d);
	return r;
}
