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
	struct mm_save mm;   /* what the ways see */
	struct page_out own; /* the page file of a large address space */
	struct cow cow;
	struct pagemap pagemap;
	struct ways ways;
	const struct page_way *way; /* of the batch under way */
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
		r = s->way->find_zero(&s->mm, state, &s->batch);
	if (r == 0)
		r = s->way->write(&s->mm, state, &s->batch);
	if (r == 0)
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
	int r;

	if (!page_range_is_content(vma, range->categories))
		return 0;
	r = way_for(s, vma, &way);
	if (r == 0 && way != s->way) {
		r = flush_batch(s);
		s->way = way;
		s->batch.max_pages = way->batch_pages;
	}
	return r < 0 ? r : add_range(s, vma, range);
}

/*
 * @n mappings with private pages, and none without in between: one walk over all of them, since most
 * processes have many mappings with few pages.
 */
static int save_vmas(struct save *s, Coppice__Vma *const *vmas, size_t n)
{
	struct pagemap_walk walk;
	struct page_range found;
	size_t i = 0;
	int r;

	pagemap_walk_init(&walk, &s->pagemap, vmas[0]->start, vmas[n - 1]->end);
	while ((r = pagemap_walk_next(&walk, &found)) > 0) {
		while (i < n && vmas[i]->end <= found.start)
			i++;
		/* What is in none of them is the puppet layer's own. */
		for (size_t k = i; r >= 0 && k < n && vmas[k]->start < found.end; k++) {
			const struct page_range part = {
				.start = MAX(found.start, vmas[k]->start),
				.end = MIN(found.end, vmas[k]->end),
				.categories = found.categories,
			};

			r = save_range(s, vmas[k], &part);
		}
		if (r < 0)
			return r;
	}
	return r < 0 ? err_sys(s->mm.c->ctx, r, "scanning the page tables") : 0;
}

/* ---- one address space --------------------------------------------------------------------- */

static void save_free(struct save *s)
{
	ways_close(s);
	cow_deinit(&s->cow);
	pagemap_close(&s->pagemap);
	page_out_deinit(&s->own);
	free(s);
}

static void save_freep(struct save **s)
{
	if (*s)
		save_free(*s);
}

static int save_open(struct save *s, struct page_out *small)
{
	struct context *ctx = s->mm.c->ctx;
	uint64_t bytes = private_bytes(s->mm.p);
	int r = pagemap_open(s->mm.p->proc_fd, &s->pagemap);

	if (r < 0)
		return err_sys(ctx, r, "open(/proc/%d/pagemap)", s->mm.p->pid);
	s->mm.out = bytes < LARGE ? small : &s->own;
	if (s->mm.out->fd < 0)
		r = page_out_open(ctx, s->mm.image, s->mm.out);
	if (r < 0)
		return r;
	s->batch.page_size = s->mm.out->page_size;
	s->way = &page_way_coordinator;
	s->batch.max_pages = s->way->batch_pages;
	r = cow_init(&s->cow, &s->mm);
	return r < 0 ? r : choose_way(s, bytes);
}

static int save_pages(struct save *s)
{
	const Coppice__Mm *mm = s->mm.mm;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < mm->n_vmas; i += n + 1) {
		for (n = 0; i + n < mm->n_vmas && vma_has_private_pages(mm->vmas[i + n]); n++)
			;
		if (n > 0)
			r = save_vmas(s, &mm->vmas[i], n);
	}
	return r < 0 ? r : flush_batch(s);
}

static int save_mm(struct collect *c, struct image_writer *image, struct page_out *small,
		   struct collect_process *p, struct memory_stats *stats)
{
	_cleanup_(save_freep) struct save *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_oom(c->ctx);
	s->mm = (struct mm_save){.c = c, .image = image, .stats = stats, .p = p};
	s->mm.mm = c->cp->mms[p->msg->mm - 1];
	s->mm.runs.arena = c->arena;
	s->mm.pagemap = &s->pagemap;
	s->own.fd = -EBADF;
	s->cow.mem = -EBADF;
	s->pagemap.fd = -EBADF;
	r = save_open(s, small);
	if (r == 0)
		r = save_pages(s);
	if (r < 0)
		return r;
	s->mm.mm->pages = s->mm.runs.list;
	s->mm.mm->n_pages = s->mm.runs.n;
	if (s->cow.shared)
		p->msg->cow_parent = s->cow.ancestors[0].p->msg->id;
	return s->own.fd >= 0 ? page_out_close(c->ctx, image, &s->own) : 0;
}

int memory_save(struct collect *c, struct image_writer *image, struct memory_stats *ret_stats)
{
	_cleanup_page_out_ struct page_out small = {.fd = -EBADF};
	struct memory_stats stats = {};
	int r;

	for (size_t i = 0; i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];

		if (p->zombie || p->mm_owner != p)
			continue;
		r = save_mm(c, image, &small, p, &stats);
		if (r < 0)
			return err_while(c->ctx, r, "saving the memory of process %d (%s)", p->pid,
					 p->stat.comm);
		progress(c->ctx, "memory out", i + 1, c->n_processes);
	}
	if (small.fd >= 0) {
		r = page_out_close(c->ctx, image, &small);
		if (r < 0)
			return r;
	}
	r = memory_save_inodes(c, image, &stats);
	if (r < 0)
		return r;
	*ret_stats = stats;
	return 0;
}
