/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that processes share copy-on-write. See memory-cow.c. */
#pragma once

#include "kernel/pagemap.h"
#include "task/memory-batch.h"

/* The processes that one may share pages with, nearest first. */
enum { COW_ANCESTORS = 4 };

struct cow_ancestor {
	const struct collect_process *p; /* NULL: none yet */
	const Coppice__Mm *mm;
	struct pagemap pagemap; /* owned */
	int mem;		/* /proc/PID/mem, opened when needed; owned */
};

struct cow {
	struct mm_save *save; /* the address space under way */
	size_t n;
	struct cow_ancestor ancestors[COW_ANCESTORS]; /* siblings have the same ones */
	int mem;				      /* as that of ancestors */
	bool shared; /* a page was found to be shared with the first of them */
	/* An ancestor's entries for the pages of a batch, before and after those are read. */
	uint64_t before[BATCH_PAGES];
	uint64_t after[BATCH_PAGES];
};

void cow_init(struct cow *cow);
void cow_deinit(struct cow *cow);
/* The address space that comes next. */
int cow_begin(struct cow *cow, struct mm_save *save);
/* Marks pages of the batch that an ancestor has as well. */
int cow_judge(struct cow *cow, struct page_batch *batch);
/* Adds the runs of pages that are an ancestor's: where that one's are stored. */
int cow_add_runs(struct cow *cow, const struct batch_run *run);
