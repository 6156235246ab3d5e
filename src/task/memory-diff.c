/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stub that was forked by a filled one has the mappings of that one's program. What its own
 * program has at the same place and of the same make is kept, with the pages in it; that is how
 * pages come to be shared copy-on-write again.
 *
 * Kept or not is decided by what a mapping is made of. Protection, most advice, locks and names do
 * not matter: they are set when all forks are done (memory-finish.c). The advice on huge pages
 * counts, since it is given before the memory is filled and MADV_HUGEPAGE cannot be undone. So does
 * that a mapping was writable, for the same reason.
 */
#include "task/memory-diff.h"

#include <assert.h>
#include <sys/mman.h>

#include "task/memory-vma.h"
#include "util/macro.h"

enum {
	ADVICE_MADE_OF = COPPICE__VMA_ADVICE__VMA_ADVICE_HUGEPAGE |
			 COPPICE__VMA_ADVICE__VMA_ADVICE_NOHUGEPAGE,
};

/* Or of an owner that maps it later (memory-owned.c). */
static bool is_kernels_own(const Coppice__Vma *vma)
{
	return vma->kind == COPPICE__VMA_KIND__VMA_KIND_VDSO ||
	       vma->kind == COPPICE__VMA_KIND__VMA_KIND_OWNED ||
	       vma->kind == COPPICE__VMA_KIND__VMA_KIND_VSYSCALL;
}

/* Private huge pages are not worth the trouble; droppable memory is wiped by the fork. */
static bool never_kept(const Coppice__Vma *vma)
{
	return vma->hugetlb_shift != 0 ||
	       (vma->advice & COPPICE__VMA_ADVICE__VMA_ADVICE_DROPPABLE) != 0;
}

/*
 * A private mapping that once was writable counts as memory (VM_ACCOUNT), and cannot cease to while
 * it has pages (mprotect_fixup() in mm/mprotect.c).
 */
static bool counts_as_memory(const Coppice__Vma *vma)
{
	return (vma->prot & PROT_WRITE) || vma->accounted;
}

static bool serves_as(const Coppice__Vma *old, const Coppice__Vma *vma)
{
	return old->kind == vma->kind && old->flags == vma->flags && old->inode == vma->inode &&
	       old->open_flags == vma->open_flags && old->accounted == vma->accounted &&
	       (counts_as_memory(vma) || !counts_as_memory(old)) && !never_kept(old) &&
	       !never_kept(vma) &&
	       (old->advice & ADVICE_MADE_OF) == (vma->advice & ADVICE_MADE_OF) &&
	       vma_policies_equal(old->policy, vma->policy) &&
	       (!vma_has_inode(vma) || old->offset - old->start == vma->offset - vma->start);
}

void vma_diff_init(struct vma_diff *diff, const Coppice__Mm *from, const Coppice__Mm *to)
{
	*diff = (struct vma_diff){.from = from, .to = to};
}

/* The first VMA of @mm from *@i on that ends above @at, or NULL. */
static const Coppice__Vma *peek(const Coppice__Mm *mm, size_t *i, uint64_t at)
{
	for (; mm && *i < mm->n_vmas; (*i)++)
		if (mm->vmas[*i]->end > at && !is_kernels_own(mm->vmas[*i]))
			return mm->vmas[*i];
	return NULL;
}

bool vma_diff_next(struct vma_diff *diff, struct vma_step *ret)
{
	const Coppice__Vma *old = peek(diff->from, &diff->i, diff->at);
	const Coppice__Vma *vma = peek(diff->to, &diff->k, diff->at);
	uint64_t old_start = old ? MAX(old->start, diff->at) : UINT64_MAX;
	uint64_t vma_start = vma ? MAX(vma->start, diff->at) : UINT64_MAX;

	if (!old && !vma)
		return false;
	if (!vma || (old && old_start < vma_start))
		*ret = (struct vma_step){VMA_UNMAP, old_start, MIN(old->end, vma_start), old, NULL};
	else if (!old || vma_start < old_start)
		*ret = (struct vma_step){VMA_MAP, vma_start, MIN(vma->end, old_start), NULL, vma};
	else
		*ret = (struct vma_step){serves_as(old, vma) ? VMA_KEEP : VMA_REPLACE, vma_start,
					 MIN(old->end, vma->end), old, vma};
	assert(ret->start < ret->end);
	diff->at = ret->end;
	return true;
}
