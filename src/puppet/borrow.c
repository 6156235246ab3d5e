/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entering and leaving a running program's task.
 *
 * The area is one mapping of the process: code pages (read and execute, written through
 * /proc/PID/mem, so that a process that forbids itself writable code (MDWE) sees none) and behind
 * them slots (read and write). It goes by the usual rules of the process, so it can fail: address
 * space or locked-memory limits, number of mappings.
 */
#include "puppet/borrow.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "puppet/blob.h"
#include "puppet/errand.h"
#include "puppet/loop.h"
#include "puppet/permit.h"
#include "puppet/ring.h"
#include "puppet/trace.h"
#include "util/context.h"
#include "util/macro.h"

enum { SLOT_SIZE = 64 * 1024, SLOTS_MAX = 64, AT_ONCE = 64 };

static int area_failed(struct context *ctx, struct puppet *p, int r)
{
	r = err_while(ctx, r, "mapping an area into process %d", p->tgid);
	if (r == -ENOMEM)
		return err_hint(ctx, r, "raise its RLIMIT_AS, or vm.max_map_count");
	if (r == -EAGAIN)
		return err_hint(ctx, r, "raise its RLIMIT_MEMLOCK: it has mlockall(MCL_FUTURE) on");
	return r;
}

static uint64_t code_size(void)
{
	return ALIGN_UP((uint64_t)stub_blob_len, (uint64_t)sysconf(_SC_PAGESIZE));
}

static int slot_take(struct context *ctx, struct puppet *p)
{
	struct puppet_area *area = p->area;

	for (uint32_t i = 0; i < area->n_slots; i++) {
		if (area->slots_used >> i & 1)
			continue;
		area->slots_used |= UINT64_C(1) << i;
		area->users++;
		p->slot = i;
		return 0;
	}
	return err_msg(ctx, -EBUSY, "all %u slots of process %d are taken", area->n_slots, p->tgid);
}

static void slot_give(struct puppet *p)
{
	p->area->slots_used &= ~(UINT64_C(1) << p->slot);
	p->area->users--;
}

/* Home after an error, with nothing of ours left in the process. Keeps the chain. */
static void undo_and_end(struct context *ctx, struct boot *b, int r)
{
	if (r == -ESRCH)
		return;
	boot_undo(ctx, b);
	loop_forget(b->p->area);
	b->p->area->mapped = false;
	(void)boot_end_after(ctx, b, r); /* r is what the caller returns */
}

static void enter_abort(struct context *ctx, struct errand *e, int r)
{
	if (e->boot.p->area->users > 0)
		slot_give(e->boot.p);
	undo_and_end(ctx, &e->boot, r);
}

static int enter_parked(struct context *ctx, struct errand *e, int64_t result _unused_)
{
	int r = boot_home(ctx, &e->boot);

	return r < 0 ? r : 1;
}

static int enter_closed(struct context *ctx, struct errand *e, int64_t result _unused_)
{
	int r = loop_enter(ctx, &e->boot);

	return r < 0 ? r : 1;
}

static int enter_connected(struct context *ctx, struct errand *e, int64_t result)
{
	int r = loop_connected(ctx, &e->boot, result);

	if (r < 0)
		return r;
	e->next = r > 0 ? enter_closed : enter_parked;
	return r > 0 ? 0 : boot_park(ctx, &e->boot);
}

static int enter_mapped(struct context *ctx, struct errand *e, int64_t result)
{
	struct puppet *p = e->boot.p;
	struct puppet_area *area = p->area;
	int64_t r = boot_check(ctx, &e->boot, "mmap", result);

	if (r < 0)
		return area_failed(ctx, p, (int)r);
	area->base = e->boot.undo.area;
	area->size = e->boot.undo.area_len;
	area->code = area->base;
	area->n_slots = e->slots;
	area->slot_size = SLOT_SIZE;
	area->reserve = LOOP_RESERVE;
	area->slots_used = 0;
	area->answered = 0;
	area->mapped = true;
	r = puppet_write_code(ctx, p, area->base, stub_blob, stub_blob_len);
	if (r == 0)
		r = slot_take(ctx, p);
	if (r < 0)
		return (int)r;
	/* See ring-borrowed.c. */
	e->next = arch_call_lost(&p->regs) ? enter_parked : enter_connected;
	return e->next == enter_parked ? boot_park(ctx, &e->boot) : loop_connect(ctx, &e->boot);
}

static int enter_reserved(struct context *ctx, struct errand *e, int64_t result)
{
	uint64_t code = code_size(), size = code + (uint64_t)e->slots * SLOT_SIZE;
	int64_t base = boot_check(ctx, &e->boot, "mmap", result);

	if (base < 0)
		return area_failed(ctx, e->boot.p, (int)base);
	/* Before the next call is begun: if it is not, this is undone all the same. */
	e->boot.undo.area = (uint64_t)base;
	e->boot.undo.area_len = size;
	e->next = enter_mapped;
	return boot_start(ctx, &e->boot, SYS_mmap,
			  (uint64_t[6]){(uint64_t)base + code, size - code, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, (uint64_t)-1, 0},
			  &e->boot.undo);
}

/*
 * The first of a process to be entered: one mapping, its slots made writable, a pair of sockets, one
 * of them fetched and closed there; then into the loop. Without sockets it stays where it is.
 */
