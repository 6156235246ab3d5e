/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "file/pipe-content.h"
#include "util/arena.h"
#include "util/context.h"

enum { CAPACITY = 1 << 17, LEN = 100000 };

struct fixture {
	struct context ctx;
	struct arena arena;
	int from[2];
	int to[2];
};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){};
	arena_init(&f.arena, &f.ctx);
	assert_int_equal(pipe2(f.from, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(f.to, O_CLOEXEC | O_NONBLOCK), 0);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		(void)close(f->from[i]);
		(void)close(f->to[i]);
	}
	arena_deinit(&f->arena);
	return 0;
}

static int queued(int fd)
{
	int n = -1;

	assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	return n;
}

/* Takes what is in one pipe, twice, to see that nothing is consumed, and puts it into the other. */
static Coppice__PipeContent *transfer(struct fixture *f)
{
	Coppice__PipeContent *content, *again;
	int before = queued(f->from[0]);

	assert_int_equal(pipe_content_take(&f->ctx, &f->arena, f->from[0], &content), 0);
	assert_int_equal(pipe_content_take(&f->ctx, &f->arena, f->from[0], &again), 0);
	assert_int_equal(queued(f->from[0]), before);
	assert_int_equal(content->data.len, before);
	assert_int_equal(content->n_packets, again->n_packets);
	assert_int_equal(pipe_content_put(&f->ctx, content, f->to[1]), 0);
	assert_int_equal(queued(f->to[0]), before);
	return content;
}

static void test_empty(void **state)
{
	const Coppice__PipeContent *content = transfer(*state);

	assert_int_equal(content->capacity, 65536);
	assert_int_equal(content->data.len, 0);
}

static void test_bytes(void **state)
{
	static unsigned char in[LEN], out[LEN];
	struct fixture *f = *state;
	const Coppice__PipeContent *content;

	for (size_t i = 0; i < LEN; i++)
		in[i] = (unsigned char)(i * 13);
	assert_int_equal(fcntl(f->from[0], F_SETPIPE_SZ, CAPACITY), CAPACITY);
	assert_int_equal(write(f->from[1], in, LEN), LEN);
	content = transfer(f);
	assert_int_equal(content->capacity, CAPACITY);
	assert_int_equal(content->n_packets, 0);
	assert_int_equal(fcntl(f->to[0], F_GETPIPE_SZ), CAPACITY);
	assert_int_equal(read(f->to[0], out, LEN), LEN);
	assert_memory_equal(in, out, LEN);
}

/* Every slot in use, each with one byte: as many as a pipe can hold without merging. */
static void test_slots(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fcntl(f->from[1], F_SETFL, O_DIRECT | O_NONBLOCK), 0);
	for (int i = 0; i < 16; i++)
		assert_int_equal(write(f->from[1], "x", 1), 1);
	assert_int_equal(transfer(f)->n_packets, 16);
}

static void test_packets(void **state)
{
	static const char *const packets[] = {"a", "bc", "d", "efgh", "ij"};
	struct fixture *f = *state;
	char buf[16];

	/* whatever the first packet's length: it is what tells packets from bytes */
	for (size_t first = 0; first < 5; first++) {
		const Coppice__PipeContent *content;

		assert_int_equal(fcntl(f->from[1], F_SETFL, O_DIRECT | O_NONBLOCK), 0);
		for (size_t i = first; i < 5; i++)
			assert_true(write(f->from[1], packets[i], strlen(packets[i])) > 0);
		content = transfer(f);
		assert_int_equal(content->n_packets, 5 - first);
		for (size_t i = first; i < 5; i++) {
			assert_int_equal(content->packets[i - first], strlen(packets[i]));
			assert_int_equal(read(f->from[0], buf, sizeof(buf)), strlen(packets[i]));
			assert_int_equal(read(f->to[0], buf, sizeof(buf)), strlen(packets[i]));
			assert_memory_equal(buf, packets[i], strlen(packets[i]));
		}
	}
}

static void test_lying_image(void **state)
{
	struct fixture *f = *state;
	Coppice__PipeContent content = COPPICE__PIPE_CONTENT__INIT;
	uint32_t packets[] = {2, 3};
	uint8_t data[4] = {};

	content.capacity = 65536;
	content.data.data = data;
	content.data.len = sizeof(data);
	content.packets = packets;
	content.n_packets = 2;
	assert_true(pipe_content_put(&f->ctx, &content, f->to[1]) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_packets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lying_image, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
