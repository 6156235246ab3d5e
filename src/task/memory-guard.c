/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guard regions (MADV_GUARD_INSTALL): pages that fault for ever, marked in the page tables only,
 * without a VMA of their own. They are told apart by /proc/PID/pagemap; where the kernel's scan
 * knows them as a category, one call finds those of a whole address space. A newer kernel also flags
 * the mappings that have, or once had, any (VM_MAYBE_GUARD), so that most need no scan at all.
 */
#include "task/memory-guard.h"

#include "kernel/feature.h"
#include "kernel/pagemap.h"
#include "task/memory-vma.h"
#include "task/surroundings.h"
#include "util/cleanup.h"

static int add_guard(struct collect *c, Coppice__Mm *mm, const struct page_range *range)
{
	Coppice__Range *last = mm->n_guards > 0 ? mm->guards[mm->n_guards - 1] : NULL;
	Coppice__Range **slot;

	if (last && last->end == range->start) {
		last->end = range->end;
		return 0;
	}
	slot = arena_append(c->arena, &mm->guards, &mm->n_guards, sizeof(*slot));
	if (!slot)
		return err_oom(c->ctx);
	*slot = arena_new(c->arena, Coppice__Range);
	if (!*slot)
		return err_oom(c->ctx);
	coppice__range__init(*slot);
	(*slot)->start = range->start;
	(*slot)->end = range->end;
	return 0;
}

static int walk(struct collect *c, Coppice__Mm *mm, const struct pagemap *pagemap, uint64_t start,
		uint64_t end)
{
	struct pagemap_walk walk;
	struct page_range range;
	int r;

	pagemap_walk_init(&walk, pagemap, start, end);
	while ((r = pagemap_walk_next(&walk, &range)) > 0) {
		if (!(range.categories & PAGE_GUARD))
			continue;
		r = add_guard(c, mm, &range);
		if (r < 0)
			return r;
	}
	return r < 0 ? err_sys(c->ctx, r, "scanning the page tables for guard regions") : 0;
}

static bool can_have_guards(const Coppice__Vma *vma)
{
	return vma->kind == COPPICE__VMA_KIND__VMA_KIND_ANON || vma_has_inode(vma);
}

static int walk_each(struct collect *c, Coppice__Mm *mm, const struct pagemap *pagemap)
{
	if (feature_probe(FEATURE_MADV_GUARD) == 0)
		return 0;
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const Coppice__Vma *vma = mm->vmas[i];
		int r = can_have_guards(vma) ? walk(c, mm, pagemap, vma->start, vma->end) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

static int may_have_guards(struct collect *c, const struct collect_process *p)
{
	const struct surroundings *s;
	int r = surroundings_get(c->ctx, c->arena, &c->surroundings, &s);

	if (r < 0 || !s->guard_flag)
		return r < 0 ? r : 1;
	for (size_t i = 0; i < p->n_maps; i++)
		if (p->maps[i].flags & VMF_GUARD)
			return 1;
	return 0;
}

int guard_collect(struct collect *c, struct collect_process *p, Coppice__Mm *mm)
{
	_cleanup_(pagemap_close) struct pagemap pagemap = {.fd = -EBADF};
	uint64_t end = 0;
	int r = may_have_guards(c, p);

	if (r <= 0)
		return r;
	for (size_t i = mm->n_vmas; i > 0 && end == 0; i--)
		if (can_have_guards(mm->vmas[i - 1]))
			end = mm->vmas[i - 1]->end;
	if (end == 0)
		return 0;
	r = pagemap_open(p->proc_fd, &pagemap);
	if (r < 0)
		return err_sys(c->ctx, r, "open(/proc/%d/pagemap)", p->pid);
	if (pagemap_only_guards(&pagemap))
		return walk(c, mm, &pagemap, mm->vmas[0]->start, end);
	return walk_each(c, mm, &pagemap);
}
