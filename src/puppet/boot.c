/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot sessions. The coordinator may be killed between any two of its system calls; the kernel
 * then detaches the task, which goes on with whatever registers and mask it has. So at each point
 * these must lead home:
 *
 *	1. the boot code is written where nothing runs: the task is itself
 *	2. registers: at the boot code, first call ....... makes the call, undoes what it is told,
 *							   sets its own mask and registers
 *	3. signal mask: everything blocked ............... the same; its own mask comes back
 *	4. further calls: what is to be undone is told by registers, and so changes at the same
 *	   instant as the call: neither is anything undone twice, nor anything forgotten but the
 *	   mapping of an mmap() that has just returned
 *	5. parked again; its own signal mask ............. still at the boot code: as before
 *	6. its own registers ............................. the task is itself
 *	7. the boot code is wiped
 *
 * All signals are blocked while the task is away from home, so that no handler ever runs on
 * foreign registers. What cannot be exact when the coordinator dies: a task that was stopped in an
 * interruptible call calls it again, though a handler may run in these microseconds, after which
 * the kernel might have returned EINTR. And a seccomp filter that kills on sigprocmask or munmap
 * strikes when the coordinator, who had it suspended, is gone.
 */
#include "puppet/boot.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "puppet/place.h"
#include "puppet/trace.h"
#include "util/context.h"
#include "util/macro.h"

/* Another process with the same memory may be using the place that was found earlier. */
static int find_place(struct context *ctx, struct puppet *p)
{
	if (p->area->boot && place_is_free(ctx, p, p->area->boot))
		return 0;
	return place_find(ctx, p, &p->area->boot);
}

int boot_begin(struct context *ctx, struct puppet *p, struct boot *ret_boot)
{
	struct boot b = {.p = p, .undo = {.fd = -1}};
	unsigned char code[ARCH_BOOT_MAX];
	size_t len;
	int r;

	r = find_place(ctx, p);
	if (r < 0)
		return r;
	b.at = p->area->boot;
	len = arch_boot_build(code, &p->regs, p->sigmask);
	r = puppet_write_code(ctx, p, b.at, code, len);
	if (r < 0)
		return r;
	*ret_boot = b;
	return 0;
}

int boot_start(struct context *ctx, struct boot *b, uint64_t nr, const uint64_t arg[6],
	       const struct arch_undo *undo)
{
	struct puppet *p = b->p;
	struct arch_regs regs;
	int r;

	r = fault_point(ctx, "remote call");
	if (r < 0)
		return r;
	arch_call_regs(&regs, &p->regs, b->at, nr, arg);
	arch_set_undo(&regs, undo);
	r = arch_set_regs(ctx, p->tid, &regs);
	if (r < 0)
		return r;
	b->undo = *undo;
	r = b->blocked ? 0 : trace_set_sigmask(ctx, p, ~UINT64_C(0));
	b->blocked = r == 0;
	b->stops = 2; /* at the call's entry, and at its exit */
	return r < 0 ? r : trace_go(ctx, p, PTRACE_SYSCALL, 0);
}

int boot_park(struct context *ctx, struct boot *b)
{
	int r = trace_interrupt(ctx, b->p);

	b->stops = 0;
	return r < 0 ? r : trace_go(ctx, b->p, PTRACE_CONT, 0);
}

/* The task has stopped. 1: this ends what it does; 0: it goes on. */
static int take_stop(struct context *ctx, struct boot *b, const struct trace_stop *stop)
{
	int r;

	if (b->stops == 0) {
		if (stop->kind == TRACE_PARKED)
			return 1;
		return trace_pass_to_park(ctx, b->p, stop);
	}
	if (stop->kind == TRACE_SYSCALL && --b->stops == 0)
		return 1;
	/* With everything blocked the only signal that gets here is SIGSTOP. */
	r = trace_go(ctx, b->p, PTRACE_SYSCALL, stop->kind == TRACE_SIGNAL ? stop->signal : 0);
	return r;
}

