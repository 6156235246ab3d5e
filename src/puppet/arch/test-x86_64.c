/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/sigcontext.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "puppet/arch.h"
#include "util/context.h"
#include "util/macro.h"

enum { ERESTARTSYS = 512, ERESTARTNOINTR = 513, ERESTARTNOHAND = 514, RESTARTBLOCK = 516 };

static struct arch_regs stopped_in(int64_t nr, int64_t result)
{
	struct arch_regs regs = {.len = sizeof(struct user_regs_struct)};
	struct user_regs_struct *u = (void *)regs.bytes;

	u->orig_rax = (uint64_t)nr;
	u->rax = (uint64_t)result;
	u->rip = 0x401002;
	u->cs = 0x33;
	return regs;
}

static int64_t result_of(const struct arch_regs *regs)
{
	return (int64_t)((const struct user_regs_struct *)(const void *)regs->bytes)->rax;
}

static void fix_restart(void **state)
{
	static const struct {
		int64_t nr, result, same_task, other_task;
	} rows[] = {
		{SYS_read, -ERESTARTSYS, -ERESTARTSYS, -ERESTARTSYS},
		{SYS_futex, -ERESTARTNOINTR, -ERESTARTNOINTR, -ERESTARTNOINTR},
		{SYS_pause, -ERESTARTNOHAND, -ERESTARTNOHAND, -ERESTARTNOHAND},
		{SYS_poll, -RESTARTBLOCK, -RESTARTBLOCK, -ERESTARTNOHAND},
		{SYS_epoll_wait, -EINTR, -ERESTARTNOHAND, -ERESTARTNOHAND},
		/* The descriptor is closed: not to be called again. */
		{SYS_close, -EINTR, -EINTR, -EINTR},
		{SYS_read, 7, 7, 7},
		/* Stopped in user space: the program's own values. */
		{-1, -ERESTARTSYS, -ERESTARTSYS, -ERESTARTSYS},
		{-1, -EINTR, -EINTR, -EINTR},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct arch_regs same = stopped_in(rows[i].nr, rows[i].result), other = same;

		arch_fix_restart(&same, true);
		arch_fix_restart(&other, false);
		assert_int_equal(result_of(&same), rows[i].same_task);
		assert_int_equal(result_of(&other), rows[i].other_task);
	}
}

static void restartable(void **state)
{
	struct arch_regs regs;

	(void)state;
	regs = stopped_in(SYS_read, -ERESTARTSYS);
	assert_true(arch_in_restartable_call(&regs));
	regs = stopped_in(SYS_read, 1);
	assert_false(arch_in_restartable_call(&regs));
	assert_true(arch_in_call(&regs));
	regs = stopped_in(-1, -ERESTARTSYS);
	assert_false(arch_in_restartable_call(&regs));
	assert_false(arch_in_call(&regs));
}

static void moved_out_of_a_call(void **state)
{
	struct arch_regs regs = stopped_in(SYS_read, -ERESTARTSYS);

	(void)state;
	arch_set_ip(&regs, 0x500000);
	assert_int_equal(arch_ip(&regs), 0x500000);
	assert_false(arch_in_call(&regs));
}

static void native(void **state)
{
	struct arch_regs regs = stopped_in(-1, 0);

	(void)state;
	assert_true(arch_is_native(&regs));
	((struct user_regs_struct *)(void *)regs.bytes)->cs = 0x23;
	assert_false(arch_is_native(&regs));
	regs = stopped_in(0x40000000 | SYS_read, 0);
	assert_false(arch_is_native(&regs));
	regs.len = 68;
	assert_false(arch_is_native(&regs));
}

