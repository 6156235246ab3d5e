/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registrations of an address space with membarrier(2): which barriers its threads take part in,
 * and which it may use without EPERM.
 *
 * Before MEMBARRIER_CMD_GET_REGISTRATIONS the private registrations show by whether the barrier
 * itself is permitted, which harms nobody; that for global expedited barriers does not show.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/feature.h"
#include "kernel/uapi.h"
#include "kind/task.h"

static const struct {
	int barrier; /* refused with EPERM unless registered */
	int registration;
} private_barriers[] = {
	{MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED},
	{MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
	 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE},
	{MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ},
};

static void ask_barrier(struct call_table *t, const char *what, int command)
{
	call_expect_any(t, call_add(t, what, SYS_membarrier, CALL_IMM(command)));
}

static void ask(struct collect *c _unused_, struct collect_process *p, struct call_table *t)
{
	if (p->mm_owner != p)
		return;
	ask_barrier(t, "membarrier(GET_REGISTRATIONS)", UAPI_MEMBARRIER_GET_REGISTRATIONS);
	if (feature_probe(FEATURE_MEMBARRIER_REGISTRATIONS) == 1)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(private_barriers); i++)
		ask_barrier(t, "membarrier(PRIVATE_EXPEDITED...)", private_barriers[i].barrier);
}

static int reply(struct collect *c, struct collect_process *p, struct call_table *t, uint32_t first)
{
	Coppice__Mm *mm;

	if (p->mm_owner != p)
		return 0;
	mm = c->cp->mms[p->msg->mm - 1];
	if (call_result(t, first) >= 0) {
		mm->membarrier = (uint32_t)call_result(t, first);
		return 0;
	}
	if (feature_probe(FEATURE_MEMBARRIER_REGISTRATIONS) == 1)
		return err_sys(c->ctx, (int)call_result(t, first), "membarrier(GET_REGISTRATIONS)");
	for (size_t i = 0; i < ARRAY_SIZE(private_barriers); i++)
		if (call_result(t, first + 1 + (uint32_t)i) == 0)
			mm->membarrier |= (uint32_t)private_barriers[i].registration;
	return 0;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	long known = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	uint32_t missing;

	if (!p->mm || !p->owns_mm)
		return 0;
	missing = p->mm->membarrier & ~(known < 0 ? 0 : (uint32_t)known);
	return missing ? rebuild_refuse(r, NULL,
					"%s: this kernel lacks the membarrier registrations %#x",
					rebuild_name(r, p), missing)
		       : 0;
}

/* Each registration is a bit, and that bit is its command. */
static int install(struct rebuild *r _unused_, struct rebuild_process *p, struct call_table *t)
{
	uint32_t left = p->owns_mm ? p->mm->membarrier : 0;

	for (; left; left &= left - 1)
		call_add(t, "membarrier(REGISTER...)", SYS_membarrier, CALL_IMM(left & -left));
	return 0;
}

const struct task_aspect aspect_membarrier = {
	.name = "membarrier registrations",
	.ask = ask,
	.reply = reply,
	.check = check,
	.install = install,
};
