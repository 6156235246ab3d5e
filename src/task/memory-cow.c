/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-write sharing: after fork() parent and child have the same physical pages at the same
 * addresses, until one of them writes. Such a page is stored once, and shared again after the
 * restore, where the child's stub is forked by the filled stub of its parent.
 *
 * /proc/PID/pagemap tells page frame numbers to those with CAP_SYS_ADMIN: the same frame at the
 * same address is the same page. All tasks are stopped; the kernel may still migrate a page between
 * two reads, hence the ancestor's entries are read before and after the process's own. To others
 * frames read as 0; then content decides: two pages of which each is mapped more than once and
 * which are equal, byte for byte, at the same address. Whoever else may have them, sharing them
 * changes nothing that a program can see.
 *
 * Only the nearest ancestor (Process.cow_parent) can be shared with again; what comes from a
 * further one is stored once but restored as a copy. Pages shared by siblings alone, because the
 * parent has changed its own since, are stored for each.
 */
#include "task/memory-cow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/pagemap.h"
#include "task/memory-vma.h"
#include "task/memory.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

enum { CHUNK = 512 };

static int open_pagemap(struct context *ctx, const struct collect_process *p, struct pagemap **ret)
{
	struct pagemap *pagemap = malloc(sizeof(*pagemap));
	int r;

	if (!pagemap)
		return err_oom(ctx);
	r = pagemap_open(p->proc_fd, pagemap);
	if (r < 0) {
		free(pagemap);
		return err_sys(ctx, r, "open(/proc/%d/pagemap)", p->pid);
	}
	*ret = pagemap;
	return 0;
}

static void close_pagemap(struct pagemap *pagemap)
{
	if (!pagemap)
		return;
	pagemap_close(pagemap);
	free(pagemap);
}

void cow_deinit(struct cow *cow)
{
	for (size_t i = 0; i < cow->n; i++) {
		close_pagemap(cow->ancestors[i].pagemap);
		close_guard(&cow->ancestors[i].mem);
	}
	close_pagemap(cow->own);
	close_guard(&cow->mem);
}

static int add_ancestor(struct cow *cow, const struct collect_process *up)
{
	struct collect *c = cow->save->c;
	struct cow_ancestor *a = &cow->ancestors[cow->n];
	int r = open_pagemap(c->ctx, up, &a->pagemap);

	if (r < 0)
		return r;
	a->p = up;
	a->mem = -EBADF;
	a->mm = c->cp->mms[up->msg->mm - 1];
	cow->n++;
	return 0;
}

int cow_init(struct cow *cow, struct mm_save *save)
{
	const struct collect_process *up = save->p->parent;
	int r;

	*cow = (struct cow){.save = save, .mem = -EBADF};
	for (; up && cow->n < COW_ANCESTORS; up = up->parent) {
		const Coppice__Mm *last = cow->n > 0 ? cow->ancestors[cow->n - 1].mm : save->mm;

		if (up->zombie || save->c->cp->mms[up->msg->mm - 1] == last)
			continue;
		r = add_ancestor(cow, up);
		if (r < 0)
			return r;
	}
	return cow->n > 0 ? open_pagemap(save->c->ctx, save->p, &cow->own) : 0;
}

/* ---- are two pages one? -------------------------------------------------------------------- */

static bool may_be_shared(uint64_t entry)
{
	return (pagemap_entry_categories(entry) & (PAGE_PRESENT | PAGE_FILE)) == PAGE_PRESENT &&
	       !pagemap_entry_exclusive(entry);
}

/* By /proc/PID/mem: process_vm_readv() would end the sharing (memory-by-coordinator.c). */
static bool read_page(const struct collect_process *p, int *mem, uint64_t address,
		      unsigned char *to, size_t size)
{
	if (*mem < 0)
		*mem = openat(p->proc_fd, "mem", O_RDONLY | O_CLOEXEC);
	return *mem >= 0 && io_pread_exact(*mem, to, size, (off_t)address) == 0;
}

static bool equal_content(struct cow *cow, struct cow_ancestor *a, uint64_t address)
{
	enum { PAGE_MAX = 64 * 1024 };
	unsigned char bytes[2][PAGE_MAX];
	size_t size = cow->own->page_size;

	return read_page(cow->save->p, &cow->mem, address, bytes[0], size) &&
	       read_page(a->p, &a->mem, address, bytes[1], size) &&
	       memcmp(bytes[0], bytes[1], size) == 0;
}

/* The entries of one chunk of pages in both processes. */
struct entries {
	uint64_t own[CHUNK];
	uint64_t before[CHUNK];
	uint64_t after[CHUNK];
};

