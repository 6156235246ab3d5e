/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of an address space is in no file of /proc, and is found out by calls of the process:
 *
 *  - mm->brk: brk(0).
 *  - The dumpable attribute: prctl(PR_GET_DUMPABLE).
 *  - mlockall(MCL_FUTURE), which is mm->def_flags: a page mapped now is locked or not. msync()
 *    with MS_INVALIDATE says so (EBUSY, mm/msync.c); mincore() tells MCL_ONFAULT, which leaves the
 *    page unpopulated.
 *  - Which protection keys are allocated: pkey_mprotect() of that page gives EINVAL for a key that
 *    is not. pkey_alloc() would say so too, but changes the thread's PKRU on the way. The key that
 *    the kernel took for execute-only memory does not count as allocated here.
 *  - The NUMA policy of each VMA: get_mempolicy(MPOL_F_ADDR); /proc/PID/numa_maps walks all pages.
 */
#include "task/memory-ask.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "task/memory-vma.h"

enum {
	PKEYS = 16,		  /* x86-64; arm64 has 8, whose rest gives EINVAL like a free one */
	NODE_MASK_BITS = 1 << 10, /* the largest CONFIG_NODES_SHIFT */
};

/* Order of the entries, from the first of ours on. */
enum ask {
	ASK_BRK,
	ASK_DUMPABLE,
	ASK_MAP,
	ASK_MSYNC,
	ASK_MINCORE,
	ASK_PKEY, /* 1 .. PKEYS - 1 */
	ASK_UNMAP = ASK_PKEY + PKEYS - 1,
	ASK_POLICY, /* one per VMA that can have a policy */
};

static bool kernel_has_numa(void)
{
	return syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0) == 0 || errno != ENOSYS;
}

static bool can_have_policy(const Coppice__Vma *vma)
{
	return vma->kind == COPPICE__VMA_KIND__VMA_KIND_ANON || vma_has_inode(vma);
}

static void ask_policies(const Coppice__Mm *mm, struct call_table *t)
{
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const Coppice__Vma *vma = mm->vmas[i];
		uint32_t mode;
		uint32_t call;

		if (!can_have_policy(vma))
			continue;
		mode = call_space(t, NULL, sizeof(int));
		call = call_add(t, "get_mempolicy(MPOL_F_ADDR)", SYS_get_mempolicy, CALL_DATA(mode),
				CALL_IMM(0), CALL_IMM(0), CALL_IMM(vma->start),
				CALL_IMM(MPOL_F_ADDR));
		call_expect_any(t, call);
	}
}

void memory_ask(struct collect *c, const Coppice__Mm *mm, struct call_table *t)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint32_t resident;
	uint32_t map;

	(void)c;
	call_add(t, "brk(0)", SYS_brk, CALL_IMM(0));
	call_add(t, "prctl(PR_GET_DUMPABLE)", SYS_prctl, CALL_IMM(PR_GET_DUMPABLE));
	map = call_add(t, "mmap (a page to look at)", SYS_mmap, CALL_IMM(0), CALL_IMM(page),
		       CALL_IMM(PROT_READ | PROT_WRITE), CALL_IMM(MAP_PRIVATE | MAP_ANONYMOUS),
		       CALL_IMM(-1), CALL_IMM(0));
	call_expect_any(t, map);
	call_expect_any(t, call_add(t, "msync", SYS_msync, CALL_RESULT(map), CALL_IMM(page),
				    CALL_IMM(MS_ASYNC | MS_INVALIDATE)));
	resident = call_space(t, NULL, 1);
	call_expect_any(t, call_add(t, "mincore", SYS_mincore, CALL_RESULT(map), CALL_IMM(page),
				    CALL_DATA(resident)));
	for (int key = 1; key < PKEYS; key++)
		call_expect_any(t, call_add(t, "pkey_mprotect", SYS_pkey_mprotect, CALL_RESULT(map),
					    CALL_IMM(page), CALL_IMM(PROT_READ | PROT_WRITE),
					    CALL_IMM(key)));
	call_expect_any(t, call_add(t, "munmap", SYS_munmap, CALL_RESULT(map), CALL_IMM(page)));
	if (kernel_has_numa())
		ask_policies(mm, t);
}

static const unsigned char *out_bytes(struct call_table *t, uint32_t call, int arg)
{
	return call_bytes(t, (uint32_t)t->calls[call].arg[arg].value);
}

