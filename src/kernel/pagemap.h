/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of an address space are there, and as what: one interface over the PAGEMAP_SCAN ioctl
 * (fast, also for huge empty ranges) and the entries of /proc/PID/pagemap.
 *
 *	struct pagemap_walk walk;
 *	pagemap_walk_init(&walk, &pagemap, vma->start, vma->end);
 *	while ((r = pagemap_walk_next(&walk, &range)) > 0)
 *		... range.start, range.end, range.categories ...
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/uapi.h"

enum page_category {
	PAGE_PRESENT = 1 << 0,
	PAGE_SWAPPED = 1 << 1,
	PAGE_FILE = 1 << 2,  /* of a file or of shared memory; otherwise private to the process */
	PAGE_ZERO = 1 << 3,  /* the shared zero page. Not told without PAGEMAP_SCAN */
	PAGE_GUARD = 1 << 4, /* MADV_GUARD_INSTALL; never together with SWAPPED */
};

/*
 * A run of pages with the same, non-empty set of categories: a maximal one, but for runs of more than
 * PAGEMAP_RUN pages, which come in pieces, as the scan finds them.
 */
struct page_range {
	uint64_t start;
	uint64_t end;
	uint32_t categories; /* of enum page_category */
};

struct pagemap {
	int fd;		    /* /proc/PID/pagemap; owned */
	uint32_t page_size; /* of pagemap's entries: the base page */
	uint64_t scannable; /* categories (PAGE_IS_*) that PAGEMAP_SCAN knows; 0: no such ioctl */
	uint64_t wanted;    /* categories that make a page of interest, of those above */
};

/* @proc_fd as in kernel/proc.h; ptrace access is needed. 0, -ESRCH or another -errno. */
int pagemap_open(int proc_fd, struct pagemap *ret);
void pagemap_close(struct pagemap *pagemap);
/*
 * Has walks report nothing but guarded pages, if the kernel can pick them out by itself: then true,
 * and a walk over a whole address space costs one call.
 */
bool pagemap_only_guards(struct pagemap *pagemap);

enum { PAGEMAP_REGIONS = 256, PAGEMAP_ENTRIES = 512, PAGEMAP_RUN = 16384 };

/* A walk under way; owns nothing. */
struct pagemap_walk {
	const struct pagemap *pagemap;
	uint64_t at;  /* not asked for yet from here on */
	uint64_t end; /* of the walk */
	/* What the ioctl gave. */
	struct uapi_page_region region[PAGEMAP_REGIONS];
	size_t n_regions;
	size_t next_region;
	/* A range that is looked at entry by entry. */
	uint64_t entries_at;
	uint64_t entries_end;
	uint64_t entry[PAGEMAP_ENTRIES];
	size_t n_entries;
	size_t next_entry;
	struct page_range pending; /* still growing; empty if start == end */
};

/* @start and @end are multiples of the page size. */
void pagemap_walk_init(struct pagemap_walk *walk, const struct pagemap *pagemap, uint64_t start,
		       uint64_t end);
/* 1: *ret is the next range, in order of addresses; 0: that was all; or -errno. */
int pagemap_walk_next(struct pagemap_walk *walk, struct page_range *ret);

/*
 * The raw entries of @n pages from @start on (admin-guide/mm/pagemap.rst). Beyond the end of the
 * address space they read 0. 0 or -errno.
 */
int pagemap_read(const struct pagemap *pagemap, uint64_t start, size_t n, uint64_t *ret);

/* The categories of an entry, without PAGE_ZERO. */
uint32_t pagemap_entry_categories(uint64_t entry);
/* The page frame of a present page; 0 where CAP_SYS_ADMIN is missing. */
uint64_t pagemap_entry_pfn(uint64_t entry);
/* Mapped exactly once: no other process has this page. */
bool pagemap_entry_exclusive(uint64_t entry);
