/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86-64: general registers (struct user_regs_struct), extended state (the XSAVE area in the
 * standard format, as NT_X86_XSTATE and the signal frame have it), restart of system calls.
 */
#include "puppet/arch.h"

#include <asm/sigcontext.h>
#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "puppet/arch-xstate.h"
#include "util/context.h"
#include "util/macro.h"

/* Restart codes: kernel-internal, visible to tracers only (include/linux/errno.h). */
enum {
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
};

enum { USER_CS_64 = 0x33, X32_SYSCALL_BIT = 0x40000000, SYSCALL_LEN = 2 };

static struct user_regs_struct *user(struct arch_regs *regs)
{
	return (void *)regs->bytes;
}

static const struct user_regs_struct *cuser(const struct arch_regs *regs)
{
	return (const void *)regs->bytes;
}

int arch_get_regs(struct context *ctx, pid_t tid, struct arch_regs *ret_regs)
{
	struct arch_regs regs = {};
	struct iovec iov = {regs.bytes, sizeof(regs.bytes)};

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov) < 0)
		return err_sys(ctx, -errno, "ptrace(PTRACE_GETREGSET, %d, NT_PRSTATUS)", tid);
	regs.len = (uint32_t)iov.iov_len;
	*ret_regs = regs;
	return 0;
}

int arch_set_regs(struct context *ctx, pid_t tid, const struct arch_regs *regs)
{
	struct iovec iov = {(void *)regs->bytes, regs->len};

	if (ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &iov) < 0)
		return err_sys(ctx, -errno, "ptrace(PTRACE_SETREGSET, %d, NT_PRSTATUS)", tid);
	return 0;
}

int arch_get_xstate(struct context *ctx, pid_t tid, void *buf, size_t room)
{
	struct iovec iov = {buf, room};

	if (ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &iov) < 0)
		return err_sys(ctx, -errno, "ptrace(PTRACE_GETREGSET, %d, NT_X86_XSTATE)", tid);
	/* The kernel fills what there is room for and says nothing of the rest. */
	if (iov.iov_len == room)
		return err_msg(ctx, -EOVERFLOW, "extended state of task %d: over %zu bytes", tid,
			       room);
	return (int)iov.iov_len;
}

/* The kernel takes no less than everything; what the block lacks is zero. */
int arch_set_xstate(struct context *ctx, pid_t tid, const void *buf, size_t len)
{
	unsigned char whole[ARCH_XSTATE_MAX];
	int size = arch_get_xstate(ctx, tid, whole, sizeof(whole));
	struct iovec iov = {whole, (size_t)size};

	if (size < 0)
		return size;
	if (len > (size_t)size)
		return err_msg(ctx, -EINVAL, "%zu bytes of extended state, this CPU has %d", len,
			       size);
	memcpy(whole, buf, len);
	memset(whole + len, 0, (size_t)size - len);
	if (ptrace(PTRACE_SETREGSET, tid, NT_X86_XSTATE, &iov) < 0)
		return err_sys(ctx, -errno, "ptrace(PTRACE_SETREGSET, %d, NT_X86_XSTATE)", tid);
	return 0;
}

uint64_t arch_ip(const struct arch_regs *regs)
{
	return cuser(regs)->rip;
}

/* Whoever moves a task elsewhere takes it out of its system call, too. */
void arch_set_ip(struct arch_regs *regs, uint64_t ip)
{
	user(regs)->rip = ip;
	user(regs)->orig_rax = -1ULL;
}

uint64_t arch_sp(const struct arch_regs *regs)
{
	return cuser(regs)->rsp;
}

/* int3 is a trap: the instruction pointer is behind it. */
int arch_leave_break(struct context *ctx _unused_, pid_t tid _unused_)
{
	return 0;
}

void arch_set_sp(struct arch_regs *regs, uint64_t sp)
{
	user(regs)->rsp = sp;
}

