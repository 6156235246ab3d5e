/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switches of single threads that prctl(2) sets: whether the time-stamp counter may be read,
 * whether a memory error kills early or late, and whether the thread is part of an I/O path
 * (PR_SET_IO_FLUSHER). Stubs inherit the coordinator's.
 *
 * PR_GET_IO_FLUSHER asks for CAP_SYS_RESOURCE, so that one is read off the task's flags.
 */
#include <linux/capability.h>
#include <linux/prctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kind/task.h"
#include "task/stub.h"

/* include/linux/sched.h: what PR_SET_IO_FLUSHER sets, both at once */
enum { PF_MEMALLOC_NOIO = 0x00080000, PF_LOCAL_THROTTLE = 0x00100000 };

enum { ASK_TSC, ASK_MCE };

static int collect_thread(struct collect *c _unused_, struct collect_thread *th)
{
	const uint64_t both = PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE;

	th->msg->io_flusher = (th->stat.flags & both) == both;
	return 0;
}

/* Only some architectures have a TSC mode. */
static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	uint32_t at = call_space(t, NULL, sizeof(uint64_t));

	call_expect_any(t, call_add(t, "prctl(PR_GET_TSC)", SYS_prctl, CALL_IMM(PR_GET_TSC),
				    CALL_DATA(at)));
	call_add(t, "prctl(PR_MCE_KILL_GET)", SYS_prctl, CALL_IMM(PR_MCE_KILL_GET));
}

static int reply_thread(struct collect *c _unused_, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	const int *tsc = call_arg_bytes(t, first + ASK_TSC, 1);

	th->msg->tsc_mode = call_result(t, first + ASK_TSC) < 0 ? 0 : (uint32_t)*tsc;
	th->msg->mce_kill = (int32_t)call_result(t, first + ASK_MCE);
	return 0;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	const struct stub_origin *origin;
	int rc = stub_origin(r, &origin);

	if (rc < 0 || origin->creds.cap_effective >> CAP_SYS_RESOURCE & 1)
		return rc;
	for (size_t i = 0; i < p->msg->n_threads && rc >= 0; i++)
		if (p->msg->threads[i]->io_flusher)
			rc = rebuild_refuse(r, "give coppice CAP_SYS_RESOURCE",
					    "%s, thread %d: cannot be made an I/O flusher",
					    rebuild_name(r, p), p->msg->threads[i]->tid[0]);
	return rc;
}

static uint32_t own_tsc_mode(void)
{
	int mode = 0;

	return prctl(PR_GET_TSC, &mode) < 0 ? 0 : (uint32_t)mode;
}

static int last_thread(struct rebuild *r _unused_, struct rebuild_thread *th, struct call_table *t)
{
	const Coppice__Thread *msg = th->msg;

	if (msg->tsc_mode != own_tsc_mode())
		call_add(t, "prctl(PR_SET_TSC)", SYS_prctl, CALL_IMM(PR_SET_TSC),
			 CALL_IMM(msg->tsc_mode));
	if (msg->mce_kill != prctl(PR_MCE_KILL_GET, 0, 0, 0, 0))
		call_add(t, "prctl(PR_MCE_KILL)", SYS_prctl, CALL_IMM(PR_MCE_KILL),
			 CALL_IMM(PR_MCE_KILL_SET), CALL_IMM(msg->mce_kill));
	if (msg->io_flusher)
		call_add(t, "prctl(PR_SET_IO_FLUSHER)", SYS_prctl, CALL_IMM(PR_SET_IO_FLUSHER),
			 CALL_IMM(1));
	return 0;
}

const struct task_aspect aspect_prctl = {
	.name = "prctl switches",
	.collect_thread = collect_thread,
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.check = check,
	.last_thread = last_thread,
};
