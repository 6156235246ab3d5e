/* SPDX-License-Identifier: Apache-2.0 */
/* VMAs: from /proc/PID/smaps to Vma messages. See memory-vma.c. */
#pragma once

#include "kind/collect.h"

/*
 * Fills mm->vmas from p->maps: one Vma for each mapping of the kernel, in address order, without
 * what is ours (collect.hide_start, the area of p's puppet). What cannot be kept is refused.
 */
int vma_collect(struct collect *c, struct collect_process *p, Coppice__Mm *mm);

/*
 * Joins neighbours that differ in nothing. Which VMAs the kernel has merged depends on their
 * history (anon_vma), which a restored address space does not repeat.
 */
void vma_merge(Coppice__Mm *mm);

/* The first Vma that ends after @address (mm->n_vmas: none). */
size_t vma_find(const Coppice__Mm *mm, uint64_t address);

/* Private, so that its pages belong to the address space; not the kernel's own. */
bool vma_has_private_pages(const Coppice__Vma *vma);
/* Backed by a file or object, which Vma.inode names. */
bool vma_has_inode(const Coppice__Vma *vma);
bool vma_policies_equal(const Coppice__MemPolicy *a, const Coppice__MemPolicy *b);
