/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one set of scheduling attributes to another. The order matters: a nice value is kept by a
 * realtime task, but sched_setattr(2) sets it for fair ones alone; a SCHED_DEADLINE task's affinity
 * cannot be changed any more, and it needs all CPUs when it becomes one.
 */
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "kernel/sys.h"
#include "task/sched.h"
#include "task/surroundings.h"

static bool is_fair(uint32_t policy)
{
	return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

static bool same_affinity(const Coppice__Sched *a, const Coppice__Sched *b)
{
	return a->affinity.len == b->affinity.len &&
	       (a->affinity.len == 0 ||
		memcmp(a->affinity.data, b->affinity.data, a->affinity.len) == 0);
}

static bool same_policy(const Coppice__Sched *a, const Coppice__Sched *b)
{
	return a->policy == b->policy && a->flags == b->flags && a->priority == b->priority &&
	       a->runtime_ns == b->runtime_ns && a->deadline_ns == b->deadline_ns &&
	       a->period_ns == b->period_ns;
}

static bool same_clamps(const Coppice__Sched *a, const Coppice__Sched *b)
{
	return a->util_min == b->util_min && a->util_max == b->util_max;
}

/* No mask in the image means all CPUs; the kernel drops those that do not exist. */
static void add_affinity(struct call_table *t, const Coppice__Sched *want)
{
	uint8_t all[CPU_BYTES];
	const void *mask = want->affinity.data;
	size_t len = want->affinity.len;
	uint32_t at;

	if (len == 0) {
		memset(all, 0xff, sizeof(all));
		mask = all;
		len = sizeof(all);
	}
	at = call_space(t, mask, len);
	call_add(t, "sched_setaffinity()", SYS_sched_setaffinity, CALL_IMM(0), CALL_IMM(len),
		 CALL_DATA(at));
}

static void add_attr(struct call_table *t, const Coppice__Sched *want, bool clamps)
{
	struct sys_sched_attr attr = {
		.size = sizeof(attr),
		.policy = want->policy,
		.flags = want->flags,
		.nice = is_fair(want->policy) ? want->nice : 0,
		.priority = want->priority,
		.runtime = want->runtime_ns,
		.deadline = want->deadline_ns,
		.period = want->period_ns,
	};
	uint32_t at;

	if (clamps) {
		attr.flags |= SCHED_FLAG_UTIL_CLAMP;
		attr.util_min = want->util_min;
		attr.util_max = want->util_max;
	}
	at = call_space(t, &attr, sizeof(attr));
	call_add(t, "sched_setattr()", SYS_sched_setattr, CALL_IMM(0), CALL_DATA(at), CALL_IMM(0));
}

void sched_add(struct call_table *t, const Coppice__Sched *have, const Coppice__Sched *want)
{
	bool clamps = want->util_clamp && !same_clamps(have, want);

	if (have->nice != want->nice)
		call_add(t, "setpriority()", SYS_setpriority, CALL_IMM(PRIO_PROCESS), CALL_IMM(0),
			 CALL_IMM((int64_t)want->nice));
	if (!same_affinity(have, want))
		add_affinity(t, want);
	if (!same_policy(have, want) || clamps)
		add_attr(t, want, clamps);
}

bool sched_needs_privilege(const Coppice__Sched *have, const Coppice__Sched *want)
{
	if (want->nice < have->nice)
		return true;
	if (is_fair(want->policy))
		return false;
	return want->policy != have->policy || want->priority > have->priority;
}
