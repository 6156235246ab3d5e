/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into the borrowed loop and out of it.
 *
 * One task of a process waits at a socket pair's far end, whose near end the coordinator has. The
 * others, when they are to run a table, visit: they run the one in their slot, answer at the same
 * socket, and wait there, without reading, until they are fetched. In either case the coordinator's
 * death is the end of the stream, after which the task goes home through rt_sigreturn.
 *
 * What a coordinator that is killed between two steps leaves behind:
 *
 *	in:  1. frame and door are written to the slot .. the task is where it was (home, boot code)
 *	     2. registers: the loop's entry ............. blocks signals, sees the end, goes home
 *	     3. all signals blocked (visitors) .......... the same
 *	     4. it runs
 *	out: 1. interrupted in its wait, parked ......... the wait is taken up again, sees the end
 *	     2. registers: the way home ................. goes home
 *	     3. its own signal mask ..................... blocks signals again, goes home; a handler
 *							  that runs before has the task's own stack
 *	     4. its own registers ....................... the task is itself
 *
 * The frame cannot carry the kernel's restart of an interrupted system call, nor its restart block:
 * such a call is called again from its start, a relative timeout with it, or returns EINTR if a
 * handler waits to run (stub/borrowed.c).
 */
#include "puppet/loop.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "puppet/interp.h"
#include "puppet/ring.h"
#include "puppet/stub/door.h"
#include "puppet/trace.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/macro.h"

/* How long to wait for an answer before looking what else may have happened to the task. */
enum { ANSWER_US = 20000 };

static puppet_addr door_address(const struct puppet_area *area, uint32_t slot)
{
	puppet_addr end = area_slot(area, slot) + area->slot_size;

	return end - LOOP_STACK - sizeof(struct borrowed_door);
}

puppet_addr loop_lent(const struct puppet *p)
{
	return door_address(p->area, p->slot) + offsetof(struct borrowed_door, lent);
}

