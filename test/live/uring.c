/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring: the program goes on using its rings as if nothing had been, by raw system calls. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "fd.h"
#include "live.h"
#include "side.h"
#include "util/macro.h"

#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif

enum {
	ENTRIES = 8,
	REGISTER_SEND_MSG_RING = 31,
	OP_MSG_RING = 40,
	SKIP_SUCCESS = 1 << 6,
};

/* What a program keeps of its ring, pointers and copies of counters alike. */
struct ring {
	int fd;
	struct io_uring_params params;
	unsigned char *rings;
	size_t rings_len;
	unsigned char *sqes;
	size_t sqes_len;
	uint32_t sq_tail; /* its own copies */
	uint32_t cq_head;
};

static struct ring ring, other;
static int event_fd, file_fd, timer_fd;

static size_t sqe_size(const struct ring *r)
{
	return r->params.flags & IORING_SETUP_SQE128 ? 128 : 64;
}

static size_t cqe_size(const struct ring *r)
{
	return r->params.flags & IORING_SETUP_CQE32 ? 32 : 16;
}

static uint32_t *word(struct ring *r, uint32_t offset)
{
	return (uint32_t *)(r->rings + offset);
}

static long enter(struct ring *r, uint32_t submit, uint32_t wait)
{
	return syscall(SYS_io_uring_enter, r->fd, submit, wait, IORING_ENTER_GETEVENTS, NULL, 0);
}

static long reg(struct ring *r, unsigned int op, const void *arg, unsigned int n)
{
	return syscall(SYS_io_uring_register, r->fd, op, arg, n);
}

static int make_ring(struct ring *r, uint32_t entries, uint32_t flags)
{
	size_t cqes;

	r->params.flags = flags;
	r->fd = (int)syscall(SYS_io_uring_setup, entries, &r->params);
	if (r->fd < 0) {
		(void)live_fail("io_uring_setup() does not work here, or not with these flags");
		return 77;
	}
	cqes = r->params.cq_off.cqes + r->params.cq_entries * cqe_size(r);
	r->rings_len = MAX(cqes, r->params.sq_off.array + r->params.sq_entries * sizeof(uint32_t));
	if (flags & IORING_SETUP_NO_SQARRAY)
		r->rings_len = cqes;
	r->sqes_len = r->params.sq_entries * sqe_size(r);
	r->rings = mmap(NULL, r->rings_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			r->fd, IORING_OFF_SQ_RING);
	r->sqes = mmap(NULL, r->sqes_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd,
		       (off_t)IORING_OFF_SQES);
	return r->rings == MAP_FAILED || r->sqes == MAP_FAILED;
}

/* The next entry, cleared; the program's copy of the tail tells where. */
static struct io_uring_sqe *next_sqe(struct ring *r, uint8_t op, uint64_t data)
{
	uint32_t at = r->sq_tail & (r->params.sq_entries - 1);
	struct io_uring_sqe *sqe = (struct io_uring_sqe *)(r->sqes + at * sqe_size(r));

	memset(sqe, 0, sqe_size(r));
	sqe->opcode = op;
	sqe->user_data = data;
	if (!(r->params.flags & IORING_SETUP_NO_SQARRAY))
		word(r, r->params.sq_off.array)[at] = at;
	r->sq_tail++;
	return sqe;
}

static void publish(struct ring *r)
{
	__atomic_store_n(word(r, r->params.sq_off.tail), r->sq_tail, __ATOMIC_RELEASE);
}

/* Takes the next completion; it must be there. */
static int take(struct ring *r, uint64_t data, int32_t result)
{
	uint32_t at = r->cq_head & (r->params.cq_entries - 1);
	const struct io_uring_cqe *cqe =
		(const void *)(r->rings + r->params.cq_off.cqes + at * cqe_size(r));

	CHECK(__atomic_load_n(word(r, r->params.cq_off.tail), __ATOMIC_ACQUIRE) != r->cq_head);
	CHECK_EQ(cqe->user_data, data);
	CHECK_EQ(cqe->res, result);
	r->cq_head++;
	__atomic_store_n(word(r, r->params.cq_off.head), r->cq_head, __ATOMIC_RELEASE);
	return 0;
}