/* A call has come to its end, or the task is parked. */
static int take_result(struct context *ctx, struct boot *b, int64_t *ret_result)
{
	struct arch_regs regs;
	int r = arch_get_regs(ctx, b->p->tid, &regs);

	if (r < 0)
		return r;
	*ret_result = arch_call_result(&regs);
	return 0;
}

int boot_poll(struct context *ctx, struct boot *b, int64_t *ret_result)
{
	struct trace_stop stop;
	int r;

	while ((r = trace_poll(ctx, b->p, &stop)) > 0) {
		r = take_stop(ctx, b, &stop);
		if (r != 0)
			break;
	}
	if (r <= 0)
		return r;
	r = take_result(ctx, b, ret_result);
	return r < 0 ? r : 1;
}

int boot_finish(struct context *ctx, struct boot *b, int64_t *ret_result)
{
	struct trace_stop stop;
	int r;

	do {
		r = trace_wait(ctx, b->p, &stop);
		if (r == 0)
			r = take_stop(ctx, b, &stop);
	} while (r == 0);
	return r < 0 ? r : take_result(ctx, b, ret_result);
}

int boot_call(struct context *ctx, struct boot *b, uint64_t nr, const uint64_t arg[6],
	      int64_t *ret_result)
{
	int r = boot_start(ctx, b, nr, arg, &b->undo);

	return r < 0 ? r : boot_finish(ctx, b, ret_result);
}

int64_t boot_check(struct context *ctx, const struct boot *b, const char *what, int64_t result)
{
	if (result < 0 && result >= -4095)
		return err_sys(ctx, (int)result, "%s in task %d", what, b->p->tid);
	return result;
}

int64_t boot_must(struct context *ctx, struct boot *b, const char *what, uint64_t nr,
		  const uint64_t arg[6])
{
	int64_t result;
	int r = boot_call(ctx, b, nr, arg, &result);

	return r < 0 ? r : boot_check(ctx, b, what, result);
}

void boot_undo(struct context *ctx, struct boot *b)
{
	const struct arch_undo undo = b->undo;
	struct err first = ctx->err;
	int32_t fds[3] = {-1, -1, undo.fd};
	int64_t result;

	if (undo.fds && puppet_read(ctx, b->p, undo.fds, fds, 2 * sizeof(fds[0])) < 0)
		fds[0] = fds[1] = -1;
	b->undo = (struct arch_undo){.fd = -1};
	/* As with all that follows, the first error is the one to tell. */
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			(void)boot_call(ctx, b, SYS_close, (uint64_t[6]){(uint64_t)fds[i]},
					&result);
	if (undo.area)
		(void)boot_call(ctx, b, SYS_munmap, (uint64_t[6]){undo.area, undo.area_len},
				&result);
	ctx->err = first;
}

static int wipe(struct context *ctx, struct boot *b)
{
	static const unsigned char nothing[ARCH_BOOT_MAX];
	int r = puppet_write_code(ctx, b->p, b->at, nothing, sizeof(nothing));

	puppet_code_written(b->p->area);
	return r;
}

int boot_home(struct context *ctx, struct boot *b)
{
	int r = trace_set_sigmask(ctx, b->p, b->p->sigmask);

	if (r == 0)
		r = arch_set_regs(ctx, b->p->tid, &b->p->regs);
	return r < 0 ? r : wipe(ctx, b);
}

int boot_end(struct context *ctx, struct boot *b)
{
	int64_t unused;
	int r = boot_park(ctx, b);

	if (r == 0)
		r = boot_finish(ctx, b, &unused);
	return r < 0 ? r : boot_home(ctx, b);
}

int boot_end_after(struct context *ctx, struct boot *b, int r)
{
	struct err first;

	if (r >= 0)
		return boot_end(ctx, b);
	if (r == -ESRCH)
		return r;
	first = ctx->err;
	(void)boot_end(ctx, b); /* if this fails, detaching brings it home */
	ctx->err = first;
	return r;
}

int boot_leave_for(struct context *ctx, struct boot *b, const struct arch_regs *regs)
{
	int r;

	r = arch_set_regs(ctx, b->p->tid, regs);
	if (r == 0)
		r = trace_go(ctx, b->p, PTRACE_CONT, 0);
	return r < 0 ? r : wipe(ctx, b);
}
