/* SPDX-License-Identifier: Apache-2.0 */
/* How one address space becomes another: a walk over two sorted lists of VMAs. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/checkpoint.pb-c.h"

enum vma_step_kind {
	VMA_UNMAP,   /* @old is there and nothing is wanted */
	VMA_MAP,     /* nothing is there and @vma is wanted */
	VMA_REPLACE, /* @old is there and cannot serve as @vma */
	VMA_KEEP,    /* @old is there and serves as @vma */
};

/* What happens to one range; the ranges of a walk ascend and do not overlap. */
struct vma_step {
	enum vma_step_kind kind;
	uint64_t start;
	uint64_t end;
	const Coppice__Vma *old; /* NULL for VMA_MAP */
	const Coppice__Vma *vma; /* NULL for VMA_UNMAP */
};

struct vma_diff {
	const Coppice__Mm *from; /* NULL: empty */
	const Coppice__Mm *to;
	size_t i;    /* in from->vmas */
	size_t k;    /* in to->vmas */
	uint64_t at; /* everything below is done */
};

void vma_diff_init(struct vma_diff *diff, const Coppice__Mm *from, const Coppice__Mm *to);
/* true: *ret is the next step; false: that was all. The kernel's own mappings are passed over. */
bool vma_diff_next(struct vma_diff *diff, struct vma_step *ret);