static int round_trips(struct ring *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		(void)next_sqe(r, IORING_OP_NOP, i);
		publish(r);
		CHECK_EQ(enter(r, 1, 1), 1);
		CHECK(take(r, i, 0) == 0);
	}
	return 0;
}

/* Ends with the whole ring's length of entries in one go, so that every place of it is used. */
static int go_on(struct ring *r)
{
	CHECK(round_trips(r, 3 * r->params.cq_entries + 1) == 0);
	CHECK_EQ(*word(r, r->params.sq_off.head), r->sq_tail);
	CHECK_EQ(*word(r, r->params.cq_off.tail), r->cq_head);
	for (uint32_t i = 0; i < r->params.sq_entries; i++)
		(void)next_sqe(r, IORING_OP_NOP, 1000 + i);
	publish(r);
	CHECK_EQ(enter(r, r->params.sq_entries, r->params.sq_entries), r->params.sq_entries);
	for (uint32_t i = 0; i < r->params.sq_entries; i++)
		CHECK(take(r, 1000 + i, 0) == 0);
	CHECK_EQ(*word(r, r->params.cq_off.overflow), 0);
	return 0;
}

static int check_on(void)
{
	return go_on(&ring);
}

/* ---- counters ------------------------------------------------------------------------------- */

static int make_new(void)
{
	return make_ring(&ring, ENTRIES, 0);
}

static int make_used(void)
{
	int r = make_ring(&ring, ENTRIES, 0);

	return r != 0 ? r : round_trips(&ring, 1003);
}

static int make_flags(uint32_t flags)
{
	int r = make_ring(&ring, ENTRIES, flags);

	return r != 0 ? r : round_trips(&ring, 37);
}

static int make_large_entries(void)
{
	return make_flags(IORING_SETUP_SQE128 | IORING_SETUP_CQE32);
}

static int make_no_array(void)
{
	return make_flags(IORING_SETUP_NO_SQARRAY);
}

static int make_cooperative(void)
{
	return make_flags(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			  IORING_SETUP_SUBMIT_ALL);
}

static int make_polled(void)
{
	return make_flags(IORING_SETUP_IOPOLL);
}

static int make_cq_size(void)
{
	int r;

	ring.params.cq_entries = 128;
	r = make_ring(&ring, ENTRIES, IORING_SETUP_CQSIZE);
	return r != 0 ? r : round_trips(&ring, 300);
}

static int make_many(void)
{
	int r = make_ring(&ring, 4096, 0);

	for (int k = 0; r == 0 && k < 50; k++) {
		for (uint32_t i = 0; i < 4000; i++)
			(void)next_sqe(&ring, IORING_OP_NOP, i);
		publish(&ring);
		CHECK_EQ(enter(&ring, 4000, 4000), 4000);
		for (uint32_t i = 0; i < 4000; i++)
			CHECK(take(&ring, i, 0) == 0);
	}
	return r;
}

/* Requests that complete silently: the counters part. */
static int make_silent(void)
{
	int r = make_used();

	for (int i = 0; r == 0 && i < 5; i++) {
		next_sqe(&ring, IORING_OP_NOP, 0)->flags = SKIP_SUCCESS;
		publish(&ring);
		r = enter(&ring, 1, 0) != 1;
	}
	return r;
}

static int make_dropped(void)
{
	int r = make_used();

	if (r != 0)
		return r;
	(void)next_sqe(&ring, IORING_OP_NOP, 0);
	word(&ring, ring.params.sq_off.array)[(ring.sq_tail - 1) & (ENTRIES - 1)] = 77;
	publish(&ring);
	(void)enter(&ring, 1, 0);
	return *word(&ring, ring.params.sq_off.dropped) != 1;
}

static int check_dropped(void)
{
	CHECK_EQ(*word(&ring, ring.params.sq_off.dropped), 1);
	return go_on(&ring);
}

static int make_messages(void)
{
	struct io_uring_sqe sqe = {.opcode = OP_MSG_RING};
	int r = make_used();

	for (uint32_t i = 0; r == 0 && i < 9; i++) {
		sqe.fd = ring.fd;
		sqe.off = i; /* the completion's user_data */
		if (syscall(SYS_io_uring_register, -1, REGISTER_SEND_MSG_RING, &sqe, 1) < 0)
			return live_fail("no IORING_REGISTER_SEND_MSG_RING"), 77;
		r = i < 3 ? 0 : take(&ring, i - 3, 0);
	}
	return r;
}

