/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last touches to a filled address space. While stubs are forked and filled, mappings are plain
 * and writable; when no fork follows any more, each gets its guard regions (before locks, which
 * forbid them), protection and key, name, advice and lock; and when nothing else will be mapped
 * come mlockall(MCL_FUTURE) and mseal().
 *
 * Protection keys: pkey_alloc() hands out the lowest free one, so to have a certain set, all up to
 * the highest are taken and those in between given back. The key of execute-only memory is taken by
 * the kernel at the first mprotect(PROT_EXEC), again the lowest free one: it must come when all
 * below are taken. The threads' PKRU values, which know these numbers, come with their registers.
 */
#include "task/memory-finish.h"

#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "image/pages.h"
#include "kernel/uapi.h"
#include "task/memory-vma.h"
#include "util/macro.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* One VMA's entries for one step. */
typedef void vma_step_fn(const Coppice__Vma *vma, struct call_table *t);

static void for_each_vma(const Coppice__Mm *mm, vma_step_fn *step, struct call_table *t)
{
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const Coppice__Vma *vma = mm->vmas[i];

		if (vma->kind == COPPICE__VMA_KIND__VMA_KIND_ANON ||
		    vma->kind == COPPICE__VMA_KIND__VMA_KIND_OWNED || vma_has_inode(vma))
			step(vma, t);
	}
}

bool memory_has_pages(const struct rebuild *r, const Coppice__Mm *mm, const Coppice__Vma *vma)
{
	struct page_cursor cursor;
	struct page_piece piece;

	page_cursor_init(&cursor, mm->pages, mm->n_pages, r->cp->origin->page_size, vma->start,
			 vma->end);
	return page_cursor_next(&cursor, &piece);
}

/*
 * mprotect() to writable charges a private mapping (VM_ACCOUNT) for good, unless it was mapped with
 * MAP_NORESERVE or is of huge pages (mprotect_fixup() in mm/mprotect.c).
 */
enum page_entry memory_page_entry(const Coppice__Vma *vma)
{
	bool free_of_charge = (vma->flags & MAP_NORESERVE) || vma->hugetlb_shift != 0;

	return (vma->prot & PROT_WRITE) || vma->accounted || free_of_charge ? PAGES_READ
									    : PAGES_FORCE;
}

int memory_working_prot(const struct rebuild *r, const Coppice__Mm *mm, const Coppice__Vma *vma)
{
	if (!vma_has_private_pages(vma) || memory_page_entry(vma) == PAGES_FORCE)
		return (int)vma->prot;
	return (int)vma->prot | (vma->accounted || memory_has_pages(r, mm, vma) ? PROT_WRITE : 0);
}

/* ---- protections and keys ------------------------------------------------------------------ */

static bool key_is_allocated(const Coppice__Mm *mm, uint32_t key)
{
	for (size_t i = 0; i < mm->n_pkeys_allocated; i++)
		if (mm->pkeys_allocated[i] == key)
			return true;
	return false;
}

/* A key that the program never allocated: the kernel's own for execute-only memory. */
static bool is_execute_only(const Coppice__Mm *mm, const Coppice__Vma *vma)
{
	return vma->prot == PROT_EXEC && vma->pkey != 0 && !key_is_allocated(mm, vma->pkey);
}

static void add_mprotect(const Coppice__Vma *vma, struct call_table *t)
{
	call_add(t, "mprotect", SYS_mprotect, CALL_IMM(vma->start), CALL_IMM(vma->end - vma->start),
		 CALL_IMM(vma->prot));
}

static void alloc_keys(uint32_t from, uint32_t to, struct call_table *t)
{
	for (uint32_t key = from; key < to; key++)
		call_expect_exact(t, call_add(t, "pkey_alloc", SYS_pkey_alloc), key);
}

static void restore_keys(const Coppice__Mm *mm, struct call_table *t)
{
	uint32_t own = 0;  /* the execute-only key */
	uint32_t next = 1; /* the lowest key not taken yet */
	uint32_t last = 0;

	for (size_t i = 0; i < mm->n_pkeys_allocated; i++)
		last = MAX(last, mm->pkeys_allocated[i]);
	for (size_t i = 0; i < mm->n_vmas; i++) {
		if (!is_execute_only(mm, mm->vmas[i]))
			continue;
		if (own == 0) {
			own = mm->vmas[i]->pkey;
			alloc_keys(next, own, t);
			next = own + 1;
		}
		add_mprotect(mm->vmas[i], t);
	}
	alloc_keys(next, last + 1, t);
	for (uint32_t key = 1; key < MAX(next, last + 1); key++)
		if (key != own && !key_is_allocated(mm, key))
			call_add(t, "pkey_free", SYS_pkey_free, CALL_IMM(key));
}

static void restore_protections(const struct rebuild *r, const Coppice__Mm *mm,
				struct call_table *t)
{
	restore_keys(mm, t);
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const Coppice__Vma *vma = mm->vmas[i];

