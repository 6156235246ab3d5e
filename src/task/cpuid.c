/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID faulting of each thread (x86: arch_prctl(ARCH_SET_CPUID)): the CPUID instruction raises
 * SIGSEGV, so that a supervisor can emulate another CPU.
 */
#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kind/task.h"

#ifndef ARCH_GET_CPUID
#define ARCH_GET_CPUID 0x1011
#define ARCH_SET_CPUID 0x1012
#endif

static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	call_add(t, "arch_prctl(ARCH_GET_CPUID)", SYS_arch_prctl, CALL_IMM(ARCH_GET_CPUID));
}

/* The call says whether the instruction works. */
static int reply_thread(struct collect *c _unused_, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	th->msg->cpuid_faulting = call_result(t, first) == 0;
	return 0;
}

/* Setting what one has changes nothing; -ENODEV says that the CPU has no such feature. */
static bool is_supported(void)
{
	long works = syscall(SYS_arch_prctl, ARCH_GET_CPUID, 0);

	return works >= 0 && syscall(SYS_arch_prctl, ARCH_SET_CPUID, works) == 0;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	int rc = 0;

	for (size_t i = 0; i < p->msg->n_threads && rc >= 0; i++)
		if (p->msg->threads[i]->cpuid_faulting && !is_supported())
			rc = rebuild_refuse(r, NULL,
					    "%s, thread %d: has CPUID faulting switched on, which "
					    "this CPU does not offer",
					    rebuild_name(r, p), p->msg->threads[i]->tid[0]);
	return rc;
}

/* Stubs have it off: execve clears it. */
static int last_thread(struct rebuild *r _unused_, struct rebuild_thread *th, struct call_table *t)
{
	if (th->msg->cpuid_faulting)
		call_add(t, "arch_prctl(ARCH_SET_CPUID)", SYS_arch_prctl, CALL_IMM(ARCH_SET_CPUID),
			 CALL_IMM(0));
	return 0;
}

const struct task_aspect aspect_cpuid = {
	.name = "CPUID faulting",
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.check = check,
	.last_thread = last_thread,
};
