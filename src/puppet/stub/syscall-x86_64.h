/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

static inline int64_t raw_syscall(uint64_t nr, const uint64_t arg[6])
{
	register uint64_t r10 __asm__("r10") = arg[3];
	register uint64_t r8 __asm__("r8") = arg[4];
	register uint64_t r9 __asm__("r9") = arg[5];
	int64_t result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(arg[0]), "S"(arg[1]), "d"(arg[2]), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* clone3; the child does not return: it enters the made loop on @slot, on its own stack. */
static inline int64_t raw_clone(uint64_t nr, uint64_t args, uint64_t size, uint64_t slot,
				uint64_t stack)
{
	register uint64_t r12 __asm__("r12") = slot;
	register uint64_t r13 __asm__("r13") = stack;
	int64_t result;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "mov %%r13, %%rsp\n\t"
			 "mov %%r12, %%rdi\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "jmp stub_entry\n"
			 "1:"
			 : "=a"(result)
			 : "a"(nr), "D"(args), "S"(size), "r"(r12), "r"(r13)
			 : "rcx", "r11", "memory", "cc");
	return result;
}

static inline void raw_break(void)
{
	__asm__ volatile("int3" : : : "memory");
}

static inline void raw_copy(void *to, const void *from, uint64_t len)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

/* Tile data (AMX): one tile of one row is configured, cleared, and everything released again. */
static inline int raw_touch(uint64_t component)
{
	enum { TILE_DATA = 18, PALETTE_AND_START = 0, COLUMNS_OF_TILE_0 = 2, ROWS_OF_TILE_0 = 6 };
	uint64_t config[8];

	if (component != TILE_DATA)
		return 0;
	for (int i = 0; i < 8; i++)
		config[i] = i == PALETTE_AND_START || i == ROWS_OF_TILE_0 ? 1
			    : i == COLUMNS_OF_TILE_0			  ? 64
									  : 0;
	__asm__ volatile("ldtilecfg %0\n\t"
			 "tilezero %%tmm0\n\t"
			 "tilerelease"
			 :
			 : "m"(config)
			 : "memory");
	return 1;
}
