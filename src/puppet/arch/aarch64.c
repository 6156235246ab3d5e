/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AArch64: general registers (struct user_pt_regs and the thread pointer), floating-point state,
 * system calls.
 *
 * Restart of system calls. The kernel rewinds the program counter and puts the first argument back
 * *before* a tracer sees the stop (do_signal() in arch/arm64/kernel/signal.c), and keeps in local
 * variables that a handler would turn this into EINTR. So a task that was stopped in an
 * interruptible call looks as if it were about to make it; after remote calls it makes it again,
 * also where a handler runs first. Early -EINTR results cannot be told from what a program has in
 * x0, and are left alone.
 *
 * The extended state is NT_PRFPREG alone: tasks with live SVE, SME or ZA state are refused.
 */
#include "puppet/arch.h"

#include <asm/ptrace.h>
#include <asm/sigcontext.h>
#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "util/context.h"
#include "util/macro.h"

struct registers {
	struct user_pt_regs pt;
	uint64_t tls; /* tpidr_el0 */
};

_Static_assert(sizeof(struct registers) <= ARCH_REGS_MAX, "room for all registers");

static struct registers *user(struct arch_regs *regs)
{
	return (void *)regs->bytes;
}

static const struct registers *cuser(const struct arch_regs *regs)
{
	return (const void *)regs->bytes;
}

int arch_get_regs(struct context *ctx, pid_t tid, struct arch_regs *ret_regs)
{
	struct arch_regs regs = {};
	struct iovec iov = {regs.bytes, sizeof(struct user_pt_regs)};

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov) < 0)
		return err_sys(ctx, -errno, "ptrace(PTRACE_GETREGSET, %d, NT_PRSTATUS)", tid);
	regs.len = (uint32_t)iov.iov_len;
	if (regs.len == sizeof(struct user_pt_regs)) {
		iov = (struct iovec){&user(&regs)->tls, sizeof(uint64_t)};
		if (ptrace(PTRACE_GETREGSET, tid, NT_ARM_TLS, &iov) < 0)
			return err_sys(ctx, -errno, "ptrace(PTRACE_GETREGSET, %d, NT_ARM_TLS)",
				       tid);
		regs.len = sizeof(struct registers);
	}
	*ret_regs = regs;
	return 0;
}

int arch_set_regs(struct context *ctx, pid_t tid, const struct arch_regs *regs)
{
	struct iovec iov = {(void *)&cuser(regs)->pt, sizeof(struct user_pt_regs)};

	if (ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &iov) < 0)
		return err_sys(ctx, -errno, "ptrace(PTRACE_SETREGSET, %d, NT_PRSTATUS)", tid);
	iov = (struct iovec){(void *)&cuser(regs)->tls, sizeof(uint64_t)};
	if (ptrace(PTRACE_SETREGSET, tid, NT_ARM_TLS, &iov) < 0)
		return err_sys(ctx, -errno, "ptrace(PTRACE_SETREGSET, %d, NT_ARM_TLS)", tid);
	return 0;
}

/* 0, or -EOPNOTSUPP if the register set holds more than the floating-point registers do. */
static int check_unused(struct context *ctx, pid_t tid, unsigned int set, const char *what,
			unsigned int live_flag)
{
	struct user_sve_header head = {};
	struct iovec iov = {&head, sizeof(head)};

	/* EINVAL: this CPU has none. */
	if (ptrace(PTRACE_GETREGSET, tid, set, &iov) < 0 || iov.iov_len < sizeof(head))
		return 0;
	if (live_flag ? (head.flags & live_flag) == 0 : head.size <= sizeof(head))
		return 0;
	return err_msg(ctx, -EOPNOTSUPP, "task %d has live %s state, which is not supported yet",
		       tid, what);
}

