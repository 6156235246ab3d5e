/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new io_uring in place of an old one.
 *
 * Programs keep copies of the rings' counters, so these must go on where they were, and what the
 * kernel keeps of them (cached_sq_head, cached_cq_tail) begins at zero and moves by submitting and
 * completing alone. So the process that owns the ring submits requests that do nothing, through a
 * mapping of its own that goes again:
 *	for both counters .............. IORING_OP_NOP: the entries of a new ring are zero, which
 *					 is such a request
 *	for submissions alone .......... the same with IOSQE_CQE_SKIP_SUCCESS; or, since that one
 *					 forbids IOSQE_IO_DRAIN from then on, a number in the array of
 *					 entries that is none
 *	for completions alone .......... messages that come from no ring (IORING_REGISTER_SEND_MSG_RING)
 *
 * The kernel works out ahead how many completions it may write before it has to look at the
 * program's head again (io_cqe_cache_refill()). So the head never passes its place in the end.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file/uring.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum {
	REGISTER_SEND_MSG_RING = 31, /* since 6.13 */
	OP_MSG_RING = 40,
	CQE_SKIP_SUCCESS = 1 << 6,
	STEPS_PER_TABLE = 512,
	NO_ENTRY = -1,
	SQ_ARRAY_LINE = 64, /* io_rings_size() aligns the array to a cache line */
};

/* A ring while its counters are being advanced. */
struct advance {
	struct rebuild *r;
	const Coppice__IoUring *ring;
	struct puppet *puppet;
	int fd;		     /* the number of the ring there */
	uint64_t there;	     /* where it is mapped there */
	unsigned char *here; /* and here; the pages of ring->rings */
	unsigned char *sqes;
	uint32_t sq_tail;
	uint64_t completed; /* since the beginning */
};

static struct puppet *puppet_of(struct rebuild *r, const Coppice__IoUring *ring)
{
	return r->processes[ring->process - 1].threads[ring->thread].puppet;
}

/* ---- setup ---------------------------------------------------------------------------------- */

static int set_up(struct rebuild *r, const Coppice__IoUring *ring, struct puppet *p,
		  int *ret_number)
{
	struct io_uring_params params = {
		.flags = ring->flags | IORING_SETUP_CQSIZE,
		.cq_entries = ring->cq_entries,
	};
	struct call_table t;
	int result;

	call_table_init(&t, r->arena);
	call_add(&t, "io_uring_setup", SYS_io_uring_setup, CALL_IMM(ring->sq_entries),
		 CALL_DATA(call_space(&t, &params, sizeof(params))));
	result = puppet_run(r->ctx, p, &t);
	if (result < 0)
		return result;
	*ret_number = (int)call_result(&t, 0);
	return 0;
}

/* ---- counters ------------------------------------------------------------------------------- */

/* The program's head after so many completions. */
static uint32_t head_for(const struct advance *a)
{
	uint32_t unread = a->ring->cq_tail - uring_word(a->ring->rings.data, URING_CQ_HEAD);

	/* Counters that have just begun anew behind 2^32: it waits before their zero. */
	if (unread > a->ring->cq_tail)
		return a->ring->cq_tail - unread;
	return (uint32_t)MIN(a->completed, (uint64_t)(a->ring->cq_tail - unread));
}

static void add_word(struct advance *a, struct call_table *t, size_t offset, uint32_t value)
{
	call_add(t, "setting a counter", CALL_OP_COPY, CALL_IMM(a->there + offset),
		 CALL_DATA(call_space(t, &value, sizeof(value))), CALL_IMM(sizeof(value)));
}

static void add_enter(struct advance *a, struct call_table *t, uint32_t n, bool exact)
{
	uint32_t call;

	a->sq_tail += n;
	add_word(a, t, URING_SQ_TAIL, a->sq_tail);
	call = call_add(t, "io_uring_enter", SYS_io_uring_enter, CALL_IMM(a->fd), CALL_IMM(n),
			CALL_IMM(0), CALL_IMM(IORING_ENTER_GETEVENTS), CALL_IMM(0), CALL_IMM(0));
	if (exact)
		call_expect_exact(t, call, n);
	else
		call_expect_any(t, call);
}

/* Submits up to @n requests by one table; returns how many. */
static uint32_t add_submissions(struct advance *a, struct call_table *t, uint32_t n, uint32_t batch,
				bool completes)
{
	uint32_t done = 0;

	for (int i = 0; i < STEPS_PER_TABLE && done < n; i++) {
		uint32_t some = MIN(batch, n - done);

		add_enter(a, t, some, batch > 1 || completes);
		done += some;
		if (!completes)
			continue;
		a->completed += some;
		add_word(a, t, URING_CQ_HEAD, head_for(a));
	}
	return done;
}

static uint32_t add_messages(struct advance *a, struct call_table *t, uint32_t n)
{
	const struct io_uring_sqe sqe = {.opcode = OP_MSG_RING, .fd = a->fd};
	uint32_t at = call_space(t, &sqe, sizeof(sqe));
	uint32_t done = 0;

	for (; done < MIN(n, (uint32_t)STEPS_PER_TABLE); done++) {
		call_add(t, "io_uring_register(IORING_REGISTER_SEND_MSG_RING)",
			 SYS_io_uring_register, CALL_IMM(-1), CALL_IMM(REGISTER_SEND_MSG_RING),
			 CALL_DATA(at), CALL_IMM(1));
		/* It arrives when the thread that submits looks. */
		add_enter(a, t, 0, true);
		a->completed++;
		add_word(a, t, URING_CQ_HEAD, head_for(a));
	}
	return done;
}

