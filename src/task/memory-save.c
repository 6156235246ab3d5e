/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages out. Of each address space, the pages that belong to it alone: anonymous memory, and what
 * was written to private mappings of files. The page tables say which are there; of these, those
 * that are shared copy-on-write with an ancestor are stored once (memory-cow.c), and those that are
 * zero are left out, except above a file, whose own page would show instead.
 *
 * The pages of one address space go into a page file in the order of their addresses, batch by
 * batch, either by the process itself or by the coordinator (struct page_way). Large ones have a
 * file each; small ones share one, since a thousand files cost more to make than to fill.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kernel/pagemap.h"
#include "task/memory-batch.h"
#include "task/memory-cow.h"
#include "task/memory-hazard.h"
#include "task/memory-object.h"
#include "task/memory-vma.h"
#include "task/memory-walk.h"
#include "task/memory.h"
#include "util/cleanup.h"

/*
 * From so many bytes on an address space has a page file of its own, and it is worth finding out
 * whether the process can fill it by itself.
 */
#define LARGE (UINT64_C(2) << 20)

/* The ways that a save has at hand; opened when first used. */
struct ways {
	bool try_puppet;
	void *puppet;
	void *coordinator;
};

struct save {
	struct mm_save mm;     /* what the ways see */
	struct page_out own;   /* the page file of a large address space */
	struct page_out small; /* that of all small ones */
	struct cow cow;
	struct pagemap pagemap;
	struct ways ways;
	const struct page_way *way;	/* of the batch that is being gathered */
	const struct page_way *writing; /* has begun to write the one before; NULL: it is written */
	struct page_batch batch;
};

/* ---- ways ---------------------------------------------------------------------------------- */

static void ways_close(struct save *s)
{
	if (s->ways.puppet)
		page_way_puppet.close(&s->mm, s->ways.puppet);
	if (s->ways.coordinator)
		page_way_coordinator.close(&s->mm, s->ways.coordinator);
	s->ways = (struct ways){};
	s->writing = NULL;
}

/* Private memory, present or swapped out, as smaps counted it at the collection. */
static uint64_t private_bytes(const struct collect_process *p)
{
	uint64_t kb = 0;

	for (size_t i = 0; i < p->n_maps; i++)
		kb += p->maps[i].anonymous_kb + p->maps[i].swap_kb;
	return kb * 1024;
}

static int choose_way(struct save *s, uint64_t bytes)
{
	struct context *ctx = s->mm.c->ctx;
	const char *why = NULL;
	int r;

	if (bytes < LARGE)
		return 0;
	r = memory_hazard(s->mm.c, s->mm.p, bytes, &why);
	if (r < 0)
		return r;
	s->ways.try_puppet = r == 0;
	if (r > 0) {
		s->mm.stats->hazards++;
		log_debug(ctx, "process %d does not write its own pages: %s", s->mm.p->pid, why);
	}
	return 0;
}

/* The process may be made to touch this mapping. */
static bool is_open_to_puppet(const Coppice__Vma *vma)
{
	return (vma->prot & PROT_READ) && vma->pkey == 0;
}

static void *state_of(struct save *s, const struct page_way *way)
{
	return way == &page_way_puppet ? s->ways.puppet : s->ways.coordinator;
}

/* A process whose table is full cannot be lent a descriptor: then the other way. */
static int open_puppet_way(struct save *s)
{
	struct context *ctx = s->mm.c->ctx;
	int r = page_way_puppet.open(&s->mm, &s->ways.puppet);

	if (r < 0 && s->mm.p->puppet->state != PUPPET_GONE) {
		log_debug(ctx, "process %d does not write its own pages: %s", s->mm.p->pid,
			  ctx->err.frame[0]);
		err_clear(ctx);
		s->ways.try_puppet = false;
		s->mm.stats->hazards++;
		return 0;
	}
	return r;
}

static int way_for(struct save *s, const Coppice__Vma *vma, const struct page_way **ret)
{
	int r = 0;

	if (s->ways.try_puppet && is_open_to_puppet(vma) && !s->ways.puppet)
		r = open_puppet_way(s);
	if (r < 0)
		return r;
	if (s->ways.try_puppet && is_open_to_puppet(vma)) {
		*ret = &page_way_puppet;
		return 0;
	}
	if (!s->ways.coordinator)
		r = page_way_coordinator.open(&s->mm, &s->ways.coordinator);
	*ret = &page_way_coordinator;
	return r;
}

/* ---- batches ------------------------------------------------------------------------------- */

static int add_runs(struct save *s)
{
	struct memory_stats *stats = s->mm.stats;
	struct batch_cursor cursor = {};
	struct batch_run run;
	int r = 0;

	while (r == 0 && batch_next(&s->batch, &cursor, &run)) {
		Coppice__PageRun zero = COPPICE__PAGE_RUN__INIT;
		uint64_t bytes = (uint64_t)run.pages * s->batch.page_size;

		switch (run.state) {
		case PAGE_STATE_DATA:
			r = page_out_run(s->mm.c->ctx, s->mm.out, &s->mm.runs, run.start,
					 run.pages);
			stats->written += bytes;
			stats->by_puppet += s->way == &page_way_puppet ? bytes : 0;
			break;
		case PAGE_STATE_ZERO:
			stats->zero += bytes;
			if (!vma_has_inode(run.range->vma))
				break;
			zero.address = run.start;
			zero.pages = run.pages;
			zero.kind = COPPICE__PAGE_KIND__PAGE_KIND_ZERO;
			r = page_runs_add(s->mm.c->ctx, &s->mm.runs, s->batch.page_size, &zero);
			break;
		default:
			r = cow_add_runs(&s->cow, &run);
			break;
		}
	}
	return r;
}

