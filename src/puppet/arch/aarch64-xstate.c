/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AArch64: the block is a sequence of register sets, each as the kernel gives it; there is nothing
 * to trim, and nothing to ask for.
 */
#include "puppet/arch-xstate.h"

uint64_t arch_xstate_features(void)
{
	return 0;
}

size_t arch_xstate_size(void)
{
	return 0;
}

void arch_xstate_place(unsigned int i, uint32_t *ret_offset, uint32_t *ret_size)
{
	(void)i;
	*ret_offset = 0;
	*ret_size = 0;
}

uint64_t arch_xstate_used(const void *xstate, size_t len)
{
	(void)xstate;
	(void)len;
	return 0;
}

size_t arch_xstate_trim(const void *xstate, size_t len)
{
	(void)xstate;
	return len;
}

void arch_ask_permission(struct call_table *t)
{
	(void)t;
}

uint64_t arch_permission(struct call_table *t, uint32_t first)
{
	(void)t;
	(void)first;
	return 0;
}

void arch_request_permission(struct call_table *t, uint64_t want)
{
	(void)t;
	(void)want;
}

void arch_request_room(struct call_table *t, uint64_t used)
{
	(void)t;
	(void)used;
}