static int check_messages(void)
{
	for (uint32_t i = 6; i < 9; i++)
		CHECK(take(&ring, i, 0) == 0);
	return go_on(&ring);
}

/* ---- content -------------------------------------------------------------------------------- */

static int make_unread(void)
{
	int r = make_used();

	for (uint32_t i = 0; r == 0 && i < 2 * ENTRIES; i++) { /* as many as there is room for */
		(void)next_sqe(&ring, IORING_OP_NOP, 500 + i);
		publish(&ring);
		r = enter(&ring, 1, 0) != 1;
	}
	return r;
}

static int check_unread(void)
{
	for (uint32_t i = 0; i < 2 * ENTRIES; i++)
		CHECK(take(&ring, 500 + i, 0) == 0);
	return go_on(&ring);
}

/* Some unread, some room: what comes later must not fall on what is unread. */
static int make_part_unread(void)
{
	int r = make_used();

	for (uint32_t i = 0; r == 0 && i < 11; i++) {
		(void)next_sqe(&ring, IORING_OP_NOP, 500 + i);
		publish(&ring);
		r = enter(&ring, 1, 0) != 1;
	}
	return r;
}

static int check_part_unread(void)
{
	for (uint32_t i = 11; i < 2 * ENTRIES; i++) {
		(void)next_sqe(&ring, IORING_OP_NOP, 500 + i);
		publish(&ring);
		CHECK_EQ(enter(&ring, 1, 0), 1);
	}
	/* One too many: it waits outside the ring until there is room. */
	(void)next_sqe(&ring, IORING_OP_NOP, 500 + 2 * ENTRIES);
	publish(&ring);
	CHECK_EQ(enter(&ring, 1, 0), 1);
	for (uint32_t i = 0; i < 2 * ENTRIES; i++)
		CHECK(take(&ring, 500 + i, 0) == 0);
	(void)enter(&ring, 0, 1);
	CHECK(take(&ring, 500 + 2 * ENTRIES, 0) == 0);
	return go_on(&ring);
}

static int make_prepared(void)
{
	int r = make_used();

	for (uint32_t i = 0; i < 3; i++)
		(void)next_sqe(&ring, IORING_OP_NOP, 600 + i);
	publish(&ring);
	(void)next_sqe(&ring, IORING_OP_NOP, 603); /* not even published */
	return r;
}

static int check_prepared(void)
{
	CHECK_EQ(enter(&ring, 3, 3), 3);
	publish(&ring);
	CHECK_EQ(enter(&ring, 1, 1), 1);
	for (uint32_t i = 0; i < 4; i++)
		CHECK(take(&ring, 600 + i, 0) == 0);
	return go_on(&ring);
}

/* A request that ends by itself while the tree is held. */
static void prepare_timeout(unsigned char flags)
{
	enum { ETIME_SUCCESS = 1 << 5 }; /* IORING_TIMEOUT_ETIME_SUCCESS */
	static struct __kernel_timespec quarter = {.tv_nsec = 250000000};
	struct io_uring_sqe *sqe = next_sqe(&ring, IORING_OP_TIMEOUT, 700);

	sqe->addr = (uintptr_t)&quarter;
	sqe->len = 1;
	sqe->timeout_flags = ETIME_SUCCESS;
	sqe->flags = flags;
}

/* It leaves no completion. */
static int make_timeout(void)
{
	int r = make_used();

	if (r != 0)
		return r;
	prepare_timeout(SKIP_SUCCESS);
	publish(&ring);
	return enter(&ring, 1, 0) != 1;
}

/* A thread of the kernel's does it, and waits for more for some seconds. */
static int make_worker(void)
{
	struct io_uring_sqe *sqe;
	int r = make_used();

	sqe = r == 0 ? next_sqe(&ring, IORING_OP_NOP, 0) : NULL;
	if (!sqe)
		return r;
	sqe->flags = IOSQE_ASYNC;
	publish(&ring);
	CHECK_EQ(enter(&ring, 1, 1), 1);
	return take(&ring, 0, 0);
}

