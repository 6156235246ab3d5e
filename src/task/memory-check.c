/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before anything is made: what of the image's address spaces this machine cannot give. Features of
 * the kernel and processor, the number of mappings, huge pages, and memory itself: what is needed
 * is known to the page, so a restore does not start that would end in the OOM killer.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/feature.h"
#include "task/memory-vdso.h"
#include "task/memory-vma.h"
#include "task/memory.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { SHIFTS = 64 };

/* What all address spaces together ask for. */
struct needs {
	uint64_t bytes;		     /* of pages that have content */
	uint64_t huge_bytes[SHIFTS]; /* of huge pages, by log2 of their size */
	size_t most_vmas;	     /* in one address space */
	bool seal, guard, key, name, policy, droppable;
};

static void add_vma_needs(const Coppice__Vma *vma, struct needs *needs)
{
	if (vma->hugetlb_shift != 0 && !vma_has_inode(vma) && !(vma->flags & MAP_NORESERVE))
		needs->huge_bytes[vma->hugetlb_shift % SHIFTS] += vma->end - vma->start;
	needs->seal |= vma->sealed;
	needs->key |= vma->pkey != 0;
	needs->policy |= vma->policy != NULL;
	needs->name |= vma->name[0] != '\0' && vma->kind != COPPICE__VMA_KIND__VMA_KIND_VDSO &&
		       vma->kind != COPPICE__VMA_KIND__VMA_KIND_OWNED &&
		       vma->kind != COPPICE__VMA_KIND__VMA_KIND_VSYSCALL;
	needs->droppable |= (vma->advice & COPPICE__VMA_ADVICE__VMA_ADVICE_DROPPABLE) != 0;
}

static void add_run_needs(const Coppice__PageRun *run, uint32_t page_size, struct needs *needs)
{
	if (!run->shared)
		needs->bytes += run->pages * page_size;
}

static void find_needs(const Coppice__Checkpoint *cp, struct needs *needs)
{
	uint32_t page_size = cp->origin->page_size;

	for (size_t i = 0; i < cp->n_mms; i++) {
		const Coppice__Mm *mm = cp->mms[i];

		needs->most_vmas = MAX(needs->most_vmas, mm->n_vmas);
		needs->guard |= mm->n_guards > 0;
		needs->key |= mm->n_pkeys_allocated > 0;
		for (size_t k = 0; k < mm->n_vmas; k++)
			add_vma_needs(mm->vmas[k], needs);
		for (size_t k = 0; k < mm->n_pages; k++)
			add_run_needs(mm->pages[k], page_size, needs);
	}
	for (size_t i = 0; i < cp->n_inodes; i++)
		for (size_t k = 0; k < cp->inodes[i]->n_content; k++)
			add_run_needs(cp->inodes[i]->content[k], page_size, needs);
}

/* ---- features ------------------------------------------------------------------------------ */

static bool has_keys(void)
{
	long key = syscall(SYS_pkey_alloc, 0, 0);

	if (key < 0)
		return false;
	(void)syscall(SYS_pkey_free, key); /* it was ours a moment ago */
	return true;
}

static bool has_names(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool has = p != MAP_FAILED && prctl(0x53564d41 /* PR_SET_VMA */, 0, p, page, "x") == 0;

	if (p != MAP_FAILED)
		(void)munmap(p, page);
	return has;
}

static bool has_policies(void)
{
	return syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0) == 0;
}

static bool has_droppable(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_READ, 0x08 /* MAP_DROPPABLE */ | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return false;
	(void)munmap(p, page);
	return true;
}

static bool has_seal(void)
{
	return feature_probe(FEATURE_MSEAL) > 0;
}

static bool has_guard(void)
{
	return feature_probe(FEATURE_MADV_GUARD) > 0;
}

static int check_features(struct rebuild *r, const struct needs *needs)
{
	const struct {
		bool needed;
		bool (*has)(void);
		const char *what;
	} features[] = {
		{needs->seal, has_seal, "sealed mappings (mseal)"},
		{needs->guard, has_guard, "guard regions (MADV_GUARD_INSTALL)"},
		{needs->key, has_keys, "memory protection keys (pkey_alloc)"},
		{needs->name, has_names, "names of anonymous memory (PR_SET_VMA_ANON_NAME)"},
		{needs->policy, has_policies, "NUMA memory policies (mbind)"},
		{needs->droppable, has_droppable, "droppable memory (MAP_DROPPABLE)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		int ret;

		if (!features[i].needed || features[i].has())
			continue;
		ret = rebuild_refuse(r, NULL,
				     "the programs use %s, which this machine or kernel lacks",
				     features[i].what);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* ---- amounts ------------------------------------------------------------------------------- */

/* A number in a file, or 0. */
static uint64_t read_number(const char *path)
{
	_cleanup_free_ char *text = NULL;

	return io_read_file(AT_FDCWD, path, &text, NULL) == 0 ? strtoull(text, NULL, 10) : 0;
}

static int check_vmas(struct rebuild *r, const struct needs *needs)
{
	enum { STUB_VMAS = 4 }; /* the area, while it is there */
	uint64_t most = read_number("/proc/sys/vm/max_map_count");

	if (most == 0 || needs->most_vmas + STUB_VMAS <= most)
		return 0;
	return rebuild_refuse(r, "raise the sysctl vm.max_map_count",
			      "a process has %zu mappings, and this machine allows %" PRIu64,
			      needs->most_vmas, most);
}

static int check_huge_pages(struct rebuild *r, const struct needs *needs)
{
	for (unsigned int shift = 0; shift < SHIFTS; shift++) {
		uint64_t pages = needs->huge_bytes[shift] >> shift;
		uint64_t kb = (UINT64_C(1) << shift) / 1024;
		char path[128];
		int ret;

		if (pages == 0)
			continue;
		(void)snprintf(path, sizeof(path),
			       "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/free_hugepages",
			       kb);
		if (read_number(path) >= pages)
			continue;
		ret = rebuild_refuse(r, "raise the sysctl vm.nr_hugepages",
				     "%" PRIu64 " huge pages of %" PRIu64
				     " kB are needed, and %" PRIu64 " are free",
				     pages, kb, read_number(path));
		if (ret < 0)
			return ret;
	}
	return 0;
}

static uint64_t available_memory(void)
{
	_cleanup_free_ char *text = NULL;
	const char *line;

	if (io_read_file(AT_FDCWD, "/proc/meminfo", &text, NULL) < 0)
		return UINT64_MAX;
	line = strstr(text, "MemAvailable:");
	return line ? strtoull(line + strlen("MemAvailable:"), NULL, 10) * 1024 : UINT64_MAX;
}

static int check_amount(struct rebuild *r, const struct needs *needs)
{
	uint64_t available = available_memory();

	if (needs->bytes <= available)
		return 0;
	return rebuild_refuse(r, "free some memory first",
			      "the programs have %" PRIu64 " MiB of memory, and %" PRIu64
			      " MiB are available",
			      needs->bytes >> 20, available >> 20);
}

int memory_check(struct rebuild *r)
{
	struct needs needs = {};
	int ret;

	find_needs(r->cp, &needs);
	ret = vdso_check(r);
	if (ret == 0)
		ret = check_features(r, &needs);
	if (ret == 0)
		ret = check_vmas(r, &needs);
	if (ret == 0)
		ret = check_huge_pages(r, &needs);
	return ret < 0 ? ret : check_amount(r, &needs);
}
