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
/* For a task stopped by a breakpoint instruction: it is to go on behind it. Some architectures
 * leave the instruction pointer on the breakpoint, some have moved it on already. */
int arch_leave_break(struct context *ctx, pid_t tid);
void arch_set_sp(struct arch_regs *regs, uint64_t sp);
/* A human-readable name/value listing; one "name=value" per call of @out. For show. */
void arch_describe_regs(const struct arch_regs *regs,
			void (*out)(void *data, const char *name, uint64_t value), void *data);

/* Was the task stopped inside a system call, or at its end? */
bool arch_in_call(const struct arch_regs *regs);
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

/*
 * A call that was interrupted before, and that the kernel has continued by restart_syscall(2): its
 * number is lost, and only the same task can continue it. The number can be told from the code
 * before the instruction pointer (@code: its last ARCH_CALL_CODE bytes), where that sets it.
 */
enum { ARCH_CALL_CODE = 16 };
bool arch_call_lost(const struct arch_regs *regs);
/* True and *@ret_nr, or false. */
bool arch_call_from_code(const unsigned char code[ARCH_CALL_CODE], uint64_t *ret_nr);
/* Of two calls whose arguments are alike: clock_nanosleep or nanosleep? */
uint64_t arch_sleep_call(const struct arch_regs *regs);
void arch_set_call(struct arch_regs *regs, uint64_t nr);

/* Is the task a 64-bit one of the native ABI? False: 32-bit or x32 (refused by name). */
bool arch_is_native(const struct arch_regs *regs);

/* ---- remote system calls ----------------------------------------------------------------- */

/*
 * Boot code (arch/<name>-boot.S): a system call instruction at its start, and behind it the way
 * home of a task whose coordinator has died. What that undoes is told by registers, so that it
 * changes at the same instant as the call that is to be made:
 */
struct arch_undo {
	uint64_t fds;	   /* address of int[2]: descriptors to close; 0: none */
	int fd;		   /* another one; -1: none */
	uint64_t area;	   /* mapping to be removed; 0: none */
	uint64_t area_len; /* its bytes */
};
enum { ARCH_BOOT_MAX = 352 };
/* Builds it into @buf; returns its length. Home is where @home and @sigmask say. */
size_t arch_boot_build(void *buf, const struct arch_regs *home, uint64_t sigmask);

/* Puts it into the registers of a task that is to make a call in boot code. */
void arch_set_undo(struct arch_regs *regs, const struct arch_undo *undo);

/* Registers of a task that is to execute the system call instruction at @ip; the rest as in @home,
 * but with no call under way that the kernel could restart. */
void arch_call_regs(struct arch_regs *ret_regs, const struct arch_regs *home, uint64_t ip,
		    uint64_t nr, const uint64_t arg[6]);
/* What the system call at whose exit the task is stopped has returned. */
int64_t arch_call_result(const struct arch_regs *regs);

/* ---- the borrowed loop ------------------------------------------------------------------- */

/*
 * Registers of a task that is to go on at @ip with @argument in the register of a function's first;
 * everything else, the stack pointer too, as in @home.
 */
void arch_enter_regs(struct arch_regs *ret_regs, const struct arch_regs *home, uint64_t ip,
		     uint64_t argument);

/* What becomes of an interrupted system call if a handler runs before the task is home. */
enum arch_call {
	ARCH_CALL_NONE,	      /* there is none, or it is called again in any case */
	ARCH_CALL_SA_RESTART, /* called again if the action has SA_RESTART, else EINTR */
	ARCH_CALL_EINTR,      /* EINTR */
};

/*
 * A frame from which rt_sigreturn makes the task itself again (@home with the restart that the
 * kernel can no longer do, @xstate, @sigmask; the alternate stack is left alone). To be placed at
 * @at. An interrupted system call is called again, unless what the eintr_ fields say is put
 * into the frame.
 */
enum { ARCH_FRAME_MAX = 14 * 1024 };
struct arch_frame {
	size_t len;
	uint64_t sp; /* the stack pointer with which rt_sigreturn is to be called */
	enum arch_call call;
	uint32_t ip_at; /* offsets in the frame, and what to put there for EINTR */
	uint32_t result_at;
	uint64_t eintr_ip;
	uint64_t eintr_result;
};
int arch_frame_build(struct context *ctx, void *buf, size_t room, uint64_t at,
		     const struct arch_regs *home, const void *xstate, size_t xstate_len,
		     uint64_t sigmask, struct arch_frame *ret_frame);
