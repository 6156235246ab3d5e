/* SPDX-License-Identifier: Apache-2.0 */
#include "puppet/transport.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "util/context.h"

enum { NOT_PLACED = UINT32_MAX };

void batch_deinit(struct batch *b)
{
	free(b->bytes);
	free(b->place);
	free(b->placed);
	*b = (struct batch){};
}

static int batch_make_room(struct context *ctx, struct batch *b, size_t bytes, size_t spaces)
{
	void *p;
	int r;

	r = fault_point(ctx, "allocation");
	if (r < 0)
		return r;
	if (bytes > b->room) {
		p = realloc(b->bytes, bytes);
		if (!p)
			return err_oom(ctx);
		b->bytes = p;
		b->room = bytes;
	}
	if (spaces > b->n_spaces) {
		p = realloc(b->place, spaces * sizeof(*b->place));
		if (!p)
			return err_oom(ctx);
		b->place = p;
		p = realloc(b->placed, spaces * sizeof(*b->placed));
		if (!p)
			return err_oom(ctx);
		b->placed = p;
		b->n_spaces = spaces;
	}
	return 0;
}

static uint32_t space_at(const struct call_table *t, uint64_t offset)
{
	size_t low = 0, high = t->n_spaces;

	assert(offset < t->data_len);
	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (t->spaces[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return (uint32_t)low;
}

/* The first pointer that lies at @offset or behind. */
static size_t pointer_from(const struct call_table *t, uint32_t offset)
{
	size_t low = 0, high = t->n_pointers;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (t->pointers[middle].at < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void place(struct batch *b, const struct call_table *t, uint32_t space, size_t *data)
{
	if (b->place[space] != NOT_PLACED)
		return;
	b->place[space] = (uint32_t)*data;
	b->placed[b->n_placed++] = space;
	*data += t->spaces[space].len;
}

/* Places what a call refers to, and what that points to. */
static void place_call(struct batch *b, const struct call_table *t, const struct call *call,
		       size_t *data)
{
	size_t next = b->n_placed;

	for (int i = 0; i < 6; i++)
		if (call->arg[i].kind == CALL_ARG_DATA)
			place(b, t, space_at(t, call->arg[i].value), data);
	for (; next < b->n_placed; next++) {
		const struct call_space *s = &t->spaces[b->placed[next]];

		for (size_t i = pointer_from(t, s->offset);
		     i < t->n_pointers && t->pointers[i].at < s->offset + s->len; i++)
			place(b, t, space_at(t, t->pointers[i].target), data);
	}
}

static void take_back(struct batch *b, size_t n_placed)
{
	while (b->n_placed > n_placed)
		b->place[b->placed[--b->n_placed]] = NOT_PLACED;
}

static size_t head_len(size_t calls)
{
	return sizeof(struct interp_slot) + calls * sizeof(struct interp_call);
}

/* Chooses how many calls go into this batch; returns the bytes of data that go with them. */
static size_t choose(struct batch *b, const struct call_table *t, size_t slot_room)
{
	size_t data = 0;

	b->n = 0;
	b->n_placed = 0;
	for (size_t i = 0; i < t->n_spaces; i++)
		b->place[i] = NOT_PLACED;
	while (b->first + b->n < t->n_calls) {
		size_t more = data, n_placed = b->n_placed;

		place_call(b, t, &t->calls[b->first + b->n], &more);
		if (head_len(b->n + 1) + more > slot_room) {
			take_back(b, n_placed);
			break;
		}
		data = more;
		b->n++;
	}
	return data;
}

static uint64_t address_of(const struct batch *b, const struct call_table *t, puppet_addr slot,
			   uint64_t offset)
{
	uint32_t space = space_at(t, offset);

	return slot + head_len(b->n) + b->place[space] + (offset - t->spaces[space].offset);
}

static struct interp_call encode_call(const struct batch *b, const struct call_table *t,
				      const struct call *call, puppet_addr slot)
{
	struct interp_call wire = {
		.nr = (uint32_t)call->nr,
		.expect = (uint16_t)call->expect,
		.want = call->want,
	};

	for (int i = 0; i < 6; i++) {
		uint64_t value = call->arg[i].value;

		switch (call->arg[i].kind) {
		case CALL_ARG_IMM:
			wire.arg[i] = value;
			break;
		case CALL_ARG_DATA:
			wire.arg[i] = address_of(b, t, slot, value);
			break;
		case CALL_ARG_RESULT:
			if (value >= b->first) {
				wire.arg[i] = value - b->first;
				wire.result_arg |= (uint16_t)(1u << i);
			} else {
				wire.arg[i] = (uint64_t)t->calls[value].result;
			}
			break;
		}
	}
	return wire;
}

static void encode_data(struct batch *b, const struct call_table *t, puppet_addr slot)
{
	unsigned char *data = b->bytes + head_len(b->n);

	for (size_t i = 0; i < b->n_placed; i++) {
		const struct call_space *s = &t->spaces[b->placed[i]];
		unsigned char *to = data + b->place[b->placed[i]];

		memcpy(to, t->data + s->offset, s->len);
		for (size_t k = pointer_from(t, s->offset);
		     k < t->n_pointers && t->pointers[k].at < s->offset + s->len; k++) {
			uint64_t address = address_of(b, t, slot, t->pointers[k].target);

			memcpy(to + (t->pointers[k].at - s->offset), &address, sizeof(address));
		}
	}
}

int batch_encode(struct context *ctx, struct batch *b, const struct call_table *t, size_t first,
		 puppet_addr slot, size_t slot_room)
{
	struct interp_slot head = {};
	size_t data;
	int r;

	r = batch_make_room(ctx, b, slot_room, t->n_spaces);
	if (r < 0)
		return r;
	b->first = first;
	data = choose(b, t, slot_room);
	if (b->n == 0 && first < t->n_calls)
		return err_msg(ctx, -E2BIG, "%s: does not fit into a slot of %zu bytes",
			       t->calls[first].what, slot_room);
	head.n_calls = (uint32_t)b->n;
	memcpy(b->bytes, &head, sizeof(head));
	for (size_t i = 0; i < b->n; i++) {
		struct interp_call wire = encode_call(b, t, &t->calls[first + i], slot);

		memcpy(b->bytes + head_len(i), &wire, sizeof(wire));
	}
	encode_data(b, t, slot);
	b->len = head_len(b->n) + data;
	return 0;
}

/* The slot comes from a puppet whose program may have scribbled on it: nothing in it is trusted. */
int batch_decode(struct context *ctx, const struct batch *b, struct call_table *t)
{
	struct interp_slot head;

	memcpy(&head, b->bytes, sizeof(head));
	if (head.n_calls != b->n || head.done > b->n)
		return err_msg(ctx, -EPROTO, "the call table came back damaged");
	for (size_t i = 0; i < head.done; i++) {
		struct interp_call wire;

		memcpy(&wire, b->bytes + head_len(i), sizeof(wire));
		t->calls[b->first + i].result = wire.result;
		t->calls[b->first + i].done = true;
	}
	for (size_t i = 0; i < b->n_placed; i++) {
		const struct call_space *s = &t->spaces[b->placed[i]];

		memcpy(t->data + s->offset, b->bytes + head_len(b->n) + b->place[b->placed[i]],
		       s->len);
	}
	for (size_t i = 0; i < head.done; i++)
		if (!call_met(&t->calls[b->first + i]))
			return call_failed(ctx, t, (uint32_t)(b->first + i));
	if (head.done < b->n)
		return err_msg(ctx, -EPROTO, "%s: not executed",
			       t->calls[b->first + head.done].what);
	return 0;
}

static const struct puppet_ring *ring_of(const struct puppet *p)
{
	return p->borrowed ? &ring_borrowed : &ring_made;
}

static puppet_addr slot_of(const struct puppet *p)
{
	return area_slot(p->area, p->slot);
}

/* Does the call change what SIGTRAP does, or leave one pending? Then it cannot ring any more. */
static bool takes_trap(const struct call *call)
{
	switch (call->nr) {
	case SYS_rt_sigaction:
		return call->arg[0].value == SIGTRAP &&
		       (call->arg[1].kind != CALL_ARG_IMM || call->arg[1].value != 0);
	case SYS_kill:
	case SYS_tkill:
	case SYS_rt_sigqueueinfo:
		return call->arg[1].value == SIGTRAP;
	case SYS_tgkill:
	case SYS_rt_tgsigqueueinfo:
		return call->arg[2].value == SIGTRAP;
	default:
		return false;
	}
}

static void choose_bell(struct puppet *p, const struct call_table *t)
{
	struct interp_slot *slot = (void *)p->batch->bytes;

	if (p->borrowed)
		return;
	for (size_t i = 0; i < p->batch->n; i++)
		if (takes_trap(&t->calls[p->batch->first + i]))
			p->area->quiet = true;
	slot->bell = p->area->quiet ? INTERP_BELL_CALL : INTERP_BELL_BREAK;
}

static int send(struct context *ctx, struct puppet *p, struct call_table *t, size_t first)
{
	struct batch *b = p->batch;
	struct iovec local, remote;
	int r;

	r = fault_point(ctx, "call table");
	if (r < 0)
		return r;
	r = batch_encode(ctx, b, t, first, slot_of(p), p->area->slot_size - p->area->reserve);
	if (r < 0)
		return r;
	choose_bell(p, t);
	local = (struct iovec){b->bytes, b->len};
	remote = (struct iovec){(void *)(uintptr_t)slot_of(p), b->len};
	if (process_vm_writev(p->tid, &local, 1, &remote, 1, 0) != (ssize_t)b->len)
		return err_sys(ctx, errno ? -errno : -EFAULT, "process_vm_writev(%d)", p->tid);
	r = ring_of(p)->start(ctx, p);
	if (r == 0)
		p->state = PUPPET_BUSY;
	return r;
}

static int receive(struct context *ctx, struct puppet *p, struct call_table *t)
{
	struct batch *b = p->batch;
	struct iovec local = {b->bytes, b->len};
	struct iovec remote = {(void *)(uintptr_t)slot_of(p), b->len};
	int r;

	r = ring_of(p)->wait(ctx, p);
	if (r < 0)
		return r;
	p->state = PUPPET_LOOP;
	if (process_vm_readv(p->tid, &local, 1, &remote, 1, 0) != (ssize_t)b->len)
		return err_sys(ctx, errno ? -errno : -EFAULT, "process_vm_readv(%d)", p->tid);
	return batch_decode(ctx, b, t);
}

int transport_start(struct context *ctx, struct puppet *p, struct call_table *t)
{
	assert(p->state == PUPPET_LOOP || p->state == PUPPET_GONE);
	if (p->state == PUPPET_GONE)
		return err_msg(ctx, -ESRCH, "task %d has died", p->tid);
	if (t->failed)
		return err_oom(ctx);
	for (size_t i = 0; i < t->n_calls; i++)
		t->calls[i].done = false;
	if (!p->batch)
		p->batch = calloc(1, sizeof(*p->batch));
	if (!p->batch)
		return err_oom(ctx);
	return send(ctx, p, t, 0);
}

int transport_finish(struct context *ctx, struct puppet *p, struct call_table *t)
{
	int r;

	while (true) {
		r = receive(ctx, p, t);
		if (r < 0)
			return err_while(ctx, r, "calls in task %d", p->tid);
		if (p->batch->first + p->batch->n == t->n_calls)
			return 0;
		r = send(ctx, p, t, p->batch->first + p->batch->n);
		if (r < 0)
			return err_while(ctx, r, "calls in task %d", p->tid);
	}
}

void transport_settle(struct context *ctx, struct puppet *p)
{
	struct err first = ctx->err;

	if (p->state == PUPPET_BUSY && ring_of(p)->wait(ctx, p) == 0)
		p->state = PUPPET_LOOP;
	ctx->err = first;
}

void transport_free(struct puppet *p)
{
	if (!p->batch)
		return;
	batch_deinit(p->batch);
	free(p->batch);
	p->batch = NULL;
}