/* Before anything else is asked of that way, or written to the file. */
static int finish_writing(struct save *s)
{
	const struct page_way *way = s->writing;

	s->writing = NULL;
	return way && way->finish ? way->finish(&s->mm, state_of(s, way)) : 0;
}

/* On return the batch may be on its way still, while the next one is gathered. */
static int flush_batch(struct save *s)
{
	void *state = state_of(s, s->way);
	int r;

	if (s->batch.n_pages == 0)
		return 0;
	r = cancel_point(s->mm.c->ctx);
	if (r == 0)
		r = cow_judge(&s->cow, &s->batch);
	if (r == 0)
		r = finish_writing(s);
	if (r == 0)
		r = s->way->find_zero(&s->mm, state, &s->batch);
	if (r == 0)
		r = s->way->write(&s->mm, state, &s->batch);
	if (r < 0)
		return r;
	s->writing = s->way;
	r = add_runs(s);
	batch_reset(&s->batch);
	return r;
}

static int add_range(struct save *s, const Coppice__Vma *vma, const struct page_range *range)
{
	uint32_t size = s->batch.page_size;
	uint64_t at = range->start;

	while (at < range->end) {
		uint32_t n = batch_add(&s->batch, vma, at, (range->end - at) / size,
				       (range->categories & PAGE_SWAPPED) != 0);

		at += (uint64_t)n * size;
		if (at < range->end) {
			int r = flush_batch(s);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* @range lies in @vma. */
static int save_range(struct save *s, const Coppice__Vma *vma, const struct page_range *range)
{
	const struct page_way *way;
	int r = way_for(s, vma, &way);

	if (r == 0 && way != s->way) {
		r = flush_batch(s);
		s->way = way;
		s->batch.max_pages = way->batch_pages;
	}
	return r < 0 ? r : add_range(s, vma, range);
}

/* ---- one address space --------------------------------------------------------------------- */

static struct save *save_new(void)
{
	struct save *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->own.fd = -EBADF;
	s->pagemap.fd = -EBADF;
	s->small.fd = -EBADF;
	cow_init(&s->cow);
	return s;
}

/* After one address space. */
static void save_end(struct save *s)
{
	ways_close(s);
	pagemap_close(&s->pagemap);
	page_out_deinit(&s->own);
	batch_reset(&s->batch);
}

static void save_freep(struct save **s)
{
	if (!*s)
		return;
	save_end(*s);
	page_out_deinit(&(*s)->small);
	cow_deinit(&(*s)->cow);
	free(*s);
}

static int save_begin(struct save *s)
{
	struct context *ctx = s->mm.c->ctx;
	uint64_t bytes = private_bytes(s->mm.p);
	int r = pagemap_open(s->mm.p->proc_fd, &s->pagemap);

	if (r < 0)
		return err_sys(ctx, r, "open(/proc/%d/pagemap)", s->mm.p->pid);
	s->mm.out = bytes < LARGE ? &s->small : &s->own;
	if (s->mm.out->fd < 0)
		r = page_out_open(ctx, s->mm.image, s->mm.out);
	if (r < 0)
		return r;
	s->batch.page_size = s->mm.out->page_size;
	s->way = &page_way_coordinator;
	s->batch.max_pages = s->way->batch_pages;
	r = cow_begin(&s->cow, &s->mm);
	return r < 0 ? r : choose_way(s, bytes);
}

static int save_pages(struct save *s)
{
	const Coppice__Vma *vma;
	struct page_range range;
	struct vma_walk walk;
	int r;

	vma_walk_init(&walk, &s->pagemap, s->mm.mm);
	while ((r = vma_walk_next(&walk, &vma, &range)) > 0) {
		r = save_range(s, vma, &range);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return err_sys(s->mm.c->ctx, r, "scanning the page tables");
	r = flush_batch(s);
	return r < 0 ? r : finish_writing(s);
}

static int save_mm(struct save *s)
{
	struct collect_process *p = s->mm.p;
	int r = save_begin(s);

	if (r == 0)
		r = save_pages(s);
	if (r < 0)
		return r;
	s->mm.mm->pages = s->mm.runs.list;
	s->mm.mm->n_pages = s->mm.runs.n;
	if (s->cow.shared)
		p->msg->cow_parent = s->cow.ancestors[0].p->msg->id;
	return s->own.fd >= 0 ? page_out_close(s->mm.c->ctx, s->mm.image, &s->own) : 0;
}

/* ---- all of them --------------------------------------------------------------------------- */

static int save_all(struct save *s, struct collect *c, struct image_writer *image,
		    struct memory_stats *stats)
{
	for (size_t i = 0; i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];
		int r;

		if (p->zombie || p->mm_owner != p)
			continue;
		s->mm = (struct mm_save){
			.c = c,
			.image = image,
			.stats = stats,
			.p = p,
			.mm = c->cp->mms[p->msg->mm - 1],
			.pagemap = &s->pagemap,
			.runs.arena = c->arena,
		};
		r = save_mm(s);
		save_end(s);
		if (r < 0)
			return err_while(c->ctx, r, "saving the memory of process %d (%s)", p->pid,
					 p->stat.comm);
		progress(c->ctx, "memory out", i + 1, c->n_processes);
	}
	return s->small.fd >= 0 ? page_out_close(c->ctx, image, &s->small) : 0;
}

int memory_save(struct collect *c, struct image_writer *image, struct memory_stats *ret_stats)
{
	_cleanup_(save_freep) struct save *s = save_new();
	struct memory_stats stats = {};
	int r;

	if (!s)
		return err_oom(c->ctx);
	r = save_all(s, c, image, &stats);
	if (r == 0)
		r = memory_save_inodes(c, image, &stats);
	if (r < 0)
		return r;
	*ret_stats = stats;
	return 0;
}
