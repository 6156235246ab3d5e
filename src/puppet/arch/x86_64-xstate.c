/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86-64: the XSAVE area in the standard format. Its layout is the CPU's, told by CPUID leaf 0xd;
 * programs may use what is enabled in XCR0.
 *
 * Tile data (AMX) is one of the components that take permission (arch_prctl(2)), once per process
 * and inherited.
 */
#include "puppet/arch-xstate.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef ARCH_GET_XCOMP_PERM
#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023
#endif

enum {
	XSAVE_LEAF = 0xd,
	OSXSAVE_BIT = 1 << 27, /* CPUID(1).ecx */
	FIRST_EXTENDED = 2,    /* x87 and SSE are always there */
	TILE_DATA = 18,
	LEGACY_AND_HEADER = 576,
	XSTATE_BV_AT = 512,
};

struct place {
	uint32_t offset;
	uint32_t size;
};

/* What the CPU tells of its XSAVE area. */
struct layout {
	bool known;
	uint64_t features; /* 0 on a CPU without XSAVE */
	size_t size;
	struct place places[ARCH_XSTATE_COMPONENTS];
};

static uint64_t read_features(void)
{
	uint32_t a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE_BIT))
		return 0;
	__asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return (uint64_t)d << 32 | a;
}

static void read_layout(struct layout *l)
{
	uint32_t a, b, c, d;

	l->known = true;
	l->features = read_features();
	if (!l->features)
		return;
	__cpuid_count(XSAVE_LEAF, 0, a, b, c, d);
	l->size = b;
	for (unsigned int i = FIRST_EXTENDED; i < ARCH_XSTATE_COMPONENTS; i++) {
		if (!(l->features >> i & 1))
			continue;
		__cpuid_count(XSAVE_LEAF, i, a, b, c, d);
		l->places[i] = (struct place){.offset = b, .size = a};
	}
}

/*
 * Constants of the machine, read once: in a virtual machine each CPUID is an exit to the
 * hypervisor, some 20 us, and every task would take a dozen.
 */
static const struct layout *layout(void)
{
	static struct layout constants;

	if (!constants.known)
		read_layout(&constants);
	return &constants;
}

uint64_t arch_xstate_features(void)
{
	return layout()->features;
}

size_t arch_xstate_size(void)
{
	return layout()->size;
}

void arch_xstate_place(unsigned int i, uint32_t *ret_offset, uint32_t *ret_size)
{
	const struct place *place = &layout()->places[i];

	*ret_offset = place->offset;
	*ret_size = place->size;
}

uint64_t arch_xstate_used(const void *xstate, size_t len)
{
	uint64_t used = 0;

	if (len >= LEGACY_AND_HEADER)
		memcpy(&used, (const char *)xstate + XSTATE_BV_AT, sizeof(used));
	return used;
}

/* The kernel gives zeros for what is not in use. CPUID would tell where components end, but it is
 * slow in a virtual machine. */
size_t arch_xstate_trim(const void *xstate, size_t len)
{
	uint64_t word;

	for (; len > LEGACY_AND_HEADER; len -= sizeof(word)) {
		memcpy(&word, (const char *)xstate + len - sizeof(word), sizeof(word));
		if (word)
			break;
	}
	return len;
}

/* Kernels and CPUs without such components have no such call. */
void arch_ask_permission(struct call_table *t)
{
	uint32_t at = call_space(t, NULL, sizeof(uint64_t));

	call_expect_any(t, call_add(t, "arch_prctl(ARCH_GET_XCOMP_PERM)", SYS_arch_prctl,
				    CALL_IMM(ARCH_GET_XCOMP_PERM), CALL_DATA(at)));
}

uint64_t arch_permission(struct call_table *t, uint32_t first)
{
	const uint64_t *permission = call_arg_bytes(t, first, 1);

	return call_result(t, first) == 0 ? *permission : 0;
}

void arch_request_permission(struct call_table *t, uint64_t want)
{
	uint64_t have = 0;

	if (syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &have) < 0)
		return;
	for (unsigned int i = 0; i < ARCH_XSTATE_COMPONENTS; i++)
		/* Asking for the last of several that belong together gives all of them. */
		if ((want & ~have) >> i & 1 && !((want & ~have) >> i >> 1 & 1))
			call_add(t, "arch_prctl(ARCH_REQ_XCOMP_PERM)", SYS_arch_prctl,
				 CALL_IMM(ARCH_REQ_XCOMP_PERM), CALL_IMM(i));
}

/* The kernel has room for tile data only in tasks that have used some. */
void arch_request_room(struct call_table *t, uint64_t used)
{
	if (used >> TILE_DATA & 1)
		call_add(t, "using tile data", CALL_OP_TOUCH, CALL_IMM(TILE_DATA));
}