static bool is_one_page(struct cow *cow, struct cow_ancestor *a, uint64_t address,
			const struct entries *e, size_t i)
{
	if (!may_be_shared(e->own[i]) || !may_be_shared(e->before[i]))
		return false;
	if (pagemap_entry_pfn(e->own[i]) == 0)
		return equal_content(cow, a, address);
	return pagemap_entry_pfn(e->own[i]) == pagemap_entry_pfn(e->before[i]) &&
	       pagemap_entry_pfn(e->own[i]) == pagemap_entry_pfn(e->after[i]);
}

static bool any_shared(const uint64_t *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (may_be_shared(entries[i]))
			return true;
	return false;
}

/* Own entries between two looks at the ancestor's. */
static int read_entries(struct cow *cow, const struct cow_ancestor *a, uint64_t start, size_t n,
			struct entries *ret)
{
	int r = pagemap_read(a->pagemap, start, n, ret->before);

	if (r == 0)
		r = pagemap_read(cow->own, start, n, ret->own);
	if (r == 0 && any_shared(ret->own, n) && any_shared(ret->before, n))
		r = pagemap_read(a->pagemap, start, n, ret->after);
	return r < 0 ? err_sys(cow->save->c->ctx, r, "reading /proc/PID/pagemap of %d and %d",
			       cow->save->p->pid, a->p->pid)
		     : 0;
}

static int judge_chunk(struct cow *cow, struct page_batch *batch, uint64_t start, uint32_t first,
		       size_t n)
{
	struct entries e;

	for (size_t k = 0; k < cow->n; k++) {
		int r = read_entries(cow, &cow->ancestors[k], start, n, &e);

		if (r < 0)
			return r;
		if (!any_shared(e.own, n))
			return 0;
		for (size_t i = 0; i < n; i++) {
			uint64_t address = start + i * batch->page_size;
			uint8_t *state = &batch->state[first + i];

			if (*state == PAGE_STATE_DATA &&
			    is_one_page(cow, &cow->ancestors[k], address, &e, i))
				*state = (uint8_t)(PAGE_STATE_ANCESTOR + k);
		}
	}
	return 0;
}

int cow_judge(struct cow *cow, struct page_batch *batch)
{
	for (size_t i = 0; cow->n > 0 && i < batch->n_ranges; i++) {
		const struct batch_range *range = &batch->ranges[i];

		/* The huge pages of one mapping are never kept by a fork's heir (memory-diff.c). */
		if (range->vma->hugetlb_shift != 0)
			continue;
		for (uint32_t at = 0; at < range->pages; at += CHUNK) {
			size_t n = MIN(range->pages - at, (uint32_t)CHUNK);
			int r = judge_chunk(cow, batch,
					    range->start + (uint64_t)at * batch->page_size,
					    range->first + at, n);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* ---- where they are stored ----------------------------------------------------------------- */

static int add_run(struct cow *cow, const struct page_piece *piece, bool shared)
{
	struct mm_save *s = cow->save;
	Coppice__PageRun run = COPPICE__PAGE_RUN__INIT;

	run.address = piece->address;
	run.pages = piece->len / s->out->page_size;
	run.kind = piece->kind;
	run.file = piece->file;
	run.offset = piece->offset;
	run.shared = shared;
	s->stats->shared += piece->len;
	cow->shared |= shared;
	return page_runs_add(s->c->ctx, &s->runs, s->out->page_size, &run);
}

/* What the ancestor has in no run is zero there; that is content only above a file. */
static int add_gap(struct cow *cow, const struct batch_run *run, uint64_t start, uint64_t end,
		   bool shared)
{
	const struct page_piece piece = {
		.address = start,
		.len = end - start,
		.kind = COPPICE__PAGE_KIND__PAGE_KIND_ZERO,
	};

	if (start >= end || !vma_has_inode(run->range->vma))
		return 0;
	return add_run(cow, &piece, shared);
}

int cow_add_runs(struct cow *cow, const struct batch_run *run)
{
	const struct cow_ancestor *a = &cow->ancestors[run->state - PAGE_STATE_ANCESTOR];
	uint32_t page_size = cow->save->out->page_size;
	uint64_t end = run->start + (uint64_t)run->pages * page_size;
	bool shared = run->state == PAGE_STATE_ANCESTOR;
	uint64_t at = run->start;
	struct page_cursor cursor;
	struct page_piece piece;
	int r;

	page_cursor_init(&cursor, a->mm->pages, a->mm->n_pages, page_size, at, end);
	while (page_cursor_next(&cursor, &piece)) {
		r = add_gap(cow, run, at, piece.address, shared);
		if (r == 0)
			r = add_run(cow, &piece, shared);
		if (r < 0)
			return r;
		at = piece.address + piece.len;
	}
	return add_gap(cow, run, at, end, shared);
}
