/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restore, stage by stage. Every process made here carries PTRACE_O_EXITKILL until the last
 * stage, so whatever ends this one, no half-built process survives it; what is made on disk has
 * no name from the start. The tree is let go as a whole, after verification: the commit point.
 */
#include "checkpoint/restore.h"

#include <errno.h>

#include "checkpoint/become.h"
#include "checkpoint/dress.h"
#include "checkpoint/grow.h"
#include "checkpoint/rebuild.h"
#include "checkpoint/verify.h"
#include "file/external.h"
#include "file/fdtable.h"
#include "file/inode.h"
#include "file/ptys.h"
#include "image/reader.h"
#include "ns/user-read.h"
#include "task/cgroup.h"
#include "task/memory-owned.h"
#include "task/memory.h"
#include "tree/planner.h"
#include "util/cleanup.h"

struct restore {
	struct context *ctx;
	const struct restore_options *opt;
	struct restore_report report;
	struct arena arena;
	struct image_reader *images; /* borrowed */
	Coppice__Checkpoint *cp;     /* borrowed */
	struct rebuild rebuild;
	struct plan *plan;
	struct grown *grown; /* the processes, until they are let go */
	struct verify *verify;
};

static void restore_deinit(struct restore *s)
{
	struct err err = s->ctx->err;

	grown_free(s->grown); /* kills what was not let go */
	verify_free(s->verify);
	rebuild_deinit(&s->rebuild);
	arena_deinit(&s->arena);
	s->ctx->err = err;
}

static int stage_check(struct restore *s)
{
	struct rebuild *rb = &s->rebuild;
	int r = external_replace(s->ctx, &s->arena, s->cp, &s->opt->rebuild);

	if (r >= 0)
		r = rebuild_init(rb, s->ctx, &s->arena, s->cp, &s->opt->rebuild);
	if (r < 0)
		return r;
	rb->images = s->images;
	r = rebuild_check(rb);
	if (r < 0)
		return r;
	return rb->n_refusals > 0
		       ? refusals_error(s->ctx, rb->refusals, rb->n_refusals, "coppice check -D")
		       : 0;
}

static int stage_plan(struct restore *s)
{
	struct tree *tree;
	int r = tree_from_checkpoint(s->ctx, &s->arena, s->cp, &tree);

	if (r >= 0)
		r = planner_run_checked(s->ctx, &s->arena, tree, &s->plan);
	return r < 0 ? err_while(s->ctx, r, "planning how to grow the tree") : 0;
}

static int stage_grow(struct restore *s)
{
	int r = rebuild_inodes_create(&s->rebuild);

	if (r >= 0)
		r = ptys_create(&s->rebuild);
	if (r >= 0)
		r = grow(&s->rebuild, s->plan, &s->grown);
	if (r >= 0)
		r = cgroup_join(&s->rebuild); /* what fills memory from now on pays for it */
	return r < 0 ? err_while(s->ctx, r, "growing the tree") : 0;
}

static int stage_furnish(struct restore *s)
{
	struct rebuild *rb = &s->rebuild;
	int r = rebuild_files_create(rb);

	for (size_t i = 0; r >= 0 && i < rb->n_processes; i++)
		if (rb->processes[i].owns_files)
			r = rebuild_files_install(rb, &rb->processes[i]);
	return r;
}

static int stage_fill(struct restore *s)
{
	int r = memory_load_inodes(&s->rebuild);

	if (r >= 0)
		r = memory_fill(&s->rebuild);
	if (r >= 0)
		r = memory_map_owned(&s->rebuild);
	if (r >= 0)
		r = rebuild_inodes_finish(&s->rebuild);
	return r < 0 ? err_while(s->ctx, r, "filling the memory of the tree") : 0;
}

