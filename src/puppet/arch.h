/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between processor architectures: register sets, system-call conventions, restart
 * codes. Implemented once per architecture in arch/<name>.c; nothing outside arch/ and stub/
 * names a register or knows a restart code.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct context;

/* The general registers as PTRACE_GETREGSET NT_PRSTATUS gives them; opaque outside arch/. */
enum { ARCH_REGS_MAX = 512 };
struct arch_regs {
	uint32_t len;
	_Alignas(8) unsigned char bytes[ARCH_REGS_MAX];
};

/* General registers of a stopped task. */
int arch_get_regs(struct context *ctx, pid_t tid, struct arch_regs *ret_regs);
int arch_set_regs(struct context *ctx, pid_t tid, const struct arch_regs *regs);
/* All of the vector and extended state (NT_X86_XSTATE, NT_PRFPREG + NT_ARM_SVE ...) as one block.
 * Returns its length; @room says what @buf can hold (-EOVERFLOW when too small). */
int arch_get_xstate(struct context *ctx, pid_t tid, void *buf, size_t room);
int arch_set_xstate(struct context *ctx, pid_t tid, const void *buf, size_t len);

/* The instruction pointer and stack pointer, for rseq and for messages. */
uint64_t arch_ip(const struct arch_regs *regs);
void arch_set_ip(struct arch_regs *regs, uint64_t ip);
uint64_t arch_sp(const struct arch_regs *regs);
/* A human-readable name/value listing; one "name=value" per call of @out. For show. */
void arch_describe_regs(const struct arch_regs *regs,
			void (*out)(void *data, const char *name, uint64_t value), void *data);

/* True if the task was interrupted in a system call that the kernel would restart (or had just
 * given -EINTR where the program must not see it). */
bool arch_in_restartable_call(const struct arch_regs *regs);
/*
 * For a task whose registers are kept beyond its own lifetime or beyond our remote calls: turns
 * restart-block and early -EINTR results into codes that make the kernel restart the call, or
 * return EINTR if a handler runs (KERNEL-FACTS: never rewind ip by hand). @keep_block: the same
 * task goes on, so a restart block survives.
 */
void arch_fix_restart(struct arch_regs *regs, bool keep_block);

/* Is the task a 64-bit one of the native ABI? False: 32-bit or x32 (refused by name). */
bool arch_is_native(const struct arch_regs *regs);