/* ---- registered ----------------------------------------------------------------------------- */

static char buffers[3][5000];

static int make_file(void)
{
	file_fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	return file_fd < 0 || write(file_fd, "0123456789", 10) != 10;
}

static int make_files(void)
{
	int fds[4] = {-1, -1, -1, -1};
	int r = make_used();

	if (r != 0)
		return r;
	event_fd = eventfd(5, 0);
	r = make_file();
	fds[1] = file_fd;
	fds[3] = event_fd;
	return r || reg(&ring, IORING_REGISTER_FILES, fds, 4) < 0;
}

static int read_fixed_file(uint32_t index, void *to, uint32_t len, int32_t result)
{
	struct io_uring_sqe *sqe = next_sqe(&ring, IORING_OP_READ, 800 + index);

	sqe->fd = (int)index;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->addr = (uintptr_t)to;
	sqe->len = len;
	publish(&ring);
	CHECK_EQ(enter(&ring, 1, 1), 1);
	return take(&ring, 800 + index, result);
}

static int check_files(void)
{
	uint64_t count = 0;
	char text[16] = "";

	CHECK(read_fixed_file(1, text, 10, 10) == 0);
	CHECK(memcmp(text, "0123456789", 10) == 0);
	CHECK(read_fixed_file(3, &count, 8, 8) == 0);
	CHECK_EQ(count, 5);
	CHECK(read_fixed_file(0, text, 1, -EBADF) == 0);
	CHECK(read_fixed_file(4, text, 1, -EBADF) == 0);
	return go_on(&ring);
}

static int make_buffers(void)
{
	const struct iovec iov[3] = {
		{buffers[0], sizeof(buffers[0])}, {NULL, 0}, {buffers[2] + 1, 4000}};
	int r = make_used();

	if (r == 0)
		r = make_file();
	return r != 0 ? r : reg(&ring, IORING_REGISTER_BUFFERS, iov, 3) < 0;
}

static int read_fixed(uint16_t index, char *to, int32_t result)
{
	struct io_uring_sqe *sqe = next_sqe(&ring, IORING_OP_READ_FIXED, 900);

	sqe->fd = file_fd;
	sqe->addr = (uintptr_t)to;
	sqe->len = 10;
	sqe->buf_index = index;
	publish(&ring);
	CHECK_EQ(enter(&ring, 1, 1), 1);
	return take(&ring, 900, result);
}

static int check_buffers(void)
{
	CHECK(read_fixed(0, buffers[0] + 4000, 10) == 0);
	CHECK(memcmp(buffers[0] + 4000, "0123456789", 10) == 0);
	CHECK(read_fixed(2, buffers[2] + 3991, 10) == 0);
	CHECK(memcmp(buffers[2] + 3991, "0123456789", 10) == 0);
	CHECK(read_fixed(2, buffers[2] + 3992, -EFAULT) == 0); /* one beyond its end */
	CHECK(read_fixed(0, buffers[1], -EFAULT) == 0);
	return go_on(&ring);
}

static int make_eventfd(void)
{
	int r = make_used();

	event_fd = eventfd(0, EFD_NONBLOCK);
	return r != 0 ? r : reg(&ring, IORING_REGISTER_EVENTFD, &event_fd, 1) < 0;
}

static int check_eventfd(void)
{
	uint64_t count = 0;

	CHECK_EQ(read(event_fd, &count, 8), -1);
	CHECK(round_trips(&ring, 1) == 0);
	CHECK_EQ(read(event_fd, &count, 8), 8);
	CHECK_EQ(count, 1);
	return go_on(&ring);
}