static int stage_dress(struct restore *s)
{
	int r = dress_install(&s->rebuild);

	if (r >= 0)
		r = rebuild_files_last(&s->rebuild);
	if (r >= 0)
		r = memory_name_executables(&s->rebuild);
	if (r >= 0)
		r = rebuild_files_lock(&s->rebuild);
	if (r >= 0)
		r = dress_last(&s->rebuild);
	for (size_t i = 0; r >= 0 && i < s->rebuild.n_user_ns; i++)
		r = user_ns_limit(s->ctx, s->cp->user_namespaces[i], s->rebuild.user_ns[i]);
	return r;
}

static int stage_verify(struct restore *s)
{
	int r = s->opt->verify ? verify_collect(&s->rebuild, &s->verify) : 0;

	return r >= 0 && s->verify ? verify_compare(s->verify) : r;
}

/* Every task gets its own registers; then the last look, then nothing can be called back. */
static int stage_resume(struct restore *s)
{
	int r = dress_resume(&s->rebuild);

	if (r >= 0)
		r = rebuild_files_resume(&s->rebuild);
	if (r >= 0)
		r = become_all(&s->rebuild);
	if (r >= 0 && s->verify)
		r = verify_compare_registers(s->verify);
	if (r >= 0)
		r = cancel_point(s->ctx);
	if (r >= 0)
		r = rebuild_files_forget_held(&s->rebuild);
	if (r >= 0)
		r = grown_let_go(s->grown, s->opt->leave_stopped);
	if (r >= 0)
		rebuild_files_unhold(&s->rebuild, true);
	return r;
}

static const struct {
	const char *name;
	int (*run)(struct restore *s);
} stages[] = {
	{"check", stage_check},	  {"plan", stage_plan},	    {"grow", stage_grow},
	{"files", stage_furnish}, {"memory", stage_fill},   {"dress", stage_dress},
	{"verify", stage_verify}, {"resume", stage_resume},
};

static int run_stages(struct restore *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		int r = cancel_point(s->ctx);

		if (r >= 0)
			r = stages[i].run(s);
		if (r < 0)
			return r;
		stage_end(&s->report.times, stages[i].name);
	}
	return 0;
}

static void fill_report(struct restore *s)
{
	const struct rebuild *rb = &s->rebuild;

	s->report.root = rb->processes[0].pid;
	s->report.n_processes = rb->n_processes;
	for (size_t i = 0; i < rb->n_processes; i++)
		s->report.n_threads += rb->processes[i].n_threads;
}

int restore_checkpoint(struct context *ctx, const struct restore_options *opt,
		       struct image_reader *images, Coppice__Checkpoint *cp,
		       struct restore_report *report)
{
	struct restore s = {.ctx = ctx, .opt = opt, .images = images, .cp = cp, .report = *report};
	int r;

	arena_init(&s.arena, ctx);
	r = run_stages(&s);
	if (r >= 0) {
		fill_report(&s);
		*report = s.report;
	}
	restore_deinit(&s);
	return r;
}

static int load(struct context *ctx, const struct restore_options *opt, struct arena *arena,
		struct image_reader **ret_images, Coppice__Checkpoint **ret_cp)
{
	int r = image_reader_open(ctx, opt->dir, IMAGE_RESTORE, ret_images);

	if (r >= 0 && opt->rebuild.check_pages)
		r = image_reader_check_pages(ctx, *ret_images);
	if (r >= 0)
		r = image_reader_load(ctx, *ret_images, arena, ret_cp);
	return r < 0 ? err_while(ctx, r, "loading the image") : 0;
}

int restore_tree(struct context *ctx, const struct restore_options *opt,
		 struct restore_report *ret_report)
{
	_cleanup_image_reader_ struct image_reader *images = NULL;
	struct restore_report report = {0};
	Coppice__Checkpoint *cp;
	struct arena arena;
	int r;

	arena_init(&arena, ctx);
	stage_begin(&report.times);
	r = load(ctx, opt, &arena, &images, &cp);
	if (r >= 0) {
		stage_end(&report.times, "load");
		r = restore_checkpoint(ctx, opt, images, cp, &report);
	}
	if (r >= 0)
		*ret_report = report;
	arena_deinit(&arena);
	return r;
}