static int reply_future_lock(struct collect *c, struct collect_process *p, Coppice__Mm *mm,
			     struct call_table *t, uint32_t first)
{
	int64_t map = call_result(t, first + ASK_MAP);

	if (map < 0)
		return collect_refuse(c,
				      "raise its RLIMIT_AS or RLIMIT_MEMLOCK, or vm.max_map_count",
				      "%s: it cannot map one more page (%s), so that "
				      "mlockall(MCL_FUTURE) cannot be recognised",
				      collect_name(c, p), err_name((int)map));
	if (call_result(t, first + ASK_MSYNC) != -EBUSY)
		return 0;
	mm->def_mlock = MCL_FUTURE;
	if (!(*out_bytes(t, first + ASK_MINCORE, 2) & 1))
		mm->def_mlock |= MCL_ONFAULT;
	return 0;
}

static int reply_pkeys(struct collect *c, Coppice__Mm *mm, struct call_table *t, uint32_t first)
{
	for (int key = 1; key < PKEYS; key++) {
		uint32_t *slot;

		if (call_result(t, first + ASK_PKEY + (uint32_t)key - 1) != 0)
			continue;
		slot = arena_append(c->arena, &mm->pkeys_allocated, &mm->n_pkeys_allocated,
				    sizeof(*slot));
		if (!slot)
			return err_oom(c->ctx);
		*slot = (uint32_t)key;
	}
	return 0;
}

/* A VMA that has a policy: which nodes. Few have one, so this may cost a call of its own. */
static int read_policy(struct collect *c, struct collect_process *p, Coppice__Vma *vma, int mode)
{
	unsigned char nodes[NODE_MASK_BITS / 8];
	struct call_table t;
	uint32_t space;
	size_t len;
	int r;

	call_table_init(&t, c->arena);
	space = call_space(&t, NULL, sizeof(nodes));
	call_add(&t, "get_mempolicy(MPOL_F_ADDR)", SYS_get_mempolicy, CALL_IMM(0), CALL_DATA(space),
		 CALL_IMM(NODE_MASK_BITS), CALL_IMM(vma->start), CALL_IMM(MPOL_F_ADDR));
	r = puppet_run(c->ctx, p->puppet, &t);
	if (r < 0)
		return r;
	memcpy(nodes, call_bytes(&t, space), sizeof(nodes));
	for (len = sizeof(nodes); len > 0 && nodes[len - 1] == 0; len--)
		;
	vma->policy = arena_new(c->arena, Coppice__MemPolicy);
	if (!vma->policy)
		return err_oom(c->ctx);
	coppice__mem_policy__init(vma->policy);
	vma->policy->mode = mode & ~MPOL_MODE_FLAGS;
	vma->policy->flags = (uint32_t)mode & MPOL_MODE_FLAGS;
	vma->policy->nodes.len = len;
	vma->policy->nodes.data = len > 0 ? arena_memdup(c->arena, nodes, len) : NULL;
	return len > 0 && !vma->policy->nodes.data ? err_oom(c->ctx) : 0;
}

static int reply_policies(struct collect *c, struct collect_process *p, Coppice__Mm *mm,
			  struct call_table *t, uint32_t call)
{
	for (size_t i = 0; i < mm->n_vmas; i++) {
		int mode;
		int r;

		if (!can_have_policy(mm->vmas[i]))
			continue;
		memcpy(&mode, out_bytes(t, call, 0), sizeof(mode));
		if (call_result(t, call) < 0) {
			r = err_sys(c->ctx, (int)call_result(t, call), "get_mempolicy(%#llx)",
				    (unsigned long long)mm->vmas[i]->start);
			return err_while(c->ctx, r, "reading the memory policy of %s",
					 collect_name(c, p));
		}
		if (mode != MPOL_DEFAULT) {
			r = read_policy(c, p, mm->vmas[i], mode);
			if (r < 0)
				return r;
		}
		call++;
	}
	return 0;
}

int memory_reply(struct collect *c, struct collect_process *p, Coppice__Mm *mm,
		 struct call_table *t, uint32_t first)
{
	int r;

	mm->brk = (uint64_t)call_result(t, first + ASK_BRK);
	mm->dumpable = (uint32_t)call_result(t, first + ASK_DUMPABLE);
	r = reply_future_lock(c, p, mm, t, first);
	if (r < 0)
		return r;
	r = reply_pkeys(c, mm, t, first);
	if (r < 0)
		return r;
	return kernel_has_numa() ? reply_policies(c, p, mm, t, first + ASK_POLICY) : 0;
}
