/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for io_uring. */
#include <string.h>

#include "image/validate-internal.h"

enum {
	SQ_ENTRIES_MAX = 1 << 15, /* IORING_MAX_ENTRIES */
	CQ_ENTRIES_MAX = 1 << 16, /* IORING_MAX_CQ_ENTRIES */
	SLOTS_MAX = 1 << 16,
	REGISTERED_MAX = 16, /* IO_RINGFD_REG_MAX */
	HEADER = 64,	     /* struct io_rings */
	CQ_HEAD_AT = 8,
	SQE128 = 1 << 10,
	CQE32 = 1 << 11,
	NO_SQARRAY = 1 << 16,
};

static bool is_power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static int check_thread(const struct validation *v, const char *what, uint32_t process,
			uint32_t thread)
{
	if (thread >= v->cp->processes[process - 1]->n_threads)
		return invalid(v, "%s.thread: process %u has no thread %u", what, process, thread);
	return 0;
}

/* Both have whole pages, and room for what the numbers of entries say. */
static int check_pages(const struct validation *v, const Coppice__IoUring *ring)
{
	uint64_t cqes = HEADER + (uint64_t)ring->cq_entries * (ring->flags & CQE32 ? 32 : 16);
	uint64_t array = ring->flags & NO_SQARRAY ? 0 : (uint64_t)ring->sq_entries * 4;
	uint64_t sqes = (uint64_t)ring->sq_entries * (ring->flags & SQE128 ? 128 : 64);
	uint64_t page = v->page_size;

	if (ring->rings.len != ALIGN_UP(ALIGN_UP(cqes, UINT64_C(64)) + array, page))
		return invalid(v, "io_uring.rings: %zu bytes do not fit its entries",
			       ring->rings.len);
	if (ring->sqes.len != ALIGN_UP(sqes, page))
		return invalid(v, "io_uring.sqes: %zu bytes do not fit its entries",
			       ring->sqes.len);
	return 0;
}

/*
 * Submissions without completions are made up for by spoiling the array of entries (uring-make.c), which
 * lies behind the completions. A ring without one has lost none.
 */
static int check_dropped(const struct validation *v, const Coppice__IoUring *ring)
{
	if ((ring->flags & NO_SQARRAY) && !ring->drain_disabled &&
	    (int32_t)(ring->sq_head - ring->cq_tail) > 0)
		return invalid(v, "io_uring.sq_head: %u, more than the %u that completed",
			       ring->sq_head, ring->cq_tail);
	return 0;
}

static int check_unread(const struct validation *v, const Coppice__IoUring *ring)
{
	uint32_t head;

	memcpy(&head, ring->rings.data + CQ_HEAD_AT, sizeof(head));
	if (ring->cq_tail - head > ring->cq_entries)
		return invalid(v, "io_uring.cq_tail: %u is too far from the head, %u",
			       ring->cq_tail, head);
	return 0;
}

static int check_registered(const struct validation *v, const Coppice__IoUring *ring)
{
	if (ring->file_slots > SLOTS_MAX || ring->buffer_slots > SLOTS_MAX)
		return invalid(v, "io_uring.file_slots: %u files, %u buffers", ring->file_slots,
			       ring->buffer_slots);
	for (size_t i = 0; i < ring->n_files; i++)
		if (ring->files[i]->index >= ring->file_slots)
			return invalid(v, "io_uring.files[%zu].index: %u", i,
				       ring->files[i]->index);
	for (size_t i = 0; i < ring->n_buffers; i++)
		if (ring->buffers[i]->index >= ring->buffer_slots)
			return invalid(v, "io_uring.buffers[%zu].index: %u", i,
				       ring->buffers[i]->index);
	if (ring->n_worker_limits != 0 && ring->n_worker_limits != 2)
		return invalid(v, "io_uring.worker_limits: %zu", ring->n_worker_limits);
	return 0;
}

static int check_tasks(const struct validation *v, const Coppice__IoUring *ring)
{
	for (size_t i = 0; i < ring->n_tasks; i++) {
		const Coppice__IoUringTask *task = ring->tasks[i];
		int r = check_thread(v, "io_uring.tasks", task->process, task->thread);

		if (r < 0)
			return r;
		if (task->index >= REGISTERED_MAX)
			return invalid(v, "io_uring.tasks[%zu].index: %u", i, task->index);
	}
	return 0;
}

int validate_io_uring(const struct validation *v, const Coppice__IoUring *ring)
{
	int r = check_thread(v, "io_uring", ring->process, ring->thread);

	if (r < 0)
		return r;
	if (!is_power_of_two(ring->sq_entries) || ring->sq_entries > SQ_ENTRIES_MAX)
		return invalid(v, "io_uring.sq_entries: %u", ring->sq_entries);
	if (!is_power_of_two(ring->cq_entries) || ring->cq_entries > CQ_ENTRIES_MAX ||
	    ring->cq_entries < ring->sq_entries)
		return invalid(v, "io_uring.cq_entries: %u", ring->cq_entries);
	r = check_pages(v, ring);
	if (r == 0)
		r = check_dropped(v, ring);
	if (r == 0)
		r = check_unread(v, ring);
	if (r == 0)
		r = check_registered(v, ring);
	return r < 0 ? r : check_tasks(v, ring);
}