static bool has_expired(void)
{
	struct pollfd poll_fd = {.fd = timer_fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

/*
 * While the tree is held a request takes from a file that has a lower number than the ring: the
 * file must not be looked at before.
 */
static int make_taking(void)
{
	const struct itimerspec soon = {.it_value.tv_nsec = 1};
	struct io_uring_sqe *sqe;
	int r;

	timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	if (timer_fd < 0 || timerfd_settime(timer_fd, 0, &soon, NULL) < 0 ||
	    live_await(has_expired) != 0)
		return 1;
	r = make_used();
	if (r != 0 || timer_fd > ring.fd)
		return r != 0 ? r : live_fail("the timerfd has a higher number than the ring");
	prepare_timeout(SKIP_SUCCESS | IOSQE_IO_LINK);
	sqe = next_sqe(&ring, IORING_OP_READ, 701);
	sqe->fd = timer_fd;
	sqe->addr = (uintptr_t)buffers[0];
	sqe->len = sizeof(uint64_t);
	sqe->flags = SKIP_SUCCESS;
	publish(&ring);
	return enter(&ring, 2, 0) != 2;
}

static int check_taking(void)
{
	uint64_t count;

	memcpy(&count, buffers[0], sizeof(count));
	CHECK_EQ(count, 1);
	CHECK_EQ(read(timer_fd, &count, sizeof(count)), -1);
	return go_on(&ring);
}

static int make_worker_limits(void)
{
	const uint32_t limits[2] = {3, 5};
	int r = make_used();

	return r != 0 ? r : reg(&ring, IORING_REGISTER_IOWQ_MAX_WORKERS, limits, 2) < 0;
}

static int check_worker_limits(void)
{
	uint32_t limits[2] = {0, 0}; /* asks */

	CHECK_EQ(reg(&ring, IORING_REGISTER_IOWQ_MAX_WORKERS, limits, 2), 0);
	CHECK_EQ(limits[0], 3);
	CHECK_EQ(limits[1], 5);
	return go_on(&ring);
}

/* ---- who uses it ---------------------------------------------------------------------------- */

static int make_registered(void)
{
	struct io_uring_rsrc_update update = {.offset = 7};
	int r = make_used();

	update.data = (uint64_t)ring.fd;
	return r != 0 ? r : reg(&ring, IORING_REGISTER_RING_FDS, &update, 1) != 1;
}

static int check_registered(void)
{
	(void)next_sqe(&ring, IORING_OP_NOP, 1);
	publish(&ring);
	CHECK_EQ(syscall(SYS_io_uring_enter, 7, 1, 1,
			 IORING_ENTER_GETEVENTS | 1U << 4 /* IORING_ENTER_REGISTERED_RING */, NULL,
			 0),
		 1);
	CHECK(take(&ring, 1, 0) == 0);
	return go_on(&ring);
}

static int make_deferred(void)
{
	return make_flags(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
}

/* Only this thread may use it. */
static int check_deferred(void)
{
	CHECK(go_on(&ring) == 0);
	if (fork() == 0)
		_exit(enter(&ring, 0, 0) == -1 && errno == EEXIST ? 0 : 1);
	int status = 1;
	CHECK(wait(&status) > 0);
	CHECK_EQ(status, 0);
	return 0;
}

/* Of another thread than the first, which registers it for itself. */
static int make_thread_part(void)
{
	int r = make_deferred();
	struct io_uring_rsrc_update update = {.offset = 7};

	update.data = (uint64_t)ring.fd;
	return r != 0 ? r : reg(&ring, IORING_REGISTER_RING_FDS, &update, 1) != 1;
}

static int make_of_thread(void)
{
	return side_run(make_thread_part);
}

static int check_of_thread(void)
{
	CHECK_EQ(enter(&ring, 0, 0), -1);
	CHECK_EQ(errno, EEXIST);
	return side_run(check_registered);
}

static int nothing(void)
{
	return 0;
}

/* Parent and child have the ring and its mappings; who comes next goes on where the other was. */
static int make_shared(void)
{
	int r = make_used();

	return r != 0 ? r : child_start(nothing, check_on, NULL);
}

static int make_disabled(void)
{
	return make_ring(&ring, ENTRIES, IORING_SETUP_R_DISABLED);
}

static int check_disabled(void)
{
	CHECK_EQ(enter(&ring, 0, 0), -1);
	CHECK_EQ(errno, EBADFD);
	CHECK_EQ(reg(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0), 0);
	return go_on(&ring);
}

static int make_two(void)
{
	int r = make_used();

	if (r == 0)
		r = make_ring(&other, 64, 0);
	return r != 0 ? r : round_trips(&other, 100);
}

static int check_two(void)
{
	CHECK(go_on(&ring) == 0);
	return go_on(&other);
}

static int make_not_for_children(void)
{
	int r = make_used();

	return r != 0 ? r
		      : madvise(ring.rings, ring.rings_len, MADV_DONTFORK) < 0 ||
				madvise(ring.sqes, ring.sqes_len, MADV_DONTFORK) < 0;
}

static int check_not_for_children(void)
{
	int status = 1;

	if (fork() == 0)
		_exit(msync(ring.sqes, 1, MS_ASYNC) == -1 && errno == ENOMEM ? 0 : 1);
	CHECK(wait(&status) > 0);
	CHECK_EQ(status, 0);
	return go_on(&ring);
}

/* ---- refused -------------------------------------------------------------------------------- */

static int make_in_flight(void)
{
	struct io_uring_sqe *sqe;
	int r = make_used();

	if (r != 0)
		return r;
	event_fd = eventfd(0, 0);
	sqe = next_sqe(&ring, IORING_OP_POLL_ADD, 1);
	sqe->fd = event_fd;
	sqe->poll32_events = POLLIN;
	publish(&ring);
	return enter(&ring, 1, 0) != 1;
}

/* It still waits. */
static int check_in_flight(void)
{
	const uint64_t one = 1;

	CHECK_EQ(write(event_fd, &one, 8), 8);
	(void)enter(&ring, 0, 1);
	CHECK(take(&ring, 1, POLLIN) == 0);
	return go_on(&ring);
}

static int make_personality(void)
{
	int r = make_used();

	return r != 0 ? r : reg(&ring, IORING_REGISTER_PERSONALITY, NULL, 0) < 0;
}

static int make_gone_file(void)
{
	int r = make_files();

	return r != 0 ? r : close(file_fd) < 0;
}

static int make_unopened(void)
{
	int r = make_used();

	return r != 0 ? r : close(ring.fd) < 0;
}

static const struct live_row rows[] = {
	{.name = "new", .make = make_new, .check = check_on},
	{.name = "used", .make = make_used, .check = check_on},
	{.name = "large entries", .make = make_large_entries, .check = check_on},
	{.name = "no array", .make = make_no_array, .check = check_on},
	{.name = "cooperative", .make = make_cooperative, .check = check_on},
	{.name = "polled", .make = make_polled, .check = check_on},
	{.name = "size of the completion ring", .make = make_cq_size, .check = check_on},
	{.name = "many", .make = make_many, .check = check_on},
	{.name = "silent", .make = make_silent, .check = check_on},
	{.name = "dropped", .make = make_dropped, .check = check_dropped},
	{.name = "messages", .make = make_messages, .check = check_messages},
	{.name = "unread", .make = make_unread, .check = check_unread},
	{.name = "part unread", .make = make_part_unread, .check = check_part_unread},
	{.name = "prepared", .make = make_prepared, .check = check_prepared},
	{.name = "timeout", .make = make_timeout, .check = check_on},
	{.name = "taking from a file", .make = make_taking, .check = check_taking},
	{.name = "worker", .make = make_worker, .check = check_on},
	{.name = "files", .make = make_files, .check = check_files},
	{.name = "buffers", .make = make_buffers, .check = check_buffers},
	{.name = "eventfd", .make = make_eventfd, .check = check_eventfd},
	{.name = "worker limits", .make = make_worker_limits, .check = check_worker_limits},
	{.name = "registered", .make = make_registered, .check = check_registered},
	{.name = "deferred", .make = make_deferred, .check = check_deferred},
	{.name = "disabled", .make = make_disabled, .check = check_disabled},
	{.name = "of one thread", .make = make_of_thread, .check = check_of_thread},
	{.name = "shared", .make = make_shared, .check = child_check},
	{.name = "two", .make = make_two, .check = check_two},
	{.name = "not for children",
	 .make = make_not_for_children,
	 .check = check_not_for_children},
	{.name = "in flight",
	 .make = make_in_flight,
	 .check = check_in_flight,
	 .refused = "with 1 requests in flight"},
	{.name = "credentials",
	 .make = make_personality,
	 .check = check_on,
	 .refused = "with credentials of its own"},
	{.name = "file that is not open",
	 .make = make_gone_file,
	 .check = check_on,
	 .refused = "registered file 1 is open under no number"},
	{.name = "not open", .make = make_unopened, .refused = "is of nothing that is open"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