void arch_describe_regs(const struct arch_regs *regs,
			void (*out)(void *data, const char *name, uint64_t value), void *data)
{
	/* The order of struct user_regs_struct. */
	static const char *const names[] = {
		"r15",	  "r14", "r13", "r12",	   "rbp",     "rbx", "r11",	 "r10", "r9",
		"r8",	  "rax", "rcx", "rdx",	   "rsi",     "rdi", "orig_rax", "rip", "cs",
		"eflags", "rsp", "ss",	"fs_base", "gs_base", "ds",  "es",	 "fs",	"gs",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names) && (i + 1) * 8 <= regs->len; i++) {
		uint64_t value;

		memcpy(&value, regs->bytes + i * 8, 8);
		out(data, names[i], value);
	}
}

/*
 * Calls that give -EINTR at once when a tracer stops them, instead of a restart code: signal(7),
 * "never restarted". Those on sockets do so only with SO_RCVTIMEO or SO_SNDTIMEO set
 * (sock_intr_errno). None has done anything when it returns EINTR, so that it may be called again.
 */
static bool gives_early_eintr(uint64_t nr)
{
	switch (nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_io_uring_enter:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
		return true;
	default:
		return false;
	}
}

bool arch_in_call(const struct arch_regs *regs)
{
	return (int64_t)cuser(regs)->orig_rax >= 0;
}

bool arch_in_restartable_call(const struct arch_regs *regs)
{
	if (!arch_in_call(regs))
		return false;
	switch (-(int64_t)cuser(regs)->rax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
	case ERESTART_RESTARTBLOCK:
		return true;
	case EINTR:
		return gives_early_eintr(cuser(regs)->orig_rax);
	default:
		return false;
	}
}

void arch_fix_restart(struct arch_regs *regs, bool keep_block)
{
	int64_t result = (int64_t)cuser(regs)->rax;

	if (!arch_in_restartable_call(regs))
		return;
	if (result == -EINTR || (result == -ERESTART_RESTARTBLOCK && !keep_block))
		user(regs)->rax = (uint64_t)-ERESTARTNOHAND;
}

bool arch_call_lost(const struct arch_regs *regs)
{
	return cuser(regs)->orig_rax == SYS_restart_syscall &&
	       (int64_t)cuser(regs)->rax == -ERESTART_RESTARTBLOCK;
}

/* mov $nr, %eax; syscall */
bool arch_call_from_code(const unsigned char code[ARCH_CALL_CODE], uint64_t *ret_nr)
{
	enum { MOV_EAX = 0xb8, MOV_LEN = 5 };
	const unsigned char *mov = code + ARCH_CALL_CODE - SYSCALL_LEN - MOV_LEN;
	uint32_t nr;

	if (mov[0] != MOV_EAX)
		return false;
	memcpy(&nr, mov + 1, sizeof(nr));
	switch (nr) {
	case SYS_poll:
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_futex:
		*ret_nr = nr;
		return true;
	default:
		return false;
	}
}

uint64_t arch_sleep_call(const struct arch_regs *regs)
{
	/* The first argument is a clock's number (negative for a CPU clock) or an address. */
	int64_t first = (int64_t)cuser(regs)->rdi;

	return first == (int32_t)first && first < 4096 ? SYS_clock_nanosleep : SYS_nanosleep;
}

void arch_set_call(struct arch_regs *regs, uint64_t nr)
{
	user(regs)->orig_rax = nr;
}

bool arch_is_native(const struct arch_regs *regs)
{
	if (regs->len != sizeof(struct user_regs_struct) || cuser(regs)->cs != USER_CS_64)
		return false;
	return !arch_in_call(regs) || !(cuser(regs)->orig_rax & X32_SYSCALL_BIT);
}

/* ---- remote system calls ----------------------------------------------------------------- */

void arch_call_regs(struct arch_regs *ret_regs, const struct arch_regs *home, uint64_t ip,
		    uint64_t nr, const uint64_t arg[6])
{
	struct user_regs_struct *u = user(ret_regs);

	*ret_regs = *home;
	u->rip = ip;
	u->rax = nr;
	u->orig_rax = -1ULL;
	u->rdi = arg[0];
	u->rsi = arg[1];
	u->rdx = arg[2];
	u->r10 = arg[3];
	u->r8 = arg[4];
	u->r9 = arg[5];
}

