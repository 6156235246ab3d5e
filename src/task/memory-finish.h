/* SPDX-License-Identifier: Apache-2.0 */
/* What a filled address space still lacks. See memory-finish.c. */
#pragma once

#include "kind/rebuild.h"

/* When all forks are done and while the stub is privileged: protections, advice, guards, locks. */
void memory_finish(const struct rebuild *r, const Coppice__Mm *mm, struct call_table *t);
/* When nothing will be mapped or changed any more: what would stand in the way of that. */
void memory_seal(const Coppice__Mm *mm, struct call_table *t);

/* How pages get into a private mapping. */
enum page_entry {
	PAGES_READ,  /* it is, or can be made, writable for the time being: the stub reads them */
	PAGES_FORCE, /* writable it would count as memory, which it does not: by /proc/PID/mem */
};
enum page_entry memory_page_entry(const Coppice__Vma *vma);

/* Has the mapping pages of its own in the image? */
bool memory_has_pages(const struct rebuild *r, const Coppice__Mm *mm, const Coppice__Vma *vma);
/* The protection that a mapping has until memory_finish. */
int memory_working_prot(const struct rebuild *r, const Coppice__Mm *mm, const Coppice__Vma *vma);
