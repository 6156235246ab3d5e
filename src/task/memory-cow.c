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

#include "task/memory-vma.h"
#include "task/memory.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

static void ancestor_close(struct cow_ancestor *a)
{
	pagemap_close(&a->pagemap);
	close_guard(&a->mem);
	a->mem = -EBADF;
	a->p = NULL;
}

void cow_init(struct cow *cow)
{
	cow->mem = -EBADF;
	for (size_t i = 0; i < COW_ANCESTORS; i++)
		cow->ancestors[i] = (struct cow_ancestor){.pagemap.fd = -EBADF, .mem = -EBADF};
}

void cow_deinit(struct cow *cow)
{
	for (size_t i = 0; i < COW_ANCESTORS; i++)
		ancestor_close(&cow->ancestors[i]);
	close_guard(&cow->mem);
}

static int add_ancestor(struct cow *cow, const struct collect_process *up)
{
	struct collect *c = cow->save->c;
	struct cow_ancestor *a = &cow->ancestors[cow->n];
	int r;

	if (a->p != up) {
		ancestor_close(a);
		r = pagemap_open(up->proc_fd, &a->pagemap);
		if (r < 0)
			return err_sys(c->ctx, r, "open(/proc/%d/pagemap)", up->pid);
		a->p = up;
		a->mm = c->cp->mms[up->msg->mm - 1];
	}
	cow->n++;
	return 0;
}

int cow_begin(struct cow *cow, struct mm_save *save)
{
	const struct collect_process *up = save->p->parent;
	int r;

	cow->save = save;
	cow->n = 0;
	cow->shared = false;
	close_guard(&cow->mem);
	cow->mem = -EBADF;
	for (; up && cow->n < COW_ANCESTORS; up = up->parent) {
		const Coppice__Mm *last = cow->n > 0 ? cow->ancestors[cow->n - 1].mm : save->mm;

		if (up->zombie || save->c->cp->mms[up->msg->mm - 1] == last)
			continue;
		r = add_ancestor(cow, up);
		if (r < 0)
			return r;
	}
	return 0;
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
	size_t size = cow->save->pagemap->page_size;

	return read_page(cow->save->p, &cow->mem, address, bytes[0], size) &&
	       read_page(a->p, &a->mem, address, bytes[1], size) &&
	       memcmp(bytes[0], bytes[1], size) == 0;
}

/* Of the page @i of the batch, at @address. */
static bool is_one_page(struct cow *cow, struct cow_ancestor *a, const struct page_batch *batch,
			uint32_t i, uint64_t address)
{
	uint64_t own = batch->entry[i];

	if (!may_be_shared(own) || !may_be_shared(cow->before[i]))
		return false;
	if (pagemap_entry_pfn(own) == 0)
		return equal_content(cow, a, address);
	return pagemap_entry_pfn(own) == pagemap_entry_pfn(cow->before[i]) &&
	       pagemap_entry_pfn(own) == pagemap_entry_pfn(cow->after[i]);
}

static bool any_shared(const uint64_t *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (may_be_shared(entries[i]))
			return true;
	return false;
}

/* Own entries between two looks at the ancestor's. */
static int read_entries(struct cow *cow, const struct cow_ancestor *a, struct page_batch *batch)
{
	int r = batch_read_entries(batch, &a->pagemap, cow->before);

	if (r == 0)
		r = batch_read_entries(batch, cow->save->pagemap, batch->entry);
	batch->has_entries = r == 0;
	if (r == 0 && any_shared(batch->entry, batch->n_pages) &&
	    any_shared(cow->before, batch->n_pages))
		r = batch_read_entries(batch, &a->pagemap, cow->after);
	return r < 0 ? err_sys(cow->save->c->ctx, r, "reading /proc/PID/pagemap of %d and %d",
			       cow->save->p->pid, a->p->pid)
		     : 0;
}

static void judge_range(struct cow *cow, size_t k, struct page_batch *batch,
			const struct batch_range *range)
{
	for (uint32_t i = 0; i < range->pages; i++) {
		uint64_t address = range->start + (uint64_t)i * batch->page_size;
		uint8_t *state = &batch->state[range->first + i];

		if (*state == PAGE_STATE_DATA &&
		    is_one_page(cow, &cow->ancestors[k], batch, range->first + i, address))
			*state = (uint8_t)(PAGE_STATE_ANCESTOR + k);
	}
}

int cow_judge(struct cow *cow, struct page_batch *batch)
{
	for (size_t k = 0; k < cow->n; k++) {
		int r = read_entries(cow, &cow->ancestors[k], batch);

		if (r < 0)
			return r;
		if (!any_shared(batch->entry, batch->n_pages))
			return 0;
		/* The huge pages of one mapping are never kept by a fork's heir (memory-diff.c). */
		for (size_t i = 0; i < batch->n_ranges; i++)
			if (batch->ranges[i].vma->hugetlb_shift == 0)
				judge_range(cow, k, batch, &batch->ranges[i]);
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
