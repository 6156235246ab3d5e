/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The execution domain of each thread (personality(2)): address-space layout bits for its next exec
 * and a few differences of system calls. Set last, for READ_IMPLIES_EXEC changes what mmap() does.
 */
#include <sys/syscall.h>

#include "kind/task.h"

enum { PERSONALITY_READ = 0xffffffff }; /* changes nothing */

static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	call_add(t, "personality()", SYS_personality, CALL_IMM((uint32_t)PERSONALITY_READ));
}

static int reply_thread(struct collect *c _unused_, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	th->msg->personality = (uint32_t)call_result(t, first);
	return 0;
}

static int last_thread(struct rebuild *r _unused_, struct rebuild_thread *th, struct call_table *t)
{
	call_add(t, "personality()", SYS_personality, CALL_IMM(th->msg->personality));
	return 0;
}

const struct task_aspect aspect_personality = {
	.name = "personality",
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.last_thread = last_thread,
};