/* Fetches our end of the pair, and sets it up. */
static int take_socket(struct context *ctx, struct puppet *p, int number, int *ret_fd)
{
	struct timeval patience = {.tv_usec = ANSWER_US};
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = puppet_fd_out(ctx, p, number, &fd);
	if (r < 0)
		return r;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return err_sys(ctx, -errno, "setsockopt(SO_RCVTIMEO)");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Starts closing one of the program's descriptors; should we die, @still is closed, too. */
static int close_far(struct context *ctx, struct boot *b, int fd, int still)
{
	struct arch_undo undo = b->undo;

	undo.fds = 0;
	undo.fd = still;
	return boot_start(ctx, b, SYS_close, (uint64_t[6]){(uint64_t)fd}, &undo);
}

int loop_connect(struct context *ctx, struct boot *b)
{
	static const int32_t none[2] = {-1, -1};
	/* The start of the slot, where no table is yet. */
	puppet_addr at = area_slot(b->p->area, b->p->slot);
	struct arch_undo undo = b->undo;
	int r = puppet_write(ctx, b->p, at, none, sizeof(none));

	undo.fds = at;
	if (r < 0)
		return r;
	return boot_start(ctx, b, SYS_socketpair,
			  (uint64_t[6]){AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, at}, &undo);
}

/* Ours could not be taken: neither end is of use. */
static int close_both(struct context *ctx, struct boot *b, const int32_t fds[2])
{
	int64_t result;
	int r = close_far(ctx, b, fds[0], fds[1]);

	if (r == 0)
		r = boot_finish(ctx, b, &result);
	if (r == 0)
		r = close_far(ctx, b, fds[1], -1);
	return r < 0 ? r : boot_finish(ctx, b, &result);
}

int loop_connected(struct context *ctx, struct boot *b, int64_t result)
{
	struct puppet *p = b->p;
	int near = -EBADF, r;
	int32_t fds[2];

	if (result < 0) {
		log_info(ctx, "process %d: no socket pair (%s): calls go one by one", p->tgid,
			 err_name((int)result));
		b->undo.fds = 0;
		return 0;
	}
	r = puppet_read(ctx, p, b->undo.fds, fds, sizeof(fds));
	if (r < 0)
		return r;
	r = take_socket(ctx, p, fds[0], &near);
	if (r < 0) {
		log_info(ctx, "process %d: %s: calls go one by one", p->tgid, ctx->err.frame[0]);
		return close_both(ctx, b, fds);
	}
	p->area->socket = near;
	p->area->far_socket = fds[1];
	r = close_far(ctx, b, fds[0], fds[1]);
	return r < 0 ? r : 1;
}

void loop_forget(struct puppet_area *area)
{
	if (area->socket >= 0)
		(void)close(area->socket); /* nothing is in flight any more */
	area->socket = -EBADF;
	area->far_socket = -EBADF;
	area->lent = -EBADF;
}

int loop_disconnect(struct context *ctx, struct boot *b)
{
	struct puppet_area *area = b->p->area;
	int far = area->far_socket;

	loop_forget(area);
	return close_far(ctx, b, far, -1);
}

int loop_take_back(struct context *ctx, struct boot *b)
{
	struct puppet_area *area = b->p->area;
	int lent = area->lent;

	area->lent = -EBADF;
	return close_far(ctx, b, lent, area->far_socket);
}

/* Writes frame and door into the task's slot; then the task may be sent to the loop's entry. */
static int furnish(struct context *ctx, struct puppet *p, enum door_kind kind)
{
	const struct puppet_area *area = p->area;
	puppet_addr door_at = door_address(area, p->slot);
	puppet_addr frame_at = ALIGN_UP(area_slot(area, p->slot) + area->slot_size - area->reserve,
					(puppet_addr)64);
	unsigned char frame_bytes[ARCH_FRAME_MAX];
	unsigned char xstate[ARCH_FRAME_MAX];
	struct arch_frame frame;
	struct borrowed_door door = {
		.stack = door_at + sizeof(door) + LOOP_STACK,
		.signals = ~UINT64_C(0),
		.slot = area_slot(area, p->slot),
		.socket = area->far_socket,
		.number = p->slot,
		.kind = kind,
		.filtered = p->filtered,
		.sigmask = p->sigmask,
	};
	int len, r;

	len = arch_get_xstate(ctx, p->tid, xstate, sizeof(xstate));
	if (len < 0)
		return len;
	r = arch_frame_build(ctx, frame_bytes, door_at - frame_at, frame_at, &p->regs, xstate,
			     (size_t)len, p->sigmask, &frame);
	if (r == 0)
		r = puppet_write(ctx, p, frame_at, frame_bytes, frame.len);
	if (r < 0)
		return r;
	door.frame = frame.sp;
	door.call = (uint32_t)frame.call;
	door.ip_at = frame_at + frame.ip_at;
	door.result_at = frame_at + frame.result_at;
	door.eintr_ip = frame.eintr_ip;
	door.eintr_result = frame.eintr_result;
	return puppet_write(ctx, p, door_at, &door, sizeof(door));
}

static void entry_regs(const struct puppet *p, enum interp_entry entry, struct arch_regs *ret_regs)
{
	arch_enter_regs(ret_regs, &p->regs, p->area->code + entry, door_address(p->area, p->slot));
}

int loop_enter(struct context *ctx, struct boot *b)
{
	struct puppet *p = b->p;
	struct arch_regs regs;
	int r;

	r = furnish(ctx, p, DOOR_LOOP);
	if (r < 0)
		return r;
	entry_regs(p, INTERP_ENTRY_BORROWED, &regs);
	r = boot_leave_for(ctx, b, &regs);
	if (r == 0)
		p->area->looping = p;
	return r;
}

int loop_visit(struct context *ctx, struct puppet *p)
{
	struct arch_regs regs;
	int r;

	r = furnish(ctx, p, DOOR_ONCE);
	if (r < 0)
		return r;
	entry_regs(p, INTERP_ENTRY_BORROWED, &regs);
	r = arch_set_regs(ctx, p->tid, &regs);
	if (r == 0)
		r = trace_set_sigmask(ctx, p, ~UINT64_C(0));
	return r < 0 ? r : trace_go(ctx, p, PTRACE_CONT, 0);
}

int loop_call_back(struct context *ctx, struct puppet *p)
{
	if (p->area->looping == p)
		p->area->looping = NULL;
	return trace_interrupt(ctx, p);
}

int loop_park(struct context *ctx, struct puppet *p)
{
	int r = loop_call_back(ctx, p);

	return r < 0 ? r : trace_await_park(ctx, p);
}

int loop_home(struct context *ctx, struct puppet *p)
{
	struct arch_regs regs;
	int r;

	entry_regs(p, INTERP_ENTRY_HOME, &regs);
	r = arch_set_regs(ctx, p->tid, &regs);
	if (r == 0)
		r = trace_set_sigmask(ctx, p, p->sigmask);
	return r < 0 ? r : arch_set_regs(ctx, p->tid, &p->regs);
}