		if (is_execute_only(mm, vma))
			continue;
		if (vma->pkey != 0)
			call_add(t, "pkey_mprotect", SYS_pkey_mprotect, CALL_IMM(vma->start),
				 CALL_IMM(vma->end - vma->start), CALL_IMM(vma->prot),
				 CALL_IMM(vma->pkey));
		else if (memory_working_prot(r, mm, vma) != (int)vma->prot)
			add_mprotect(vma, t);
	}
}

/* ---- what madvise, mlock and prctl say ------------------------------------------------------ */

static void restore_guards(const Coppice__Mm *mm, struct call_table *t)
{
	for (size_t i = 0; i < mm->n_guards; i++)
		call_add(t, "madvise(MADV_GUARD_INSTALL)", SYS_madvise,
			 CALL_IMM(mm->guards[i]->start),
			 CALL_IMM(mm->guards[i]->end - mm->guards[i]->start),
			 CALL_IMM(MADV_GUARD_INSTALL));
}

static void restore_name(const Coppice__Vma *vma, struct call_table *t)
{
	if (vma->name[0] == '\0' || vma->kind == COPPICE__VMA_KIND__VMA_KIND_OWNED)
		return;
	call_add(t, "prctl(PR_SET_VMA_ANON_NAME)", SYS_prctl, CALL_IMM(PR_SET_VMA),
		 CALL_IMM(PR_SET_VMA_ANON_NAME), CALL_IMM(vma->start),
		 CALL_IMM(vma->end - vma->start), CALL_DATA(call_string(t, vma->name)));
}

static void restore_advice(const Coppice__Vma *vma, struct call_table *t)
{
	static const struct {
		uint64_t advice;
		const char *what;
		int madvise;
	} late[] = {
		{COPPICE__VMA_ADVICE__VMA_ADVICE_SEQUENTIAL, "madvise(MADV_SEQUENTIAL)",
		 MADV_SEQUENTIAL},
		{COPPICE__VMA_ADVICE__VMA_ADVICE_RANDOM, "madvise(MADV_RANDOM)", MADV_RANDOM},
		{COPPICE__VMA_ADVICE__VMA_ADVICE_DONTFORK, "madvise(MADV_DONTFORK)", MADV_DONTFORK},
		{COPPICE__VMA_ADVICE__VMA_ADVICE_WIPEONFORK, "madvise(MADV_WIPEONFORK)",
		 MADV_WIPEONFORK},
		{COPPICE__VMA_ADVICE__VMA_ADVICE_DONTDUMP, "madvise(MADV_DONTDUMP)", MADV_DONTDUMP},
		{COPPICE__VMA_ADVICE__VMA_ADVICE_MERGEABLE, "madvise(MADV_MERGEABLE)",
		 MADV_MERGEABLE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(late); i++)
		if (vma->advice & late[i].advice)
			call_add(t, late[i].what, SYS_madvise, CALL_IMM(vma->start),
				 CALL_IMM(vma->end - vma->start), CALL_IMM(late[i].madvise));
}

static void restore_lock(const Coppice__Vma *vma, struct call_table *t)
{
	uint32_t i;

	if (vma->locked == 0)
		return;
	i = call_add(t, "mlock2", SYS_mlock2, CALL_IMM(vma->start), CALL_IMM(vma->end - vma->start),
		     CALL_IMM(vma->locked == 2 ? MLOCK_ONFAULT : 0));
	/* The flag is set before pages are faulted in, which fails where nobody may read them:
	 * ENOMEM (mm/mlock.c, __mm_populate). The same happened to the program. */
	if (!(vma->prot & (PROT_READ | PROT_WRITE)))
		call_expect_any(t, i);
}

void memory_finish(const struct rebuild *r, const Coppice__Mm *mm, struct call_table *t)
{
	restore_guards(mm, t);
	restore_protections(r, mm, t);
	for_each_vma(mm, restore_name, t);
	for_each_vma(mm, restore_advice, t);
	for_each_vma(mm, restore_lock, t);
}

/* ---- last ----------------------------------------------------------------------------------- */

/* PR_SET_MEMORY_MERGE has made everything mergeable; what the program took out, comes out again. */
static void restore_unmergeable(const Coppice__Vma *vma, struct call_table *t)
{
	if (!(vma->advice & COPPICE__VMA_ADVICE__VMA_ADVICE_MERGEABLE))
		call_add(t, "madvise(MADV_UNMERGEABLE)", SYS_madvise, CALL_IMM(vma->start),
			 CALL_IMM(vma->end - vma->start), CALL_IMM(MADV_UNMERGEABLE));
}

static void restore_seal(const Coppice__Vma *vma, struct call_table *t)
{
	if (vma->sealed)
		call_add(t, "mseal", __NR_mseal, CALL_IMM(vma->start),
			 CALL_IMM(vma->end - vma->start), CALL_IMM(0));
}

void memory_seal(const Coppice__Mm *mm, struct call_table *t)
{
	if (mm->ksm_merge)
		for_each_vma(mm, restore_unmergeable, t);
	if (mm->def_mlock != 0)
		call_add(t, "mlockall", SYS_mlockall, CALL_IMM(mm->def_mlock));
	for_each_vma(mm, restore_seal, t);
}
