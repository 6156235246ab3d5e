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

#include "puppet/attach.h"
#include "puppet/blob.h"
#include "puppet/boot.h"
#include "puppet/loop.h"
#include "puppet/ring.h"
#include "puppet/trace.h"
#include "util/context.h"
#include "util/macro.h"

enum { SLOT_SIZE = 64 * 1024, SLOTS_MAX = 64 };

static int area_failed(struct context *ctx, struct puppet *p, int r)
{
	r = err_while(ctx, r, "mapping an area into process %d", p->tgid);
	if (r == -ENOMEM)
		return err_hint(ctx, r, "raise its RLIMIT_AS, or vm.max_map_count");
	if (r == -EAGAIN)
		return err_hint(ctx, r, "raise its RLIMIT_MEMLOCK: it has mlockall(MCL_FUTURE) on");
	return r;
}

static int area_map(struct context *ctx, struct boot *b, uint32_t slots)
{
	struct puppet_area *area = b->p->area;
	uint64_t code = ALIGN_UP((uint64_t)stub_blob_len, (uint64_t)sysconf(_SC_PAGESIZE));
	uint64_t size = code + (uint64_t)slots * SLOT_SIZE;
	int64_t base, r;

	base = boot_must(ctx, b, "mmap", SYS_mmap,
			 (uint64_t[6]){0, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
				       (uint64_t)-1, 0});
	if (base < 0)
		return area_failed(ctx, b->p, (int)base);
	b->undo.area = (uint64_t)base;
	b->undo.area_len = size;
	r = boot_update(ctx, b);
	if (r < 0)
		return (int)r;
	r = boot_must(ctx, b, "mmap", SYS_mmap,
		      (uint64_t[6]){(uint64_t)base + code, size - code, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, (uint64_t)-1, 0});
	if (r < 0)
		return area_failed(ctx, b->p, (int)r);
	area->base = (puppet_addr)base;
	area->size = size;
	area->code = area->base;
	area->n_slots = slots;
	area->slot_size = SLOT_SIZE;
	area->reserve = LOOP_RESERVE;
	area->slots_used = 0;
	area->mapped = true;
	return puppet_write(ctx, b->p, area->base, stub_blob, stub_blob_len);
}

/* Takes what area_map has made away again. */
static int area_unmap(struct context *ctx, struct boot *b)
{
	uint64_t base = b->undo.area, size = b->undo.area_len;
	int64_t r;

	if (!base)
		return 0;
	b->undo.area = 0;
	b->undo.fds = 0; /* lies in the area */
	r = boot_update(ctx, b);
	if (r == 0)
		r = boot_must(ctx, b, "munmap", SYS_munmap, (uint64_t[6]){base, size});
	b->p->area->mapped = false;
	return r < 0 ? (int)r : 0;
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

/* The first of a process to be entered: maps the area, and moves into the loop if it can. */
static int enter_first(struct context *ctx, struct puppet *p, uint32_t slots)
{
	struct boot b;
	int r;

	/* One more than asked for: threads that were not entered run their tables there. */
	slots = MIN(slots + 1, (uint32_t)SLOTS_MAX);
	r = boot_begin(ctx, p, NULL, &b);
	if (r < 0)
		return r;
	r = area_map(ctx, &b, slots);
	if (r == 0)
		r = slot_take(ctx, p);
	if (r == 0) {
		r = loop_connect(ctx, &b);
		if (r > 0)
			r = loop_enter(ctx, &b);
		if (r == 0 && p->area->looping)
			return 0;
		if (r < 0)
			slot_give(p);
	}
	if (r < 0 && r != -ESRCH) {
		struct err first = ctx->err;

		(void)area_unmap(ctx, &b); /* the first error is the one to tell */
		ctx->err = first;
	}
	return boot_end_after(ctx, &b, r);
}

int borrow_enter(struct context *ctx, struct puppet *p, uint32_t slots)
{
	int r;

	assert(p->state == PUPPET_STOPPED);
	r = attach_check_filter(ctx, p);
	if (r < 0)
		return r;
	r = p->area->mapped ? slot_take(ctx, p) : enter_first(ctx, p, slots);
	if (r < 0)
		return r;
	p->state = PUPPET_LOOP;
	return 0;
}

/* The last user of the area: takes it out, and the task home. */
static int leave_last(struct context *ctx, struct puppet *p)
{
	struct puppet_area *area = p->area;
	struct arch_boot undo = {.area = area->base, .area_len = area->size};
	struct boot b;
	int r;

	r = loop_undo(ctx, p, &undo.fds);
	if (r == 0)
		r = boot_begin(ctx, p, &undo, &b);
	if (r < 0)
		return r;
	r = loop_disconnect(ctx, &b);
	if (r == 0)
		r = area_unmap(ctx, &b);
	return boot_end_after(ctx, &b, r);
}

int borrow_leave(struct context *ctx, struct puppet *p)
{
	bool looping = p->area->looping == p;
	int r = 0;

	assert(p->state == PUPPET_LOOP);
	slot_give(p);
	if (looping)
		r = loop_park(ctx, p);
	if (r == 0 && p->area->users == 0)
		r = leave_last(ctx, p);
	else if (r == 0 && looping)
		r = loop_home(ctx, p);
	if (p->state != PUPPET_GONE)
		p->state = PUPPET_STOPPED;
	return r;
}
