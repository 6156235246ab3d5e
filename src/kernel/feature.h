/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel can do, found out by trying it in a way that changes nothing. No kernel version
 * is looked at anywhere: distributions carry features backwards, and configurations leave them out.
 */
#pragma once

enum feature {
	FEATURE_KCMP,
	FEATURE_PROC_CHILDREN,
	FEATURE_PAGEMAP_SCAN,
	FEATURE_PAGEMAP_GUARD,
	FEATURE_SMAPS_GUARD,
	FEATURE_PAGEMAP_PFN,
	FEATURE_MADV_GUARD,
	FEATURE_MSEAL,
	FEATURE_MEMBARRIER_REGISTRATIONS,
	FEATURE_MDWE,
	FEATURE_MEMORY_MERGE,
	FEATURE_TIMER_RESTORE_IDS,
	FEATURE_UTIL_CLAMP,
	FEATURE_CORE_SCHED,
	FEATURE_LANDLOCK,
	FEATURES,
};

/* "PAGEMAP_SCAN ioctl" */
const char *feature_name(enum feature feature);
/* What follows where it is missing: "page tables are read entry by entry" */
const char *feature_without(enum feature feature);
/* 1: there; 0: not there (or not permitted to us); -errno: could not be found out. */
int feature_probe(enum feature feature);
