/* SPDX-License-Identifier: Apache-2.0 */
#include "task/memory-batch.h"

#include "kernel/pagemap.h"
#include "task/memory-vma.h"
#include "util/macro.h"

void batch_reset(struct page_batch *batch)
{
	batch->n_ranges = 0;
	batch->n_pages = 0;
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
