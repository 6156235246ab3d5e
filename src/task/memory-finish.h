/* SPDX-License-Identifier: Apache-2.0 */
/* What a filled address space still lacks. See memory-finish.c. */
#pragma once

#include "kind/rebuild.h"

/* When all forks are done and while the stub is privileged: protections, advice, guards, locks. */
void memory_finish(const struct rebuild *r, const Coppice__Mm *mm, struct call_table *t);
/* When nothing will be mapped or changed any more: what would stand in the way of that. */
void memory_seal(const Coppice__Mm *mm, struct call_table *t);

/* The protection that a mapping has until memory_finish: writable where pages are put into it. */
int memory_working_prot(const struct rebuild *r, const Coppice__Mm *mm, const Coppice__Vma *vma);
