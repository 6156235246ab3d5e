/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NUMA memory policy of each thread (set_mempolicy(2)); those of single mappings belong to the
 * address space. Where pages lie is not kept: a restored program's memory was allocated by its
 * stubs. The interleave position cannot be read.
 */
#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kind/task.h"

/* More than any kernel has; set_mempolicy takes one less than it is told. */
enum { NODES_MAX = 1024, NODE_BYTES = NODES_MAX / 8 + 8 };

enum { MODE_FLAGS = 0xe000 }; /* MPOL_F_STATIC_NODES, _RELATIVE_NODES, _NUMA_BALANCING */

static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	uint32_t mode = call_space(t, NULL, sizeof(uint64_t));
	uint32_t nodes = call_space(t, NULL, NODE_BYTES);

	/* -ENOSYS: a kernel without NUMA */
	call_expect_any(t, call_add(t, "get_mempolicy()", SYS_get_mempolicy, CALL_DATA(mode),
				    CALL_DATA(nodes), CALL_IMM(NODES_MAX)));
}

static int fill(struct collect *c, Coppice__MemPolicy *policy, int mode, const uint8_t *nodes)
{
	size_t len = NODES_MAX / 8;

	policy->mode = mode & ~MODE_FLAGS;
	policy->flags = (uint32_t)mode & MODE_FLAGS;
	while (len > 0 && nodes[len - 1] == 0)
		len--;
	if (len == 0)
		return 0;
	policy->nodes.data = arena_memdup(c->arena, nodes, len);
	if (!policy->nodes.data)
		return err_oom(c->ctx);
	policy->nodes.len = len;
	return 0;
}

static int reply_thread(struct collect *c, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	const int *mode = call_arg_bytes(t, first, 0);
	int64_t result = call_result(t, first);

	if (result == -ENOSYS)
		return 0;
	if (result < 0)
		return err_sys(c->ctx, (int)result, "get_mempolicy()");
	if (*mode == MPOL_DEFAULT)
		return 0;
	th->msg->mem_policy = arena_new(c->arena, Coppice__MemPolicy);
	if (!th->msg->mem_policy)
		return err_oom(c->ctx);
	coppice__mem_policy__init(th->msg->mem_policy);
	return fill(c, th->msg->mem_policy, *mode, call_arg_bytes(t, first, 1));
}

static bool coordinator_has_policy(void)
{
	int mode = MPOL_DEFAULT;

	return syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 && mode != MPOL_DEFAULT;
}

static int last_thread(struct rebuild *r, struct rebuild_thread *th, struct call_table *t)
{
	const Coppice__MemPolicy *policy = th->msg->mem_policy;
	uint8_t nodes[NODE_BYTES] = {0};
	uint32_t at;

	if (!policy) {
		if (coordinator_has_policy())
			call_add(t, "set_mempolicy(MPOL_DEFAULT)", SYS_set_mempolicy,
				 CALL_IMM(MPOL_DEFAULT));
		return 0;
	}
	if (policy->nodes.len > sizeof(nodes))
		return err_msg(r->ctx, -EBADMSG, "a memory policy of %zu bytes of nodes",
			       policy->nodes.len);
	if (policy->nodes.len > 0)
		memcpy(nodes, policy->nodes.data, policy->nodes.len);
	at = call_space(t, nodes, sizeof(nodes));
	/* A policy without nodes must be given none. */
	call_add(t, "set_mempolicy()", SYS_set_mempolicy,
		 CALL_IMM((uint32_t)policy->mode | policy->flags),
		 policy->nodes.len > 0 ? CALL_DATA(at) : CALL_IMM(0),
		 CALL_IMM(policy->nodes.len > 0 ? NODES_MAX + 1 : 0));
	return 0;
}

const struct task_aspect aspect_mempolicy = {
	.name = "memory policy",
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.last_thread = last_thread,
};
