/* SPDX-License-Identifier: Apache-2.0 */
#include "task/memory-batch.h"

#include <string.h>

#include "kernel/pagemap.h"
#include "task/memory-vma.h"
#include "util/macro.h"

void batch_reset(struct page_batch *batch)
{
	batch->n_ranges = 0;
	batch->n_pages = 0;
	batch->has_entries = false;
}

uint32_t batch_add(struct page_batch *batch, const Coppice__Vma *vma, uint64_t start,
		   uint64_t pages, bool swapped)
{
	uint32_t room = batch->max_pages - batch->n_pages;
	uint32_t n = (uint32_t)MIN(pages, (uint64_t)room);
	struct batch_range *range;

	if (n == 0 || batch->n_ranges == BATCH_RANGES)
		return 0;
	range = &batch->ranges[batch->n_ranges++];
	*range = (struct batch_range){vma, start, n, batch->n_pages, swapped};
	for (uint32_t i = 0; i < n; i++)
		batch->state[batch->n_pages + i] = PAGE_STATE_DATA;
	batch->n_pages += n;
	return n;
}

/* The entries that were read last. */
struct entries {
	uint64_t start; /* addresses */
	uint64_t end;
	uint64_t entry[PAGEMAP_ENTRIES];
};

/* Reads from @at on, in the range @i, as far as pages of the batch come closely enough. */
static int read_close(const struct page_batch *batch, const struct pagemap *pagemap, size_t i,
		      uint64_t at, struct entries *ret)
{
	uint64_t size = batch->page_size, most = at + PAGEMAP_ENTRIES * size;

	ret->start = ret->end = at;
	for (; i < batch->n_ranges && batch->ranges[i].start < most; i++)
		ret->end = batch->ranges[i].start + batch->ranges[i].pages * size;
	ret->end = MIN(ret->end, most);
	return pagemap_read(pagemap, at, (ret->end - at) / size, ret->entry);
}

int batch_read_entries(const struct page_batch *batch, const struct pagemap *pagemap,
		       uint64_t *ret_entries)
{
	struct entries read = {};

	for (size_t i = 0; i < batch->n_ranges; i++) {
		const struct batch_range *range = &batch->ranges[i];
		uint64_t at = range->start, end = at + (uint64_t)range->pages * batch->page_size;
		uint64_t *to = &ret_entries[range->first];

		while (at < end) {
			int r = at < read.end ? 0 : read_close(batch, pagemap, i, at, &read);
			size_t n = (MIN(end, read.end) - at) / batch->page_size;

			if (r < 0)
				return r;
			memcpy(to, &read.entry[(at - read.start) / batch->page_size],
			       n * sizeof(*to));
			to += n;
			at += n * batch->page_size;
		}
	}
	return 0;
}

bool batch_next(const struct page_batch *batch, struct batch_cursor *cursor,
		struct batch_run *ret_run)
{
	const struct batch_range *range;
	uint32_t first;
	uint32_t n = 1;

	if (cursor->range == batch->n_ranges)
		return false;
	range = &batch->ranges[cursor->range];
	first = range->first + cursor->page;
	while (cursor->page + n < range->pages && batch->state[first + n] == batch->state[first])
		n++;
	*ret_run = (struct batch_run){
		.range = range,
		.start = range->start + (uint64_t)cursor->page * batch->page_size,
		.pages = n,
		.first = first,
		.state = batch->state[first],
	};
	cursor->page += n;
	if (cursor->page == range->pages) {
		cursor->range++;
		cursor->page = 0;
	}
	return true;
}

bool page_range_is_content(const Coppice__Vma *vma, uint32_t categories)
{
	if (!(categories & (PAGE_PRESENT | PAGE_SWAPPED)) ||
	    (categories & (PAGE_FILE | PAGE_GUARD)))
		return false;
	/* The shared zero page: nothing, unless there is a file below. */
	return !(categories & PAGE_ZERO) || vma_has_inode(vma);
}

bool page_is_zero(const void *page, size_t size)
{
	const uint64_t *word = page;

	for (size_t i = 0; i < size / sizeof(*word); i += 8)
		if (word[i] | word[i + 1] | word[i + 2] | word[i + 3] | word[i + 4] | word[i + 5] |
		    word[i + 6] | word[i + 7])
			return false;
	return true;
}
