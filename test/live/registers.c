/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers: threads that keep values in them, in user mode and asleep in a system call, while
 * they are dumped. Vector registers as far as this CPU has them.
 */
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "live.h"
#include "util/macro.h"

#ifdef __x86_64__
#include <asm/prctl.h>

static volatile int stop;
static volatile int on; /* a thread has filled its registers */

static bool is_on(void)
{
	return on != 0;
}

struct vector {
	_Alignas(64) unsigned char bytes[64];
};

static struct vector patterns[4];

static void fill_patterns(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		for (size_t k = 0; k < sizeof(patterns[i].bytes); k++)
			patterns[i].bytes[k] = (unsigned char)(i * 64 + k + 1);
}

/* Spins without touching the registers that it has filled, then looks at them. */
__attribute__((target("avx512f"))) static void spin_avx512(struct vector out[4])
{
	__asm__ volatile("vmovdqu64 %[a], %%zmm1\n\t"
			 "vmovdqu64 %[b], %%zmm15\n\t"
			 "vmovdqu64 %[c], %%zmm16\n\t"
			 "vmovdqu64 %[d], %%zmm31\n\t"
			 "movl $1, %[on]\n"
			 "1:	cmpl $0, %[stop]\n\t"
			 "	pause\n\t"
			 "	je 1b\n\t"
			 "vmovdqu64 %%zmm1, %[w]\n\t"
			 "vmovdqu64 %%zmm15, %[x]\n\t"
			 "vmovdqu64 %%zmm16, %[y]\n\t"
			 "vmovdqu64 %%zmm31, %[z]\n\t"
			 : [w] "=m"(out[0]), [x] "=m"(out[1]), [y] "=m"(out[2]), [z] "=m"(out[3]),
			   [on] "=m"(on)
			 : [a] "m"(patterns[0]), [b] "m"(patterns[1]), [c] "m"(patterns[2]),
			   [d] "m"(patterns[3]), [stop] "m"(stop)
			 : "xmm1", "xmm15", "memory", "cc");
}

__attribute__((target("avx"))) static void spin_avx(struct vector out[4])
{
	__asm__ volatile("vmovdqu %[a], %%ymm1\n\t"
			 "vmovdqu %[b], %%ymm15\n\t"
			 "movl $1, %[on]\n"
			 "1:	cmpl $0, %[stop]\n\t"
			 "	pause\n\t"
			 "	je 1b\n\t"
			 "vmovdqu %%ymm1, %[w]\n\t"
			 "vmovdqu %%ymm15, %[x]\n\t"
			 : [w] "=m"(out[0]), [x] "=m"(out[1]), [on] "=m"(on)
			 : [a] "m"(patterns[0]), [b] "m"(patterns[1]), [stop] "m"(stop)
			 : "xmm1", "xmm15", "memory", "cc");
}