static void lost_call(void **state)
{
	static const unsigned char poll[ARCH_CALL_CODE] = {
		0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xb8, 7, 0, 0, 0, 0x0f, 0x05,
	};
	static const unsigned char unknown[ARCH_CALL_CODE] = {
		0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0x0f, 0x05,
	};
	static const unsigned char other[ARCH_CALL_CODE] = {[14] = 0x0f, [15] = 0x05};
	struct arch_regs regs = stopped_in(SYS_restart_syscall, -RESTARTBLOCK);
	uint64_t nr = 0;

	(void)state;
	assert_true(arch_call_lost(&regs));
	assert_true(arch_call_from_code(poll, &nr));
	assert_int_equal(nr, SYS_poll);
	assert_false(arch_call_from_code(unknown, &nr));
	assert_false(arch_call_from_code(other, &nr));
	arch_set_call(&regs, SYS_poll);
	assert_false(arch_call_lost(&regs));
	assert_true(arch_in_restartable_call(&regs));
}

static void boot_code(void **state)
{
	struct arch_regs home = stopped_in(SYS_read, -ERESTARTSYS);
	unsigned char code[ARCH_BOOT_MAX];
	uint64_t words[15];
	size_t len;

	(void)state;
	len = arch_boot_build(code, &home, 5);
	assert_true(len > sizeof(words) && len <= sizeof(code));
	/* A system call first. */
	assert_int_equal(code[0], 0x0f);
	assert_int_equal(code[1], 0x05);
	memcpy(words, code + len - sizeof(words), sizeof(words));
	assert_int_equal(words[0], 5);
	/* The interrupted call is made again. */
	assert_int_equal(words[1], SYS_read);
	assert_int_equal(words[14], 0x401000);
}

static void call_regs(void **state)
{
	struct arch_regs home = stopped_in(SYS_read, -ERESTARTSYS), regs;
	const struct user_regs_struct *u = (const void *)regs.bytes;
	const struct arch_undo none = {.fd = -1}, some = {.fd = 0, .area = 0x7000};

	(void)state;
	arch_call_regs(&regs, &home, 0x9000, SYS_close, (uint64_t[6]){3});
	assert_false(arch_in_call(&regs));
	assert_int_equal(arch_ip(&regs), 0x9000);
	arch_set_undo(&regs, &none);
	assert_int_equal(u->rbx | u->r13 | u->rbp, 0);
	/* Descriptor 0 is one, too. */
	arch_set_undo(&regs, &some);
	assert_int_equal(u->r13, 1);
	assert_int_equal(u->rbp, 0x7000);
}

static void frame(void **state)
{
	struct context ctx = {};
	struct arch_regs home = stopped_in(SYS_pause, -ERESTARTNOHAND);
	static unsigned char xstate[832], bytes[4096];
	struct arch_frame f;
	uint64_t word;

	(void)state;
	/* The kernel's mask of features, in the software-reserved bytes: x87, SSE, AVX. */
	xstate[464] = 7;
	assert_int_equal(arch_frame_build(&ctx, bytes, sizeof(bytes), 0x10000, &home, xstate,
					  sizeof(xstate), 3, &f),
			 0);
	assert_int_equal(f.sp, 0x10000);
	assert_int_equal(f.call, ARCH_CALL_EINTR);
	memcpy(&word, bytes + f.ip_at, sizeof(word));
	assert_int_equal(word, 0x401000);
	memcpy(&word, bytes + f.result_at, sizeof(word));
	assert_int_equal(word, SYS_pause);
	assert_int_equal(f.eintr_ip, 0x401002);
	assert_int_equal((int64_t)f.eintr_result, -EINTR);
	assert_int_equal(
		arch_frame_build(&ctx, bytes, 600, 0x10000, &home, xstate, sizeof(xstate), 3, &f),
		-EOVERFLOW);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(fix_restart),	       cmocka_unit_test(restartable),
		cmocka_unit_test(moved_out_of_a_call), cmocka_unit_test(native),
		cmocka_unit_test(lost_call),	       cmocka_unit_test(boot_code),
		cmocka_unit_test(call_regs),	       cmocka_unit_test(frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
