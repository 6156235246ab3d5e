/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages that belong to an address space alone, as its page tables tell them:
 *
 *	struct vma_walk walk;
 *	vma_walk_init(&walk, &pagemap, mm);
 *	while ((r = vma_walk_next(&walk, &vma, &range)) > 0)
 *		... range.start, range.end, in vma ...
 */
#pragma once

#include "kernel/pagemap.h"
#include "kind/collect.h"

/* A walk under way; owns nothing. */
struct vma_walk {
	const struct pagemap *pagemap;
	const Coppice__Mm *mm;
	size_t next; /* the VMA that what comes is in, or a later one */
	size_t end;  /* of the VMAs that are walked in one go */
	struct pagemap_walk pages;
	struct page_range found; /* the rest of what the page tables told last */
};

void vma_walk_init(struct vma_walk *walk, const struct pagemap *pagemap, const Coppice__Mm *mm);
/*
 * 1: *ret_range is the next range with content (page_range_is_content), and in *ret_vma; in order
 * of addresses. 0: that was all; or -errno.
 */
int vma_walk_next(struct vma_walk *walk, const Coppice__Vma **ret_vma,
		  struct page_range *ret_range);