static int enter_begin(struct context *ctx, struct errand *e, struct puppet *p, uint32_t slots)
{
	int r;

	*e = (struct errand){
		/* One more than asked for: threads that were not entered run their tables there. */
		.slots = MIN(slots + 1, (uint32_t)SLOTS_MAX),
		.abort = enter_abort,
	};
	r = permit_calls(ctx, p);
	if (r == 0)
		r = boot_begin(ctx, p, &e->boot);
	if (r < 0)
		return r;
	e->next = enter_reserved;
	r = boot_start(ctx, &e->boot, SYS_mmap,
		       (uint64_t[6]){0, code_size() + (uint64_t)e->slots * SLOT_SIZE,
				     PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
				     (uint64_t)-1, 0},
		       &e->boot.undo);
	if (r < 0) {
		e->next = NULL;
		enter_abort(ctx, e, r);
	}
	return r;
}

/* The last user of the area takes it out. What fails, the task comes home. */
static void leave_abort(struct context *ctx, struct errand *e, int r)
{
	struct err first = ctx->err;

	if (e->boot.p->area->users > 0)
		return;
	if (e->boot.at != 0)
		undo_and_end(ctx, &e->boot, r);
	else if (r != -ESRCH && e->boot.p->area->looping == NULL)
		(void)loop_home(ctx, e->boot.p); /* the first error is the one to tell */
	ctx->err = first;
}

static int leave_unmapped(struct context *ctx, struct errand *e, int64_t result)
{
	int64_t r = boot_check(ctx, &e->boot, "munmap", result);

	if (r == 0)
		r = boot_park(ctx, &e->boot);
	e->next = enter_parked;
	return (int)r;
}

static int leave_disconnected(struct context *ctx, struct errand *e, int64_t result _unused_)
{
	static const struct arch_undo nothing = {.fd = -1};
	const struct arch_undo *undo = &e->boot.undo;
	int r = boot_start(ctx, &e->boot, SYS_munmap, (uint64_t[6]){undo->area, undo->area_len},
			   &nothing);

	if (r < 0)
		return r;
	e->boot.p->area->mapped = false;
	e->next = leave_unmapped;
	return 0;
}

static int leave_took_back(struct context *ctx, struct errand *e, int64_t result _unused_)
{
	e->next = leave_disconnected;
	return loop_disconnect(ctx, &e->boot);
}

static int leave_called_back(struct context *ctx, struct errand *e, int64_t result _unused_)
{
	struct puppet *p = e->boot.p;
	int r;

	if (p->area->users > 0) {
		r = loop_home(ctx, p);
		return r < 0 ? r : 1;
	}
	r = boot_begin(ctx, p, &e->boot);
	if (r < 0)
		return r;
	e->boot.undo = (struct arch_undo){
		.fd = p->area->far_socket >= 0 ? p->area->far_socket : -1,
		.area = p->area->base,
		.area_len = p->area->size,
	};
	if (p->area->far_socket < 0)
		return leave_disconnected(ctx, e, 0);
	if (p->area->lent < 0)
		return leave_took_back(ctx, e, 0);
	e->next = leave_took_back;
	return loop_take_back(ctx, &e->boot);
}

/* 0: under way. 1: there was nothing to do. */
static int leave_begin(struct context *ctx, struct errand *e, struct puppet *p)
{
	int r;

	*e = (struct errand){.boot = {.p = p}, .abort = leave_abort};
	slot_give(p);
	p->state = PUPPET_STOPPED;
	if (p->area->looping == p) {
		e->next = leave_called_back;
		r = loop_call_back(ctx, p);
	} else if (p->area->users == 0) {
		r = leave_called_back(ctx, e, 0);
	} else {
		return 1;
	}
	if (r < 0) {
		e->next = NULL;
		leave_abort(ctx, e, r);
	}
	return r;
}

int borrow_enter(struct context *ctx, struct puppet *p, uint32_t slots)
{
	struct errand e;
	int r;

	assert(p->state == PUPPET_STOPPED);
	if (p->area->mapped) {
		r = permit_calls(ctx, p);
		if (r == 0)
			r = slot_take(ctx, p);
	} else {
		r = enter_begin(ctx, &e, p, slots);
		if (r == 0 && errands_run(ctx, &e, 1) > 0)
			r = e.outcome;
	}
	if (r < 0)
		return r;
	p->state = PUPPET_LOOP;
	return 0;
}

int borrow_leave(struct context *ctx, struct puppet *p)
{
	struct errand e;
	int r;

	assert(p->state == PUPPET_LOOP);
	r = leave_begin(ctx, &e, p);
	if (r == 0 && errands_run(ctx, &e, 1) > 0)
		r = e.outcome;
	return r < 0 ? r : 0;
}

size_t borrow_enter_all(struct context *ctx, struct puppet **puppets, size_t n, uint32_t slots)
{
	struct errand errands[AT_ONCE];
	size_t failed = 0;

	for (size_t first = 0; first < n; first += AT_ONCE) {
		size_t some = MIN(n - first, (size_t)AT_ONCE);

		for (size_t i = 0; i < some; i++)
			errands[i].outcome =
				enter_begin(ctx, &errands[i], puppets[first + i], slots);
		failed += errands_run(ctx, errands, some);
		for (size_t i = 0; i < some; i++)
			if (errands[i].outcome == 0)
				puppets[first + i]->state = PUPPET_LOOP;
	}
	return failed;
}

size_t borrow_leave_all(struct context *ctx, struct puppet **puppets, size_t n)
{
	struct errand errands[AT_ONCE];
	size_t failed = 0;

	for (size_t first = 0; first < n; first += AT_ONCE) {
		size_t some = MIN(n - first, (size_t)AT_ONCE);

		for (size_t i = 0; i < some; i++)
			errands[i].outcome = leave_begin(ctx, &errands[i], puppets[first + i]);
		failed += errands_run(ctx, errands, some);
	}
	return failed;
}
