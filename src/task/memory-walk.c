/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most processes have many mappings with few pages, so neighbours are walked in one go: what the
 * page tables tell is cut at their borders. Mappings whose pages are not the address space's own
 * are left out of the walk, since there may be a great deal of those.
 */
#include "task/memory-walk.h"

#include "task/memory-batch.h"
#include "task/memory-vma.h"
#include "util/macro.h"

void vma_walk_init(struct vma_walk *walk, const struct pagemap *pagemap, const Coppice__Mm *mm)
{
	walk->pagemap = pagemap;
	walk->mm = mm;
	walk->next = walk->end = 0;
	walk->found = (struct page_range){};
}

/* On to the next mappings that have private pages, and none without in between. */
static bool next_group(struct vma_walk *walk)
{
	Coppice__Vma *const *vmas = walk->mm->vmas;
	size_t n = walk->mm->n_vmas, first = walk->end, end;

	while (first < n && !vma_has_private_pages(vmas[first]))
		first++;
	for (end = first; end < n && vma_has_private_pages(vmas[end]); end++)
		;
	walk->next = first;
	walk->end = end;
	if (first == end)
		return false;
	pagemap_walk_init(&walk->pages, walk->pagemap, vmas[first]->start, vmas[end - 1]->end);
	return true;
}

/* The part of what was found that lies in one mapping; in none of them is what is ours. */
static bool cut(struct vma_walk *walk, const Coppice__Vma **ret_vma, struct page_range *ret_range)
{
	Coppice__Vma *const *vmas = walk->mm->vmas;
	struct page_range *found = &walk->found;

	while (walk->next < walk->end && vmas[walk->next]->end <= found->start)
		walk->next++;
	if (walk->next == walk->end || vmas[walk->next]->start >= found->end)
		return false;
	*ret_vma = vmas[walk->next];
	*ret_range = (struct page_range){
		.start = MAX(found->start, (*ret_vma)->start),
		.end = MIN(found->end, (*ret_vma)->end),
		.categories = found->categories,
	};
	found->start = ret_range->end;
	return true;
}

static int fetch(struct vma_walk *walk)
{
	int r = 0;

	while (walk->next < walk->end || next_group(walk)) {
		r = pagemap_walk_next(&walk->pages, &walk->found);
		if (r != 0)
			break;
		walk->next = walk->end;
	}
	return r;
}

int vma_walk_next(struct vma_walk *walk, const Coppice__Vma **ret_vma, struct page_range *ret_range)
{
	int r;

	for (;;) {
		while (walk->found.start < walk->found.end && cut(walk, ret_vma, ret_range))
			if (page_range_is_content(*ret_vma, ret_range->categories))
				return 1;
		r = fetch(walk);
		if (r <= 0)
			return r;
	}
}
