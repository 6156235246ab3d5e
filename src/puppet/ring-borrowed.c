/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a borrowed puppet is told to run the table in its slot.
 *
 * The socket carries single bytes to the looping task, and slot numbers back: visitors answer at
 * the same socket, so that an answer may be another's; it is noted in the area. While an answer is
 * awaited the task may be stopped (by SIGSTOP) or die, which only waitpid() tells: the wait ends
 * from time to time to look (loop.c sets the time).
 */
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

#include "puppet/loop.h"
#include "puppet/ring.h"
#include "puppet/slow.h"
#include "puppet/trace.h"
#include "util/context.h"

/*
 * Of a call that the kernel has continued and whose number could not be found out, the way home of
 * the loop would make EINTR; that of boot code continues it. And a thread that has unshared its
 * descriptors does not have the socket.
 */
static bool has_loop(const struct puppet *p)
{
	return p->area->looping != NULL && !arch_call_lost(&p->regs) && !p->own_files;
}

static int start(struct context *ctx, struct puppet *p)
{
	const char ring = 0;

	if (!has_loop(p))
		return 0;
	if (p->area->looping != p)
		return loop_visit(ctx, p);
	if (send(p->area->socket, &ring, sizeof(ring), MSG_NOSIGNAL) == sizeof(ring))
		return 0;
	/* The other end is closed: nothing but the task's death does that. */
	if (errno == EPIPE || errno == ECONNRESET)
		return trace_gone(ctx, p, -1);
	return err_sys(ctx, -errno, "send(doorbell of task %d)", p->tid);
}

/* 1: an answer was read and noted. 0: none yet. -EPIPE: there will be none. */
static int read_answer(struct context *ctx, struct puppet_area *area)
{
	uint32_t slot;
	ssize_t n = recv(area->socket, &slot, sizeof(slot), 0);

	if (n == sizeof(slot) && slot < area->n_slots) {
		area->answered |= UINT64_C(1) << slot;
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return err_sys(ctx,
		       n == 0 || (n < 0 && errno == ECONNRESET) ? -EPIPE
		       : n > 0					? -EPROTO
								: -errno,
		       "recv(doorbell)");
}

/* Whatever stopped the task on its way: on it goes. Positive: something had. */
static int send_on(struct context *ctx, struct puppet *p)
{
	struct trace_stop stop;
	int r, stops = 0;

	while ((r = trace_poll(ctx, p, &stop)) > 0) {
		r = trace_pass(ctx, p, &stop);
		if (r < 0)
			return r;
		stops++;
	}
	return r < 0 ? r : stops;
}

static bool waits_in_loop(const struct puppet *p)
{
	return p->state == PUPPET_LOOP && p->area->looping == p;
}

int puppet_heed(struct context *ctx, struct puppet *p)
{
	return waits_in_loop(p) ? send_on(ctx, p) : 0;
}

int puppet_hold(struct context *ctx, struct puppet *p)
{
	return waits_in_loop(p) ? trace_park(ctx, p) : 0;
}

/* Its recv() is taken up again. */
int puppet_unhold(struct context *ctx, struct puppet *p)
{
	return waits_in_loop(p) ? trace_go(ctx, p, PTRACE_CONT, 0) : 0;
}

static int await_answer(struct context *ctx, struct puppet *p)
{
	struct puppet_area *area = p->area;
	uint64_t bit = UINT64_C(1) << p->slot;

	while (!(area->answered & bit)) {
		struct trace_stop stop;
		int r = read_answer(ctx, area);

		if (r == 0)
			r = send_on(ctx, p);
		else if (r == -EPIPE)
			/* The descriptors of a dying task are closed before its death is told. */
			r = trace_wait(ctx, p, &stop);
		if (r < 0)
			return r;
	}
	area->answered &= ~bit;
	return 0;
}

static int wait(struct context *ctx, struct puppet *p)
{
	int r;

	if (!has_loop(p))
		return slow_run(ctx, p);
	r = await_answer(ctx, p);
	if (p->area->looping == p || p->state == PUPPET_GONE)
		return r;
	/* A visitor goes home, whatever came of its table. */
	if (r < 0) {
		struct err first = ctx->err;

		(void)(loop_park(ctx, p) == 0 && loop_home(ctx, p) == 0);
		ctx->err = first;
		return r;
	}
	r = loop_park(ctx, p);
	return r < 0 ? r : loop_home(ctx, p);
}

const struct puppet_ring ring_borrowed = {.start = start, .wait = wait};
