/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of pages on their way out: ranges of one address space, in ascending order, and what is
 * known of each page. Filled by memory-save.c, judged by memory-cow.c and the two ways of writing,
 * then written in the order of addresses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/pages.h"
#include "kind/collect.h"

struct pagemap;

enum page_state {
	PAGE_STATE_DATA,     /* to be written */
	PAGE_STATE_ZERO,     /* nothing but zero bytes */
	PAGE_STATE_ANCESTOR, /* plus k: the same physical page as the k-th ancestor has there */
};

enum {
	BATCH_RANGES = 4096,
	BATCH_PAGES = 16384, /* 64 MiB of 4 KiB pages */
};

struct batch_range {
	const Coppice__Vma *vma;
	uint64_t start;
	uint32_t pages;
	uint32_t first; /* index of its first page in state[] */
	bool swapped;
};

struct page_batch {
	uint32_t page_size;
	uint32_t max_pages; /* at most BATCH_PAGES */
	struct batch_range ranges[BATCH_RANGES];
	size_t n_ranges;
	uint8_t state[BATCH_PAGES]; /* enum page_state */
	uint32_t n_pages;
	bool has_entries;
	uint64_t entry[BATCH_PAGES]; /* of the process's own pagemap, if has_entries */
};

/* Takes as many of @pages as there is room for; returns how many. */
uint32_t batch_add(struct page_batch *batch, const Coppice__Vma *vma, uint64_t start,
		   uint64_t pages, bool swapped);
void batch_reset(struct page_batch *batch);

/*
 * The entries of the batch's pages in any process's pagemap, each at the place of its state[]. What
 * lies close together is read at once. 0 or -errno.
 */
int batch_read_entries(const struct page_batch *batch, const struct pagemap *pagemap,
		       uint64_t *ret_entries);

/* Pages of one range that follow each other and are in the same state. */
struct batch_run {
	const struct batch_range *range;
	uint64_t start;
	uint32_t pages;
	uint32_t first;	    /* index in state[] */
	unsigned int state; /* enum page_state */
};

/* Walks the runs in the order of addresses. Start with a zeroed cursor. */
struct batch_cursor {
	size_t range;
	uint32_t page; /* in the range */
};
bool batch_next(const struct page_batch *batch, struct batch_cursor *cursor,
		struct batch_run *ret_run);

/* Are pages of these categories (enum page_category) a private mapping's own content? */
bool page_range_is_content(const Coppice__Vma *vma, uint32_t categories);
/* @size is a multiple of 64, @page aligned for words. */
bool page_is_zero(const void *page, size_t size);

/* ---- what is being saved ---------------------------------------------------------------- */

struct image_writer;
struct memory_stats;

/* One address space under way. */
struct mm_save {
	struct collect *c;
	struct image_writer *image;
	struct memory_stats *stats;
	struct collect_process *p;
	Coppice__Mm *mm;
	struct pagemap *pagemap; /* borrowed */
	struct page_out *out;	 /* borrowed */
	struct page_runs runs;
};

/*
 * A way of getting the bytes out. find_zero() turns DATA into ZERO where a page is zero; write()
 * brings the pages that are DATA still, in order, to the end of the page file, or begins to: then that
 * is done when finish() returns, and nothing else may be asked of the way before.
 */
struct page_way {
	uint32_t batch_pages;
	int (*open)(struct mm_save *s, void **ret_state);
	int (*find_zero)(struct mm_save *s, void *state, struct page_batch *batch);
	int (*write)(struct mm_save *s, void *state, const struct page_batch *batch);
	int (*finish)(struct mm_save *s, void *state); /* NULL: write() does it all */
	void (*close)(struct mm_save *s, void *state);
};

extern const struct page_way page_way_puppet;	   /* memory-by-puppet.c */
extern const struct page_way page_way_coordinator; /* memory-by-coordinator.c */