void arch_set_undo(struct arch_regs *regs, const struct arch_undo *undo)
{
	struct user_regs_struct *u = user(regs);

	u->rbx = undo->fds;
	u->r13 = (uint64_t)(undo->fd + 1);
	u->rbp = undo->area;
	u->r12 = undo->area_len;
}

int64_t arch_call_result(const struct arch_regs *regs)
{
	return (int64_t)cuser(regs)->rax;
}

/*
 * @u as the program would go on with if nobody looked at restart codes any more: an interrupted
 * call is called again from its start. Only for a task whose coordinator died in the middle; the
 * kernel's own choice (EINTR when a handler runs) cannot be had there.
 */
static struct user_regs_struct called_again(const struct arch_regs *home)
{
	struct user_regs_struct u = *cuser(home);

	if (arch_in_restartable_call(home)) {
		u.rip -= SYSCALL_LEN;
		u.rax = u.orig_rax;
	}
	return u;
}

/* The data words at the end of x86_64-boot.S. */
struct boot_data {
	uint64_t mask;
	uint64_t ax, cx, dx, si, di, r8, r9, r10, r11, bx, bp, r12, r13, ip;
};

extern const unsigned char arch_boot_code[], arch_boot_data[], arch_boot_end[];

size_t arch_boot_build(void *buf, const struct arch_regs *home, uint64_t sigmask)
{
	struct user_regs_struct u = called_again(home);
	size_t code = (size_t)(arch_boot_data - arch_boot_code);
	struct boot_data data = {
		.mask = sigmask,
		.ax = u.rax,
		.cx = u.rcx,
		.dx = u.rdx,
		.si = u.rsi,
		.di = u.rdi,
		.r8 = u.r8,
		.r9 = u.r9,
		.r10 = u.r10,
		.r11 = u.r11,
		.bx = u.rbx,
		.bp = u.rbp,
		.r12 = u.r12,
		.r13 = u.r13,
		.ip = u.rip,
	};

	assert(code + sizeof(data) <= ARCH_BOOT_MAX);
	memcpy(buf, arch_boot_code, code);
	memcpy((unsigned char *)buf + code, &data, sizeof(data));
	return code + sizeof(data);
}

/* ---- the borrowed loop ------------------------------------------------------------------- */

void arch_enter_regs(struct arch_regs *ret_regs, const struct arch_regs *home, uint64_t ip,
		     uint64_t argument)
{
	struct user_regs_struct *u = user(ret_regs);

	*ret_regs = *home;
	u->rip = ip;
	u->rdi = argument;
	u->orig_rax = -1ULL;
}

enum {
	UC_FP_XSTATE = 1,
	UC_SIGCONTEXT_SS = 2,
	UC_STRICT_RESTORE_SS = 4,
	/* An ss_flags that sigaltstack refuses: rt_sigreturn ignores that and keeps the stack. */
	SS_LEAVE_ALONE = 0x7f,
	XFEATURE_XTILE_DATA = 18,
	XSTATE_BV_AT = 512,
	XSTATE_HEADER_END = 576,
	XSTATE_SW_AT = 464, /* software-reserved bytes of the legacy area */
};

/* struct ucontext of the kernel's rt_sigframe, whose first word (pretcode) nobody reads. */
struct frame_context {
	uint64_t uc_flags;
	uint64_t uc_link;
	uint64_t ss_sp;
	uint32_t ss_flags;
	uint32_t ss_pad;
	uint64_t ss_size;
	struct sigcontext_64 mcontext;
	uint64_t sigmask;
};

/*
 * Bytes of the extended state that belong to the features in @mask. What ptrace gives is as long
 * as the longest state this CPU can have; rt_sigreturn wants no more than the task's own.
 */
static uint32_t xstate_size(uint64_t mask)
{
	uint32_t size = XSTATE_HEADER_END;

	for (unsigned int i = 2; i < ARCH_XSTATE_COMPONENTS; i++) {
		uint32_t offset, length;

		if (!(mask >> i & 1))
			continue;
		arch_xstate_place(i, &offset, &length);
		size = MAX(size, offset + length);
	}
	return size;
}