static void *spin(void *data)
{
	struct vector out[4];
	size_t n, len;

	memset(out, 0, sizeof(out));
	if (__builtin_cpu_supports("avx512f")) {
		spin_avx512(out);
		n = 4;
		len = 64;
	} else if (__builtin_cpu_supports("avx")) {
		spin_avx(out);
		n = 2;
		len = 32;
	} else {
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (memcmp(&out[i], &patterns[i], len))
			*(int *)data = 1;
	return NULL;
}

static pthread_t thread;
static int failed;

static int make_vectors(void)
{
	fill_patterns();
	return pthread_create(&thread, NULL, spin, &failed) || live_await(is_on);
}

static int check_vectors(void)
{
	stop = 1;
	(void)pthread_join(thread, NULL);
	CHECK_EQ(failed, 0);
	return 0;
}

/* ---- tiles (AMX), which a process has to ask for ------------------------------------------- */

enum { TILE_DATA = 18, TILE_BYTES = 1024, ARCH_REQ_PERMISSION = 0x1023 };

static unsigned char tile_before[TILE_BYTES], tile_after[TILE_BYTES];

static void *keep_tile(void *unused)
{
	_Alignas(64) unsigned char config[64] = {[0] = 1, [16] = 64, [48] = 16};

	(void)unused;
	__asm__ volatile("ldtilecfg %[config]\n\t"
			 "tileloadd (%[from], %[stride], 1), %%tmm0\n\t"
			 "movl $1, %[on]\n"
			 "1:	cmpl $0, %[stop]\n\t"
			 "	pause\n\t"
			 "	je 1b\n\t"
			 "tilestored %%tmm0, (%[to], %[stride], 1)\n\t"
			 "tilerelease"
			 : [on] "=m"(on)
			 : [config] "m"(config), [from] "r"(tile_before), [to] "r"(tile_after),
			   [stride] "r"(64L), [stop] "m"(stop)
			 : "memory", "cc");
	return NULL;
}

static int make_tiles(void)
{
	if (syscall(SYS_arch_prctl, ARCH_REQ_PERMISSION, TILE_DATA)) {
		(void)live_fail("no tiles here");
		return 77;
	}
	for (int i = 0; i < TILE_BYTES; i++)
		tile_before[i] = (unsigned char)(i * 7 + 1);
	return pthread_create(&thread, NULL, keep_tile, NULL) || live_await(is_on);
}

static int check_tiles(void)
{
	stop = 1;
	(void)pthread_join(thread, NULL);
	CHECK(!memcmp(tile_before, tile_after, TILE_BYTES));
	return 0;
}

/* ---- general registers, flags, segment base, x87 and SSE control --------------------------- */

static uint64_t kept[8];

static void *keep(void *unused)
{
	uint32_t mxcsr = 0x9fc0, mxcsr_now = 0; /* flush to zero, denormals are zero */
	uint16_t control = 0x0f7f, control_now = 0;

	(void)unused;
	(void)syscall(SYS_arch_prctl, ARCH_SET_GS, 0x123456789000UL);
	__asm__ volatile(
		"ldmxcsr %[mxcsr]; fldcw %[control]\n\t"
		"movabs $0x1111222233334444, %%r12\n\t"
		"movabs $0x5555666677778888, %%r13\n\t"
		"mov $0xaaaa, %%r10\n\t"
		"std; stc\n\t"
		"movl $1, %[on]\n"
		"1:	mov %[stop], %%eax\n\t"
		"	pushfq; pop %%r11\n\t"
		"	test %%eax, %%eax\n\t"
		"	push %%r11; popfq\n\t"
		"	mov %%eax, %%ecx\n\t"
		"	jrcxz 1b\n\t"
		"cld\n\t"
		"mov %%r12, %[r12]; mov %%r13, %[r13]; mov %%r10, %[r10]; mov %%r11, %[fl]\n\t"
		"stmxcsr %[mxcsr_now]; fnstcw %[control_now]\n\t"
		: [on] "=m"(on), [r12] "=m"(kept[0]), [r13] "=m"(kept[1]), [r10] "=m"(kept[2]),
		  [fl] "=m"(kept[3]), [mxcsr_now] "=m"(mxcsr_now), [control_now] "=m"(control_now)
		: [stop] "m"(stop), [mxcsr] "m"(mxcsr), [control] "m"(control)
		: "rax", "rcx", "r10", "r11", "r12", "r13", "cc", "memory");
	(void)syscall(SYS_arch_prctl, ARCH_GET_GS, &kept[4]);
	kept[5] = mxcsr_now == mxcsr;
	kept[6] = control_now == control;
	return NULL;
}

static int make_general(void)
{
	return pthread_create(&thread, NULL, keep, NULL) || live_await(is_on);
}

static int check_general(void)
{
	const uint64_t direction_and_carry = 0x401;

	stop = 1;
	(void)pthread_join(thread, NULL);
	CHECK_EQ(kept[0], 0x1111222233334444);
	CHECK_EQ(kept[1], 0x5555666677778888);
	CHECK_EQ(kept[2], 0xaaaa);
	CHECK_EQ(kept[3] & direction_and_carry, direction_and_carry);
	CHECK_EQ(kept[4], 0x123456789000);
	CHECK_EQ(kept[5], 1);
	CHECK_EQ(kept[6], 1);
	return 0;
}
#endif

/* ---- asleep in a system call --------------------------------------------------------------- */

static int pipe_fds[2];
static pthread_t reader;
static char got[8];

static volatile pid_t reader_tid;

static bool is_reading(void)
{
	return reader_tid != 0;
}

static void *read_pipe(void *unused)
{
	(void)unused;
	reader_tid = (pid_t)syscall(SYS_gettid);
	if (read(pipe_fds[0], got, sizeof(got)) != 5)
		got[0] = '!';
	return NULL;
}

static int make_asleep(void)
{
	return pipe(pipe_fds) || pthread_create(&reader, NULL, read_pipe, NULL) ||
	       live_await(is_reading) || live_await_asleep(reader_tid);
}

static int check_asleep(void)
{
	CHECK_EQ(write(pipe_fds[1], "hello", 5), 5);
	(void)pthread_join(reader, NULL);
	CHECK(!memcmp(got, "hello", 5));
	return 0;
}

static const struct live_row rows[] = {
#ifdef __x86_64__
	{.name = "vectors", .make = make_vectors, .check = check_vectors},
	{.name = "tiles", .make = make_tiles, .check = check_tiles},
	{.name = "general", .make = make_general, .check = check_general},
#endif
	{.name = "asleep", .make = make_asleep, .check = check_asleep},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
