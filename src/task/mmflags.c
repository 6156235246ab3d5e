/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switches of a whole address space that prctl(2) sets: huge pages off (with its exceptions), no
 * memory both writable and executable (MDWE), same-page merging of everything (KSM).
 *
 * All three pass from parent to child, so a stub has the coordinator's. MDWE can never be taken
 * back; a coordinator under it cannot restore a program that is not.
 *
 * Switching KSM on marks every mapping that can be merged, so mappings that the program had taken
 * out again are taken out again here.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kernel/uapi.h"
#include "kind/task.h"

enum { ASK_THP, ASK_MDWE, ASK_MERGE };

static Coppice__Mm *mm_of(struct collect *c, const struct collect_process *p)
{
	return c->cp->mms[p->msg->mm - 1];
}

/* -EINVAL: a kernel without the switch. */
static void ask(struct collect *c _unused_, struct collect_process *p, struct call_table *t)
{
	if (p->mm_owner != p)
		return;
	call_add(t, "prctl(PR_GET_THP_DISABLE)", SYS_prctl, CALL_IMM(PR_GET_THP_DISABLE));
	call_expect_any(t, call_add(t, "prctl(PR_GET_MDWE)", SYS_prctl, CALL_IMM(PR_GET_MDWE)));
	call_expect_any(t, call_add(t, "prctl(PR_GET_MEMORY_MERGE)", SYS_prctl,
				    CALL_IMM(PR_GET_MEMORY_MERGE)));
}

static int reply(struct collect *c, struct collect_process *p, struct call_table *t, uint32_t first)
{
	int64_t thp;
	int64_t mdwe;
	int64_t merge;
	Coppice__Mm *mm;

	if (p->mm_owner != p)
		return 0;
	mm = mm_of(c, p);
	thp = call_result(t, first + ASK_THP);
	mdwe = call_result(t, first + ASK_MDWE);
	merge = call_result(t, first + ASK_MERGE);
	/* Bit 0 says that they are off, the others are the flags that it was done with. */
	mm->thp_disable = thp & 1;
	mm->thp_disable_flags = (uint32_t)thp & ~1u;
	mm->mdwe = mdwe < 0 ? 0 : (uint32_t)mdwe;
	mm->ksm_merge = merge == 1;
	return 0;
}

static int check_inherited(struct rebuild *r, const struct rebuild_process *p)
{
	int own_mdwe = prctl(PR_GET_MDWE, 0, 0, 0, 0);
	int own_merge = prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0);
	int rc = 0;

	if (own_mdwe > 0 && !(own_mdwe & (int)PR_MDWE_NO_INHERIT) &&
	    p->mm->mdwe != (uint32_t)own_mdwe)
		rc = rebuild_refuse(r, "run coppice without PR_SET_MDWE",
				    "%s: would inherit coppice's own ban on memory both writable "
				    "and executable",
				    rebuild_name(r, p));
	if (rc >= 0 && own_merge > 0 && !p->mm->ksm_merge)
		rc = rebuild_refuse(r, "run coppice without PR_SET_MEMORY_MERGE",
				    "%s: would inherit coppice's own merging of memory",
				    rebuild_name(r, p));
	return rc;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	int rc;

	if (!p->mm || !p->owns_mm)
		return 0;
	rc = check_inherited(r, p);
	if (rc >= 0 && p->mm->mdwe && prctl(PR_GET_MDWE, 0, 0, 0, 0) < 0)
		rc = rebuild_refuse(r, NULL, "%s: this kernel has no PR_SET_MDWE",
				    rebuild_name(r, p));
	if (rc >= 0 && p->mm->ksm_merge && prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) < 0)
		rc = rebuild_refuse(r, NULL, "%s: this kernel has no PR_SET_MEMORY_MERGE",
				    rebuild_name(r, p));
	return rc;
}

static void add_merge(struct call_table *t, const Coppice__Mm *mm)
{
	call_add(t, "prctl(PR_SET_MEMORY_MERGE)", SYS_prctl, CALL_IMM(PR_SET_MEMORY_MERGE),
		 CALL_IMM(1));
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const Coppice__Vma *vma = mm->vmas[i];

		if (vma->advice & COPPICE__VMA_ADVICE__VMA_ADVICE_MERGEABLE ||
		    vma->kind == COPPICE__VMA_KIND__VMA_KIND_VDSO ||
		    vma->kind == COPPICE__VMA_KIND__VMA_KIND_OWNED ||
		    vma->kind == COPPICE__VMA_KIND__VMA_KIND_VSYSCALL)
			continue;
		call_add(t, "madvise(MADV_UNMERGEABLE)", SYS_madvise, CALL_IMM(vma->start),
			 CALL_IMM(vma->end - vma->start), CALL_IMM(MADV_UNMERGEABLE));
	}
}

/* When no more memory is mapped. */
static int last(struct rebuild *r _unused_, struct rebuild_process *p, struct call_table *t)
{
	const Coppice__Mm *mm = p->mm;

	if (!p->owns_mm)
		return 0;
	call_add(t, "prctl(PR_SET_THP_DISABLE)", SYS_prctl, CALL_IMM(PR_SET_THP_DISABLE),
		 CALL_IMM(mm->thp_disable), CALL_IMM(mm->thp_disable_flags));
	if (mm->ksm_merge)
		add_merge(t, mm);
	if (mm->mdwe)
		call_add(t, "prctl(PR_SET_MDWE)", SYS_prctl, CALL_IMM(PR_SET_MDWE),
			 CALL_IMM(mm->mdwe));
	return 0;
}

const struct task_aspect aspect_mmflags = {
	.name = "memory switches",
	.ask = ask,
	.reply = reply,
	.check = check,
	.last = last,
};