enum step_kind {
	STEP_PLAIN,
	STEP_SILENT,
	STEP_DROPPED,
	STEP_MESSAGE,
};

static int advance(struct advance *a, enum step_kind kind, uint32_t n)
{
	uint32_t batch = kind == STEP_DROPPED ? 1 : a->ring->sq_entries;
	_cleanup_(arena_deinit) struct arena arena = {};
	struct call_table t;
	int result = 0;

	arena_init(&arena, a->r->ctx);
	call_table_init(&t, &arena);
	while (result == 0 && n > 0) {
		result = cancel_point(a->r->ctx);
		if (result < 0)
			return result;
		call_table_reset(&t);
		n -= kind == STEP_MESSAGE ? add_messages(a, &t, n)
					  : add_submissions(a, &t, n, batch, kind == STEP_PLAIN);
		result = puppet_run(a->r->ctx, a->puppet, &t);
	}
	return result;
}

/* Has all entries complete silently from now on. */
static void silence(const struct advance *a)
{
	size_t size = a->ring->flags & IORING_SETUP_SQE128 ? 128 : 64;

	for (uint32_t i = 0; i < a->ring->sq_entries; i++)
		a->sqes[i * size + offsetof(struct io_uring_sqe, flags)] = CQE_SKIP_SUCCESS;
}

/* Where the array of entries lies: behind the completions. */
static size_t array_at(const Coppice__IoUring *ring)
{
	size_t size = ring->flags & IORING_SETUP_CQE32 ? 32 : 16;

	return ALIGN_UP(URING_CQES + ring->cq_entries * size, (size_t)SQ_ARRAY_LINE);
}

static void spoil(const struct advance *a)
{
	memset(a->here + array_at(a->ring), NO_ENTRY, a->ring->sq_entries * sizeof(uint32_t));
}

static int advance_all(struct advance *a)
{
	struct uring_steps n;
	uint32_t head = head_for(a);
	int result;

	uring_steps(a->ring, &n);
	memcpy(a->here + URING_CQ_HEAD, &head, sizeof(head));
	result = advance(a, STEP_PLAIN, n.plain);
	if (result == 0 && n.silent > 0) {
		silence(a);
		result = advance(a, STEP_SILENT, n.silent);
	}
	if (result == 0 && n.dropped > 0) {
		spoil(a);
		result = advance(a, STEP_DROPPED, n.dropped);
	}
	return result < 0 ? result : advance(a, STEP_MESSAGE, n.messages);
}

/* ---- content -------------------------------------------------------------------------------- */

static int map_there(struct advance *a, struct call_table *t)
{
	int result;

	call_add(t, "mmap (an io_uring)", SYS_mmap, CALL_IMM(0), CALL_IMM(a->ring->rings.len),
		 CALL_IMM(PROT_READ | PROT_WRITE), CALL_IMM(MAP_SHARED), CALL_IMM(a->fd),
		 CALL_IMM(IORING_OFF_SQ_RING));
	result = puppet_run(a->r->ctx, a->puppet, t);
	if (result == 0)
		a->there = (uint64_t)call_result(t, 0);
	call_table_reset(t);
	return result;
}

/* Counters first, then all pages as they were: what is in them follows from the counters, or is
 * the program's own. */
static int fill(struct advance *a)
{
	struct call_table t;
	int result;

	call_table_init(&t, a->r->arena);
	result = map_there(a, &t);
	if (result == 0)
		result = advance_all(a);
	if (result < 0)
		return result;
	call_add(&t, "munmap (an io_uring)", SYS_munmap, CALL_IMM(a->there),
		 CALL_IMM(a->ring->rings.len));
	result = puppet_run(a->r->ctx, a->puppet, &t);
	if (result < 0)
		return result;
	memcpy(a->here, a->ring->rings.data, a->ring->rings.len);
	memcpy(a->sqes, a->ring->sqes.data, a->ring->sqes.len);
	return 0;
}

static int map_here(struct rebuild *r, int fd, off_t offset, size_t len, unsigned char **ret)
{
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	if (map == MAP_FAILED)
		return err_sys(r->ctx, -errno, "mmap() of an io_uring");
	*ret = map;
	return 0;
}

static int fill_through(struct advance *a, int fd)
{
	int result = map_here(a->r, fd, IORING_OFF_SQ_RING, a->ring->rings.len, &a->here);

	if (result < 0)
		return result;
	result = map_here(a->r, fd, (off_t)IORING_OFF_SQES, a->ring->sqes.len, &a->sqes);
	if (result == 0) {
		result = fill(a);
		(void)munmap(a->sqes, a->ring->sqes.len); /* ours, as the other */
	}
	(void)munmap(a->here, a->ring->rings.len);
	return result;
}

int uring_make(struct rebuild *r, const Coppice__IoUring *ring, int *ret_fd)
{
	struct advance a = {.r = r, .ring = ring, .puppet = puppet_of(r, ring)};
	const struct call_arg args[6] = {};
	_cleanup_close_ int fd = -EBADF;
	struct call_arg number[6];
	int64_t closed;
	int result = set_up(r, ring, a.puppet, &a.fd);

	if (result == 0)
		result = puppet_fd_out(r->ctx, a.puppet, a.fd, &fd);
	if (result == 0)
		result = fill_through(&a, fd);
	if (result < 0)
		return result;
	memcpy(number, args, sizeof(number));
	number[0] = CALL_IMM(a.fd);
	closed = puppet_call(r->ctx, a.puppet, "close", SYS_close, number);
	if (closed < 0)
		return (int)closed;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
