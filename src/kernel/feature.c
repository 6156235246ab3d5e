/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/feature.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/membarrier.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/pagemap.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "kernel/uapi.h"
#include "util/cleanup.h"
#include "util/macro.h"

static int probe_kcmp(void)
{
	return sys_kcmp(getpid(), getpid(), KCMP_VM, 0, 0) == 0;
}

static int probe_proc_children(void)
{
	return access("/proc/thread-self/children", R_OK) == 0;
}

/* Opens our own pagemap; the caller closes it. */
static int open_own_pagemap(struct pagemap *ret)
{
	_cleanup_close_ int proc_fd = -EBADF;
	int r;

	r = proc_open(getpid(), &proc_fd);
	if (r < 0)
		return r;
	return pagemap_open(proc_fd, ret);
}

static int probe_scannable(uint64_t categories)
{
	_cleanup_(pagemap_close) struct pagemap pagemap = {.fd = -EBADF};
	int r;

	r = open_own_pagemap(&pagemap);
	if (r < 0)
		return r;
	return (pagemap.scannable & categories) == categories;
}

static int probe_pagemap_scan(void)
{
	return probe_scannable(PAGE_IS_PRESENT);
}

static int probe_pagemap_guard(void)
{
	return probe_scannable(PAGE_IS_GUARD);
}

/*
 * The flag that such a mapping has in smaps, and keeps. Only the first few mappings are looked at: to
 * tell of our own heap takes the kernel as long as of a whole small process.
 */
static int flags_guard(const char *page)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	_cleanup_close_ int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	struct proc_map *maps = NULL;
	char text[2048];
	size_t n = 0;
	ssize_t len;
	int r;

	arena_init(&arena, NULL);
	len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (len <= 0)
		return len < 0 ? -errno : -ENODATA;
	/* What is cut off belongs to a mapping behind ours. */
	while (len > 0 && text[len - 1] != '\n')
		len--;
	text[len] = '\0';
	r = parse_maps(text, &arena, &maps, &n);
	for (size_t i = 0; r == 0 && i + 1 < n; i++)
		if (maps[i].start == (uintptr_t)page)
			return (maps[i].flags & VMF_GUARD) != 0;
	return r;
}

static int with_guard(int (*look)(const char *page))
{
	void *const low = (void *)0x10000; /* asked for: before all other mappings */
	size_t len = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(low, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r;

	if (page == MAP_FAILED)
		return -errno;
	r = madvise(page, len, MADV_GUARD_INSTALL) == 0;
	if (r && look)
		r = look(page);
	(void)munmap(page, len); /* a page of our own */
	return r;
}

static int probe_smaps_guard(void)
{
	return with_guard(flags_guard);
}

/* Page frame numbers read 0 without CAP_SYS_ADMIN; the page of a local variable is present. */
static int probe_pagemap_pfn(void)
{
	_cleanup_(pagemap_close) struct pagemap pagemap = {.fd = -EBADF};
	uint64_t entry = 0;
	int r;

	r = open_own_pagemap(&pagemap);
	if (r < 0)
		return r;
	r = pagemap_read(&pagemap, (uint64_t)(uintptr_t)&entry, 1, &entry);
	if (r < 0)
		return r;
	return pagemap_entry_pfn(entry) != 0;
}

static int probe_madv_guard(void)
{
	return with_guard(NULL);
}

/* Sealing nothing succeeds where the call exists. */
static int probe_mseal(void)
{
	return syscall(__NR_mseal, 0, 0, 0) == 0;
}

static int probe_membarrier_registrations(void)
{
	return syscall(__NR_membarrier, UAPI_MEMBARRIER_GET_REGISTRATIONS, 0, 0) >= 0;
}

static int probe_mdwe(void)
{
	return prctl(PR_GET_MDWE, 0, 0, 0, 0) >= 0;
}

static int probe_memory_merge(void)
{
	return prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) >= 0;
}

