/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

static inline int64_t raw_syscall(uint64_t nr, const uint64_t arg[6])
{
	register uint64_t x8 __asm__("x8") = nr;
	register uint64_t x0 __asm__("x0") = arg[0];
	register uint64_t x1 __asm__("x1") = arg[1];
	register uint64_t x2 __asm__("x2") = arg[2];
	register uint64_t x3 __asm__("x3") = arg[3];
	register uint64_t x4 __asm__("x4") = arg[4];
	register uint64_t x5 __asm__("x5") = arg[5];

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory", "cc");
	return (int64_t)x0;
}

/* clone3; the child does not return: it enters the made loop on @slot, on its own stack. */
static inline int64_t raw_clone(uint64_t nr, uint64_t args, uint64_t size, uint64_t slot,
				uint64_t stack)
{
	register uint64_t x8 __asm__("x8") = nr;
	register uint64_t x0 __asm__("x0") = args;
	register uint64_t x1 __asm__("x1") = size;
	register uint64_t x2 __asm__("x2") = slot;
	register uint64_t x3 __asm__("x3") = stack;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov sp, x3\n\t"
			 "mov x0, x2\n\t"
			 "mov x29, xzr\n\t"
			 "b stub_entry\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
			 : "memory", "cc");
	return (int64_t)x0;
}

/* The kernel leaves the program counter on a breakpoint: whoever swallows the signal steps over
 * it (arch_leave_break). */
static inline void raw_break(void)
{
	__asm__ volatile("brk #0" : : : "memory");
}

static inline void raw_copy(void *to, const void *from, uint64_t len)
{
	volatile unsigned char *t = to;
	const unsigned char *f = from;

	while (len--)
		*t++ = *f++;
}

static inline int raw_touch(uint64_t component)
{
	(void)component;
	return 0;
}
