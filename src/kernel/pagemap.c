/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/pagemap, by ioctl and by entries.
 *
 * The ioctl came before its category for guard regions: a guarded page is then told as swapped.
 * Such ranges are looked at again by their entries, which say it by a bit of their own or, on the
 * first kernels that had guards, only to the privileged, by the type of the swap entry.
 */
#include "kernel/pagemap.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kernel/proc-read.h"
#include "util/cleanup.h"
#include "util/macro.h"

#define ENTRY_PRESENT	(UINT64_C(1) << 63)
#define ENTRY_SWAPPED	(UINT64_C(1) << 62)
#define ENTRY_FILE	(UINT64_C(1) << 61)
#define ENTRY_GUARD	(UINT64_C(1) << 58)
#define ENTRY_EXCLUSIVE (UINT64_C(1) << 56)
#define ENTRY_PFN	((UINT64_C(1) << 55) - 1)

/* The swap type of markers is the last of 32 on all kernels (SWP_PTE_MARKER), its offset a set of
 * flags (PTE_MARKER_GUARD). */
enum { SWAP_TYPE_MASK = 31, SWAP_TYPE_MARKER = 31, SWAP_TYPE_BITS = 5, MARKER_GUARD = 4 };

enum { SCAN_BASIC = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_FILE | PAGE_IS_PFNZERO };

static int scan(const struct pagemap *pagemap, uint64_t start, uint64_t end,
		struct uapi_page_region *regions, size_t room, uint64_t *ret_end)
{
	struct uapi_pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uint64_t)(uintptr_t)regions,
		.vec_len = room,
		.max_pages = PAGEMAP_RUN,
		.category_anyof_mask = pagemap->wanted,
		.return_mask = pagemap->scannable,
	};
	int n = ioctl(pagemap->fd, UAPI_PAGEMAP_SCAN, &arg);

	if (n < 0)
		return -errno;
	*ret_end = arg.walk_end;
	return n;
}

static bool scan_works(struct pagemap *pagemap, uint64_t categories)
{
	uint64_t end;

	pagemap->scannable = categories;
	pagemap->wanted = categories & ~(uint64_t)(PAGE_IS_FILE | PAGE_IS_PFNZERO);
	return scan(pagemap, 0, pagemap->page_size, NULL, 0, &end) >= 0;
}

int pagemap_open(int proc_fd, struct pagemap *ret)
{
	struct pagemap pagemap = {.page_size = (uint32_t)sysconf(_SC_PAGESIZE)};

	pagemap.fd = openat(proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap.fd < 0)
		return proc_error(proc_fd, -errno);
	if (!scan_works(&pagemap, SCAN_BASIC | PAGE_IS_GUARD) && !scan_works(&pagemap, SCAN_BASIC))
		pagemap.scannable = 0;
	*ret = pagemap;
	return 0;
}

bool pagemap_only_guards(struct pagemap *pagemap)
{
	if (!(pagemap->scannable & PAGE_IS_GUARD))
		return false;
	pagemap->wanted = PAGE_IS_GUARD;
	return true;
}

void pagemap_close(struct pagemap *pagemap)
{
	close_guard(&pagemap->fd);
	pagemap->fd = -EBADF;
}

uint32_t pagemap_entry_categories(uint64_t entry)
{
	uint32_t file = entry & ENTRY_FILE ? PAGE_FILE : 0;

	if (entry & ENTRY_PRESENT)
		return PAGE_PRESENT | file;
	if (entry & ENTRY_GUARD)
		return PAGE_GUARD;
	if (!(entry & ENTRY_SWAPPED))
		return 0;
	if ((entry & SWAP_TYPE_MASK) == SWAP_TYPE_MARKER &&
	    ((entry & ENTRY_PFN) >> SWAP_TYPE_BITS & MARKER_GUARD))
		return PAGE_GUARD;
	return PAGE_SWAPPED | file;
}

uint64_t pagemap_entry_pfn(uint64_t entry)
{
	return entry & ENTRY_PRESENT ? entry & ENTRY_PFN : 0;
}

bool pagemap_entry_exclusive(uint64_t entry)
{
	return (entry & ENTRY_PRESENT) && (entry & ENTRY_EXCLUSIVE);
}