static int probe_timer_restore_ids(void)
{
	return prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) >= 0;
}

/* Setting the clamps that one has: refused as a whole by a kernel built without them. */
static int probe_util_clamp(void)
{
	struct sys_sched_attr attr;
	int r;

	r = sys_sched_getattr(0, &attr);
	if (r < 0)
		return r;
	attr.flags = SCHED_FLAG_KEEP_ALL | SCHED_FLAG_UTIL_CLAMP;
	return sys_sched_setattr(0, &attr) == 0;
}

/* EINVAL: not built in. ENODEV: built in, but no processor with more than one thread per core, so
 * that nobody can have a cookie. */
static int probe_core_sched(void)
{
	uint64_t cookie;

	return prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, PR_SCHED_CORE_SCOPE_THREAD, &cookie) == 0;
}

static int probe_landlock(void)
{
	return syscall(__NR_landlock_create_ruleset, NULL, 0, 1 /* version */) > 0;
}

static const struct {
	const char *name;
	const char *without;
	int (*probe)(void);
} features[FEATURES] = {
	[FEATURE_KCMP] = {"kcmp", "what processes share cannot be seen: dumps are refused",
			  probe_kcmp},
	[FEATURE_PROC_CHILDREN] = {"/proc/PID/task/TID/children",
				   "children are found by reading all of /proc",
				   probe_proc_children},
	[FEATURE_PAGEMAP_SCAN] = {"PAGEMAP_SCAN ioctl",
				  "page tables are read entry by entry, which is slow for large "
				  "empty mappings",
				  probe_pagemap_scan},
	[FEATURE_PAGEMAP_GUARD] = {"PAGEMAP_SCAN of guard regions",
				   "guard regions are found by /proc/PID/pagemap",
				   probe_pagemap_guard},
	[FEATURE_SMAPS_GUARD] = {"guard regions in VmFlags",
				 "all mappings are searched for guard regions", probe_smaps_guard},
	[FEATURE_PAGEMAP_PFN] = {"page frame numbers in /proc/PID/pagemap",
				 "pages shared copy-on-write are found by comparing their content",
				 probe_pagemap_pfn},
	[FEATURE_MADV_GUARD] = {"MADV_GUARD_INSTALL",
				"images with guard regions cannot be restored", probe_madv_guard},
	[FEATURE_MSEAL] = {"mseal", "images with sealed mappings cannot be restored", probe_mseal},
	[FEATURE_MEMBARRIER_REGISTRATIONS] = {"MEMBARRIER_CMD_GET_REGISTRATIONS",
					      "membarrier registrations cannot be seen",
					      probe_membarrier_registrations},
	[FEATURE_MDWE] = {"PR_SET_MDWE", "there is no such protection to lose", probe_mdwe},
	[FEATURE_MEMORY_MERGE] = {"PR_SET_MEMORY_MERGE",
				  "images with process-wide page merging cannot be restored",
				  probe_memory_merge},
	[FEATURE_TIMER_RESTORE_IDS] =
		{"PR_TIMER_CREATE_RESTORE_IDS",
		 "POSIX timers get their numbers by creating timers up to them",
		 probe_timer_restore_ids},
	[FEATURE_UTIL_CLAMP] = {"utilization clamps",
				"images with utilization clamps cannot be restored",
				probe_util_clamp},
	[FEATURE_CORE_SCHED] = {"core scheduling", "there are no cookies to lose",
				probe_core_sched},
	[FEATURE_LANDLOCK] = {"Landlock", "there are no domains to lose", probe_landlock},
};

const char *feature_name(enum feature feature)
{
	assert(feature < FEATURES);
	return features[feature].name;
}

const char *feature_without(enum feature feature)
{
	assert(feature < FEATURES);
	return features[feature].without;
}

int feature_probe(enum feature feature)
{
	assert(feature < FEATURES);
	return features[feature].probe();
}
