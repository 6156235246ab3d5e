/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in an address space there is room: for the stubs' own area, which must be free in every
 * address space of an image, and for mappings that make way for each other.
 *
 * The search starts above 4 GiB: below lie programs that were linked for fixed addresses, and their
 * heaps, and it ends well below the place of stacks and libraries.
 */
#include "task/memory-layout.h"

#include <errno.h>
#include <stdlib.h>

#include "task/memory.h"
#include "util/cleanup.h"

#define AREA_FROM  (UINT64_C(1) << 32)
#define AREA_LIMIT (UINT64_C(1) << 46)
#define AREA_ALIGN (UINT64_C(1) << 21)
#define AREA_GAP   (UINT64_C(1) << 30)

static int by_start(const void *a, const void *b)
{
	const struct address_range *x = a;
	const struct address_range *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

uint64_t layout_find_gap(struct address_range *used, size_t n, uint64_t size, uint64_t align,
			 uint64_t gap, uint64_t from, uint64_t limit)
{
	uint64_t at = ALIGN_UP(from, align);

	qsort(used, n, sizeof(*used), by_start);
	for (size_t i = 0; i < n; i++) {
		if (used[i].end <= at)
			continue;
		if (used[i].start >= at + size + gap)
			break;
		at = ALIGN_UP(used[i].end, align);
	}
	return at < limit && size <= limit - at ? at : 0;
}

int memory_choose_area(struct context *ctx, const Coppice__Checkpoint *cp, uint64_t size,
		       uint64_t *ret_base)
{
	_cleanup_free_ struct address_range *used = NULL;
	size_t total = 0;
	size_t n = 0;
	uint64_t base;

	for (size_t i = 0; i < cp->n_mms; i++)
		total += cp->mms[i]->n_vmas;
	used = malloc((total + 1) * sizeof(*used));
	if (!used)
		return err_oom(ctx);
	for (size_t i = 0; i < cp->n_mms; i++) {
		for (size_t k = 0; k < cp->mms[i]->n_vmas; k++) {
			const Coppice__Vma *vma = cp->mms[i]->vmas[k];

			/* Neighbours as one: with 60000 VMAs this is what keeps the sort short. */
			if (n > 0 && used[n - 1].end == vma->start)
				used[n - 1].end = vma->end;
			else
				used[n++] = (struct address_range){vma->start, vma->end};
		}
	}
	base = layout_find_gap(used, n, size, AREA_ALIGN, AREA_GAP, AREA_FROM, AREA_LIMIT);
	if (base == 0)
		return err_msg(ctx, -ENOMEM, "no range of %llu bytes is free in all address spaces",
			       (unsigned long long)size);
	*ret_base = base;
	return 0;
}