int arch_get_xstate(struct context *ctx, pid_t tid, void *buf, size_t room)
{
	enum { NT_SSVE = 0x40b, NT_ZA = 0x40c };
	struct iovec iov = {buf, room};
	int r;

	if (room < sizeof(struct user_fpsimd_state))
		return err_msg(ctx, -EOVERFLOW, "floating-point state of task %d: over %zu bytes",
			       tid, room);
	r = check_unused(ctx, tid, NT_ARM_SVE, "SVE", SVE_PT_REGS_SVE);
	if (r == 0)
		r = check_unused(ctx, tid, NT_SSVE, "streaming SVE", SVE_PT_REGS_SVE);
	if (r == 0)
		r = check_unused(ctx, tid, NT_ZA, "ZA", 0);
	if (r < 0)
		return r;
	if (ptrace(PTRACE_GETREGSET, tid, NT_PRFPREG, &iov) < 0)
		return err_sys(ctx, -errno, "ptrace(PTRACE_GETREGSET, %d, NT_PRFPREG)", tid);
	return (int)iov.iov_len;
}

int arch_set_xstate(struct context *ctx, pid_t tid, const void *buf, size_t len)
{
	struct iovec iov = {(void *)buf, len};

	if (ptrace(PTRACE_SETREGSET, tid, NT_PRFPREG, &iov) < 0)
		return err_sys(ctx, -errno, "ptrace(PTRACE_SETREGSET, %d, NT_PRFPREG)", tid);
	return 0;
}

uint64_t arch_ip(const struct arch_regs *regs)
{
	return cuser(regs)->pt.pc;
}

void arch_set_ip(struct arch_regs *regs, uint64_t ip)
{
	user(regs)->pt.pc = ip;
}

uint64_t arch_sp(const struct arch_regs *regs)
{
	return cuser(regs)->pt.sp;
}

void arch_set_sp(struct arch_regs *regs, uint64_t sp)
{
	user(regs)->pt.sp = sp;
}

/* The program counter stays on the brk instruction. */
int arch_leave_break(struct context *ctx, pid_t tid)
{
	enum { BRK_LEN = 4 };
	struct arch_regs regs;
	int r;

	r = arch_get_regs(ctx, tid, &regs);
	if (r < 0)
		return r;
	user(&regs)->pt.pc += BRK_LEN;
	return arch_set_regs(ctx, tid, &regs);
}

void arch_describe_regs(const struct arch_regs *regs,
			void (*out)(void *data, const char *name, uint64_t value), void *data)
{
	const struct registers *u = cuser(regs);
	char name[8];

	for (unsigned int i = 0; i < ARRAY_SIZE(u->pt.regs); i++) {
		(void)snprintf(name, sizeof(name), "x%u", i);
		out(data, name, u->pt.regs[i]);
	}
	out(data, "sp", u->pt.sp);
	out(data, "pc", u->pt.pc);
	out(data, "pstate", u->pt.pstate);
	out(data, "tpidr", u->tls);
}

/* See the head of this file: none of this shows at the stop. */
bool arch_in_call(const struct arch_regs *regs _unused_)
{
	return false;
}

bool arch_in_restartable_call(const struct arch_regs *regs _unused_)
{
	return false;
}

void arch_fix_restart(struct arch_regs *regs _unused_, bool keep_block _unused_)
{
}

bool arch_call_lost(const struct arch_regs *regs _unused_)
{
	return false;
}

bool arch_call_from_code(const unsigned char code[ARCH_CALL_CODE] _unused_,
			 uint64_t *ret_nr _unused_)
{
	return false;
}

uint64_t arch_sleep_call(const struct arch_regs *regs _unused_)
{
	return SYS_nanosleep;
}

void arch_set_call(struct arch_regs *regs, uint64_t nr)
{
	user(regs)->pt.regs[8] = nr;
}

/* AArch32 tasks have another, shorter register set. */
bool arch_is_native(const struct arch_regs *regs)
{
	return regs->len == sizeof(struct registers);
}

void arch_call_regs(struct arch_regs *ret_regs, const struct arch_regs *home, uint64_t ip,
		    uint64_t nr, const uint64_t arg[6])
{
	struct user_pt_regs *pt = &user(ret_regs)->pt;

	*ret_regs = *home;
	pt->pc = ip;
	pt->regs[8] = nr;
	for (int i = 0; i < 6; i++)
		pt->regs[i] = arg[i];
}

void arch_set_undo(struct arch_regs *regs, const struct arch_undo *undo)
{
	struct user_pt_regs *pt = &user(regs)->pt;

	pt->regs[19] = undo->fds;
	pt->regs[20] = undo->area;
	pt->regs[21] = undo->area_len;
	pt->regs[22] = (uint64_t)(undo->fd + 1);
}