static void frame_fill_xstate(unsigned char *to, const unsigned char *xstate, size_t len)
{
	struct _fpx_sw_bytes sw = {.magic1 = FP_XSTATE_MAGIC1};
	uint32_t magic2 = FP_XSTATE_MAGIC2;
	uint64_t enabled, in_use;

	memcpy(to, xstate, len);
	/* ptrace tells the kernel's mask of features (XCR0) in the software-reserved bytes. */
	memcpy(&enabled, xstate + XSTATE_SW_AT, sizeof(enabled));
	memcpy(&in_use, xstate + XSTATE_BV_AT, sizeof(in_use));
	/* Tile data needs permission, which is there if the tiles are in use. */
	if (!(in_use >> XFEATURE_XTILE_DATA & 1))
		enabled &= ~(UINT64_C(1) << XFEATURE_XTILE_DATA);
	sw.xfeatures = enabled;
	sw.xstate_size = MIN(xstate_size(enabled), (uint32_t)len);
	sw.extended_size = sw.xstate_size + FP_XSTATE_MAGIC2_SIZE;
	memcpy(to + XSTATE_SW_AT, &sw, sizeof(sw));
	memcpy(to + sw.xstate_size, &magic2, sizeof(magic2));
}

static struct sigcontext_64 frame_sigcontext(const struct user_regs_struct *u, uint64_t fpstate)
{
	return (struct sigcontext_64){
		.r8 = u->r8,
		.r9 = u->r9,
		.r10 = u->r10,
		.r11 = u->r11,
		.r12 = u->r12,
		.r13 = u->r13,
		.r14 = u->r14,
		.r15 = u->r15,
		.di = u->rdi,
		.si = u->rsi,
		.bp = u->rbp,
		.bx = u->rbx,
		.dx = u->rdx,
		.ax = u->rax,
		.cx = u->rcx,
		.sp = u->rsp,
		.ip = u->rip,
		.flags = u->eflags,
		.cs = (uint16_t)u->cs,
		.ss = (uint16_t)u->ss,
		.fpstate = fpstate,
	};
}

static enum arch_call interrupted_call(const struct arch_regs *home)
{
	if (!arch_in_restartable_call(home))
		return ARCH_CALL_NONE;
	switch (-(int64_t)cuser(home)->rax) {
	case ERESTARTNOINTR:
		return ARCH_CALL_NONE;
	case ERESTARTSYS:
		return ARCH_CALL_SA_RESTART;
	default:
		return ARCH_CALL_EINTR;
	}
}

int arch_frame_build(struct context *ctx, void *buf, size_t room, uint64_t at,
		     const struct arch_regs *home, const void *xstate, size_t xstate_len,
		     uint64_t sigmask, struct arch_frame *ret_frame)
{
	struct user_regs_struct u = called_again(home);
	size_t fp_at = ALIGN_UP(at + sizeof(struct frame_context), 64) - at;
	struct frame_context fc = {
		.uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
		.ss_flags = SS_LEAVE_ALONE,
		.mcontext = frame_sigcontext(&u, at + fp_at),
		.sigmask = sigmask,
	};

	if (xstate_len < XSTATE_HEADER_END || fp_at + xstate_len + 4 > room)
		return err_msg(ctx, -EOVERFLOW, "extended state of %zu bytes", xstate_len);
	memcpy(buf, &fc, sizeof(fc));
	frame_fill_xstate((unsigned char *)buf + fp_at, xstate, xstate_len);
	*ret_frame = (struct arch_frame){
		.len = fp_at + xstate_len + 4,
		.sp = at,
		.call = interrupted_call(home),
		.ip_at = offsetof(struct frame_context, mcontext.ip),
		.result_at = offsetof(struct frame_context, mcontext.ax),
		.eintr_ip = cuser(home)->rip,
		.eintr_result = (uint64_t)-EINTR,
	};
	return 0;
}
