/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that processes share copy-on-write. See memory-cow.c. */
#pragma once

#include "task/memory-batch.h"

/* The processes that @p may share pages with, nearest first. */
enum { COW_ANCESTORS = 4 };

struct cow {
	struct mm_save *save;
	size_t n;
	struct cow_ancestor {
		const struct collect_process *p;
		const Coppice__Mm *mm;
		struct pagemap *pagemap; /* owned */
		int mem;		 /* /proc/PID/mem, opened when needed; owned */
	} ancestors[COW_ANCESTORS];
	struct pagemap *own; /* owned; NULL: there is no ancestor */
	int mem;	     /* as that of ancestors */
	bool shared;	     /* a page was found to be shared with the first of them */
};

int cow_init(struct cow *cow, struct mm_save *save);
void cow_deinit(struct cow *cow);
/* Marks pages of the batch that an ancestor has as well. */
int cow_judge(struct cow *cow, struct page_batch *batch);
/* Adds the runs of pages that are an ancestor's: where that one's are stored. */
int cow_add_runs(struct cow *cow, const struct batch_run *run);
