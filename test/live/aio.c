/* SPDX-License-Identifier: Apache-2.0 */
/* AIO contexts: the program goes on using them, by raw system calls and by its mapping of the ring. */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "child.h"
#include "live.h"
#include "util/macro.h"

enum { SIZE = 10 };

/* What the program sees at the address that names a context. */
struct ring {
	uint32_t id, nr, head, tail, magic, compat, incompat, header_len;
	struct io_event events[];
};

static aio_context_t context, other;
static int file_fd, event_fd;
static char text[SIZE];

static int set_up(uint32_t n, aio_context_t *ret)
{
	*ret = 0;
	if (syscall(SYS_io_setup, n, ret) == 0)
		return 0;
	(void)live_fail("io_setup() does not work here");
	return 77;
}

static const struct ring *ring_of(aio_context_t c)
{
	return (const struct ring *)c;
}

static long submit(aio_context_t c, uint16_t op, int fd, uint64_t buf, uint64_t len, uint64_t data)
{
	struct iocb request = {
		.aio_data = data,
		.aio_lio_opcode = op,
		.aio_fildes = (uint32_t)fd,
		.aio_buf = buf,
		.aio_nbytes = len,
	};
	struct iocb *list[] = {&request};

	return syscall(SYS_io_submit, c, 1, list);
}

static int submit_reads(aio_context_t c, uint32_t n, uint64_t first)
{
	for (uint32_t i = 0; i < n; i++)
		CHECK_EQ(submit(c, IOCB_CMD_PREAD, file_fd, (uintptr_t)text, SIZE, first + i), 1);
	return 0;
}

static int take(aio_context_t c, uint32_t n, uint64_t first)
{
	for (uint32_t i = 0; i < n; i++) {
		struct io_event event = {};

		CHECK_EQ(syscall(SYS_io_getevents, c, 1, 1, &event, NULL), 1);
		CHECK_EQ(event.data, first + i);
		CHECK_EQ(event.res, SIZE);
	}
	return 0;
}

/* Several times around, and as many unread at once as there surely is room for. */
static int go_on(aio_context_t c)
{
	uint32_t nr = ring_of(c)->nr;

	for (uint32_t i = 0; i < 3 * nr; i++) {
		memset(text, 0, SIZE);
		CHECK(submit_reads(c, 1, i) == 0);
		CHECK(take(c, 1, i) == 0);
		CHECK(memcmp(text, "0123456789", SIZE) == 0);
	}
	CHECK(submit_reads(c, nr / 2, 7000) == 0);
	CHECK(take(c, nr / 2, 7000) == 0);
	CHECK_EQ(ring_of(c)->head, ring_of(c)->tail);
	return 0;
}

static int check_on(void)
{
	return go_on(context);
}

static int make_new(void)
{
	file_fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (file_fd < 0 || write(file_fd, "0123456789", SIZE) != SIZE)
		return 1;
	return set_up(5, &context);
}

static int make_used(uint32_t n)
{
	int r = make_new();

	if (r == 0)
		r = submit_reads(context, n, 0);
	return r != 0 ? r : take(context, n, 0);
}

static int make_some(void)
{
	return make_used(17);
}

/* The end of the ring lies behind it. */
static int make_around(void)
{
	int r = make_some();

	for (uint32_t i = 0; r == 0 && i < 2 * ring_of(context)->nr; i++)
		r = submit_reads(context, 1, i) || take(context, 1, i);
	return r;
}

static int make_unread(void)
{
	int r = make_some();

	return r != 0 ? r : submit_reads(context, 9, 500);
}

static int check_unread(void)
{
	CHECK_EQ(ring_of(context)->tail - ring_of(context)->head, 9);
	CHECK(take(context, 9, 500) == 0);
	return go_on(context);
}

/* As many unread as it takes, around the end of the ring. */
static int make_full(void)
{
	uint32_t n = 0;
	int r = make_used(50);

	while (r == 0 &&
	       submit(context, IOCB_CMD_PREAD, file_fd, (uintptr_t)text, SIZE, 500 + n) == 1)
		n++;
	other = n; /* remembered there */
	return r;
}

static int check_full(void)
{
	CHECK(take(context, (uint32_t)other, 500) == 0);
	return go_on(context);
}

static int make_large(void)
{
	int r = make_new();

	if (r == 0)
		r = syscall(SYS_io_destroy, context) < 0 ? 1 : set_up(3000, &context);
	if (r == 0)
		r = submit_reads(context, 2000, 0) || take(context, 2000, 0);
	return r != 0 ? r : submit_reads(context, 1000, 500);
}

static int check_large(void)
{
	CHECK(take(context, 1000, 500) == 0);
	return go_on(context);
}

/* Numbers with a gap between them. */
static int make_two(void)
{
	aio_context_t gone;
	int r = make_unread();

	if (r == 0)
		r = set_up(1, &gone);
	if (r == 0)
		r = set_up(200, &other);
	if (r == 0)
		r = syscall(SYS_io_destroy, gone) < 0;
	return r != 0 ? r : submit_reads(other, 3, 900);
}

static int check_two(void)
{
	CHECK_EQ(ring_of(other)->id, ring_of(context)->id + 2);
	CHECK(take(other, 3, 900) == 0);
	CHECK(go_on(other) == 0);
	return check_unread();
}

static int make_not_for_children(void)
{
	int r = make_unread();

	return r != 0 ? r : madvise((void *)context, 4096, MADV_DONTFORK) < 0;
}

/* A request that ends by itself while the tree is held. */
static int make_timer(void)
{
	const struct itimerspec quarter = {.it_value.tv_nsec = 250000000};
	int r = make_some();

	event_fd = timerfd_create(CLOCK_MONOTONIC, 0);
	if (r == 0)
		r = timerfd_settime(event_fd, 0, &quarter, NULL);
	return r != 0 ? r : submit(context, IOCB_CMD_POLL, event_fd, POLLIN, 0, 42) != 1;
}

static int check_timer(void)
{
	struct io_event event = {};

	CHECK_EQ(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), 1);
	CHECK_EQ(event.data, 42);
	CHECK_EQ(event.res, POLLIN);
	return go_on(context);
}

static int make_in_flight(void)
{
	int r = make_some();

	event_fd = eventfd(0, 0);
	return r != 0 ? r : submit(context, IOCB_CMD_POLL, event_fd, POLLIN, 0, 42) != 1;
}

/* It still waits. */
static int check_in_flight(void)
{
	const uint64_t one = 1;

	CHECK_EQ(write(event_fd, &one, sizeof(one)), sizeof(one));
	return check_timer();
}

static int nothing(void)
{
	return 0;
}

static int make_inherited(void)
{
	int r = make_some();

	return r != 0 ? r : child_start(nothing, nothing, NULL);
}

static const struct live_row rows[] = {
	{.name = "new", .make = make_new, .check = check_on},
	{.name = "used", .make = make_some, .check = check_on},
	{.name = "around", .make = make_around, .check = check_on},
	{.name = "unread", .make = make_unread, .check = check_unread},
	{.name = "full", .make = make_full, .check = check_full},
	{.name = "large", .make = make_large, .check = check_large},
	{.name = "two", .make = make_two, .check = check_two},
	{.name = "not for children", .make = make_not_for_children, .check = check_unread},
	{.name = "timer", .make = make_timer, .check = check_timer},
	{.name = "in flight",
	 .make = make_in_flight,
	 .check = check_in_flight,
	 .refused = "requests are in flight and have not ended"},
	{.name = "inherited",
	 .make = make_inherited,
	 .check = child_check,
	 .refused = "it is another process's, which this one has the ring of"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
