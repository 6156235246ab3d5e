/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86: shadow stacks and linear address masking. A program that runs with either is refused: the
 * shadow stack pages and their pointer would have to be written through interfaces that glibc's
 * lock closes, and masked pointers would have to be taken apart wherever coppice reads addresses.
 */
#include <string.h>

#include "kind/task.h"

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	if (!strstr(th->status.x86_thread_features, "shstk"))
		return 0;
	return collect_refuse(c, "start the program without GLIBC_TUNABLES=glibc.cpu.x86_shstk",
			      "%s, thread %d: runs with a shadow stack, which is not supported",
			      collect_name(c, th->process), th->tid);
}

static int collect(struct collect *c, struct collect_process *p)
{
	if (p->zombie || p->mm_owner != p || !p->status.untag_mask_seen ||
	    p->status.untag_mask == ~UINT64_C(0))
		return 0;
	return collect_refuse(c, NULL,
			      "%s: runs with linear address masking (untag mask %#llx), which is "
			      "not supported",
			      collect_name(c, p), (unsigned long long)p->status.untag_mask);
}

const struct task_aspect aspect_shstk = {
	.name = "shadow stack",
	.collect = collect,
	.collect_thread = collect_thread,
};