int64_t arch_call_result(const struct arch_regs *regs)
{
	return (int64_t)cuser(regs)->pt.regs[0];
}

/* The data words at the end of aarch64-boot.S. */
struct boot_data {
	uint64_t mask;
	uint64_t x0, x1, x2, x3, x4, x5, x8, x19, x20, x21, x22, pc;
};

extern const unsigned char arch_boot_code[], arch_boot_data[], arch_boot_end[];

size_t arch_boot_build(void *buf, const struct arch_regs *home, uint64_t sigmask)
{
	const struct user_pt_regs *pt = &cuser(home)->pt;
	size_t code = (size_t)(arch_boot_data - arch_boot_code);
	struct boot_data data = {
		.mask = sigmask,
		.x0 = pt->regs[0],
		.x1 = pt->regs[1],
		.x2 = pt->regs[2],
		.x3 = pt->regs[3],
		.x4 = pt->regs[4],
		.x5 = pt->regs[5],
		.x8 = pt->regs[8],
		.x19 = pt->regs[19],
		.x20 = pt->regs[20],
		.x21 = pt->regs[21],
		.x22 = pt->regs[22],
		.pc = pt->pc,
	};

	assert(code + sizeof(data) <= ARCH_BOOT_MAX);
	memcpy(buf, arch_boot_code, code);
	memcpy((unsigned char *)buf + code, &data, sizeof(data));
	return code + sizeof(data);
}

void arch_enter_regs(struct arch_regs *ret_regs, const struct arch_regs *home, uint64_t ip,
		     uint64_t argument)
{
	*ret_regs = *home;
	user(ret_regs)->pt.pc = ip;
	user(ret_regs)->pt.regs[0] = argument;
}

/* struct rt_sigframe of arch/arm64/kernel/signal.c, with one record and the end of records. */
struct frame {
	unsigned char siginfo[128];
	uint64_t uc_flags;
	uint64_t uc_link;
	uint64_t ss_sp;
	uint32_t ss_flags;
	uint32_t ss_pad;
	uint64_t ss_size;
	uint64_t sigmask;
	unsigned char unused[120];
	_Alignas(16) uint64_t fault_address;
	uint64_t regs[31];
	uint64_t sp;
	uint64_t pc;
	uint64_t pstate;
	_Alignas(16) struct fpsimd_context fpsimd;
	struct _aarch64_ctx end;
	/* The kernel reads all of the space that it reserves for records. */
	unsigned char reserved[4096 - sizeof(struct fpsimd_context) - sizeof(struct _aarch64_ctx)];
};

/* An ss_flags that sigaltstack refuses: rt_sigreturn ignores that and keeps the stack. */
enum { SS_LEAVE_ALONE = 0x7f };

int arch_frame_build(struct context *ctx, void *buf, size_t room, uint64_t at,
		     const struct arch_regs *home, const void *xstate, size_t xstate_len,
		     uint64_t sigmask, struct arch_frame *ret_frame)
{
	const struct user_pt_regs *pt = &cuser(home)->pt;
	struct user_fpsimd_state fp;
	struct frame *frame = buf;

	if (sizeof(*frame) > room || xstate_len != sizeof(fp))
		return err_msg(ctx, -EOVERFLOW, "floating-point state of %zu bytes", xstate_len);
	memcpy(&fp, xstate, sizeof(fp));
	memset(frame, 0, sizeof(*frame));
	frame->ss_flags = SS_LEAVE_ALONE;
	frame->sigmask = sigmask;
	memcpy(frame->regs, pt->regs, sizeof(frame->regs));
	frame->sp = pt->sp;
	frame->pc = pt->pc;
	frame->pstate = pt->pstate;
	frame->fpsimd.head.magic = FPSIMD_MAGIC;
	frame->fpsimd.head.size = sizeof(frame->fpsimd);
	frame->fpsimd.fpsr = fp.fpsr;
	frame->fpsimd.fpcr = fp.fpcr;
	memcpy(frame->fpsimd.vregs, fp.vregs, sizeof(fp.vregs));
	*ret_frame = (struct arch_frame){.len = sizeof(*frame), .sp = at, .call = ARCH_CALL_NONE};
	return 0;
}