int pagemap_read(const struct pagemap *pagemap, uint64_t start, size_t n, uint64_t *ret)
{
	off_t at = (off_t)(start / pagemap->page_size * sizeof(*ret));
	char *to = (char *)ret;
	size_t left = n * sizeof(*ret);

	while (left > 0) {
		ssize_t got = pread(pagemap->fd, to, left, at);

		if (got < 0)
			return -errno;
		if (got == 0) /* beyond the end of user space */
			break;
		to += got;
		at += got;
		left -= (size_t)got;
	}
	memset(to, 0, left);
	return 0;
}

static uint32_t region_categories(uint64_t is)
{
	uint32_t categories = 0;

	if (is & PAGE_IS_GUARD)
		return PAGE_GUARD;
	if (is & PAGE_IS_PRESENT)
		categories |= PAGE_PRESENT;
	if (is & PAGE_IS_SWAPPED)
		categories |= PAGE_SWAPPED;
	if (is & PAGE_IS_FILE)
		categories |= PAGE_FILE;
	if (is & PAGE_IS_PFNZERO)
		categories |= PAGE_ZERO;
	return categories;
}

void pagemap_walk_init(struct pagemap_walk *walk, const struct pagemap *pagemap, uint64_t start,
		       uint64_t end)
{
	assert(start % pagemap->page_size == 0 && end % pagemap->page_size == 0 && start <= end);
	walk->pagemap = pagemap;
	walk->at = start;
	walk->end = end;
	walk->n_regions = walk->next_region = 0;
	walk->n_entries = walk->next_entry = 0;
	walk->entries_at = walk->entries_end = start;
	walk->pending = (struct page_range){};
	if (!pagemap->scannable) {
		walk->entries_end = end;
		walk->at = end;
	}
}

/* The next page of the range that is looked at entry by entry; its categories may be empty. */
static int next_entry(struct pagemap_walk *walk, struct page_range *ret)
{
	const uint32_t page_size = walk->pagemap->page_size;
	int r;

	if (walk->next_entry == walk->n_entries) {
		uint64_t pages = (walk->entries_end - walk->entries_at) / page_size;

		walk->next_entry = 0;
		walk->n_entries = (size_t)MIN(pages, (uint64_t)PAGEMAP_ENTRIES);
		r = pagemap_read(walk->pagemap, walk->entries_at, walk->n_entries, walk->entry);
		if (r < 0)
			return r;
	}
	ret->start = walk->entries_at;
	ret->end = walk->entries_at += page_size;
	ret->categories = pagemap_entry_categories(walk->entry[walk->next_entry++]);
	return 1;
}

static int fetch_regions(struct pagemap_walk *walk)
{
	int n = scan(walk->pagemap, walk->at, walk->end, walk->region, PAGEMAP_REGIONS, &walk->at);

	if (n < 0)
		return n;
	walk->n_regions = (size_t)n;
	walk->next_region = 0;
	return 0;
}

/* The next piece from whichever source; pieces may be neighbours of the same kind. */
static int next_piece(struct pagemap_walk *walk, struct page_range *ret)
{
	const struct uapi_page_region *region;
	int r;

	if (walk->entries_at < walk->entries_end)
		return next_entry(walk, ret);
	while (walk->next_region == walk->n_regions) {
		if (walk->at >= walk->end)
			return 0;
		r = fetch_regions(walk);
		if (r < 0)
			return r;
	}
	region = &walk->region[walk->next_region++];
	if ((region->categories & PAGE_IS_SWAPPED) && !(walk->pagemap->scannable & PAGE_IS_GUARD)) {
		walk->entries_at = region->start;
		walk->entries_end = region->end;
		walk->n_entries = walk->next_entry = 0;
		return next_entry(walk, ret);
	}
	ret->start = region->start;
	ret->end = region->end;
	ret->categories = region_categories(region->categories);
	return 1;
}

int pagemap_walk_next(struct pagemap_walk *walk, struct page_range *ret)
{
	const uint64_t run_max = (uint64_t)PAGEMAP_RUN * walk->pagemap->page_size;
	struct page_range *pending = &walk->pending;
	struct page_range piece;
	int r;

	while ((r = next_piece(walk, &piece)) > 0) {
		if (piece.categories == 0)
			continue;
		if (piece.start == pending->end && piece.categories == pending->categories &&
		    pending->end - pending->start < run_max) {
			pending->end = piece.end;
			continue;
		}
		*ret = *pending;
		*pending = piece;
		if (ret->start < ret->end)
			return 1;
	}
	if (r < 0)
		return r;
	*ret = *pending;
	*pending = (struct page_range){};
	return ret->start < ret->end;
}
