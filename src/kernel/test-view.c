/* SPDX-License-Identifier: Apache-2.0 */
/* Needs CAP_BPF, CAP_PERFMON and BTF: skipped where the kernel lets nobody look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "kernel/view.h"
#include "util/context.h"

static struct context ctx;

static struct kernel_view *open_view(void)
{
	struct kernel_view *v = NULL;

	if (kernel_view_open(&ctx, &v) < 0)
		skip();
	return v;
}

static uint64_t value_of(struct kernel_view *v, uint64_t at, const char *type, const char *member)
{
	uint64_t value = 0;

	assert_int_equal(view_get(v, at, type, member, &value), 0);
	return value;
}

static void descriptors(void **state)
{
	struct kernel_view *v = open_view();
	uint64_t reader, writer, again;
	int ends[2], copy;

	(void)state;
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	copy = dup(ends[0]);
	assert_int_equal(view_file(v, ends[0], &reader), 0);
	assert_int_equal(view_file(v, ends[1], &writer), 0);
	assert_int_equal(view_file(v, copy, &again), 0);
	assert_true(reader == again);
	assert_true(reader != writer);
	assert_int_equal(value_of(v, reader, "file", "f_flags"), fcntl(ends[0], F_GETFL));
	assert_int_equal(value_of(v, writer, "file", "f_flags"), fcntl(ends[1], F_GETFL));
	/* Both are of one pipe. */
	assert_true(value_of(v, reader, "file", "private_data") ==
		    value_of(v, writer, "file", "private_data"));
	(void)close(copy);
	(void)close(ends[0]);
	(void)close(ends[1]);
	kernel_view_free(v);
}

static void what_is_not_there(void **state)
{
	struct kernel_view *v = open_view();
	struct view_member m;
	uint64_t value;

	(void)state;
	assert_int_equal(view_find(v, "file", "no_such_member", &m), -ENOENT);
	assert_int_equal(view_find(v, "no_such_struct", "f_flags", &m), -ENOENT);
	assert_int_equal(view_read(v, 0, &value, sizeof(value)), -EFAULT);
	/* An address of ours is none of the kernel's. */
	assert_true(view_read(v, (uintptr_t)&value, &value, sizeof(value)) < 0);
	kernel_view_free(v);
}

/* Whatever the length and wherever a page ends, it is those bytes. */
static void any_length(void **state)
{
	struct kernel_view *v = open_view();
	unsigned char whole[512], part[sizeof(whole)];
	uint64_t file, at;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(view_file(v, fd, &file), 0);
	/* What is around it changes: the operations of a file do not. */
	at = value_of(v, file, "file", "f_op") & ~(uint64_t)4095;
	at += 4096 - sizeof(whole) / 2;
	assert_int_equal(view_read(v, at, whole, sizeof(whole)), 0);
	for (size_t from = 0; from < sizeof(whole); from += 7)
		for (size_t len = 1; from + len <= sizeof(whole); len += 13) {
			assert_int_equal(view_read(v, at + from, part, len), 0);
			assert_memory_equal(part, whole + from, len);
		}
	(void)close(fd);
	kernel_view_free(v);
}

static void members(void **state)
{
	struct kernel_view *v = open_view();
	struct view_member head, tail;

	(void)state;
	assert_int_equal(view_find(v, "list_head", "next", &head), 0);
	assert_int_equal(view_find(v, "list_head", "prev", &tail), 0);
	assert_int_equal(head.offset, 0);
	assert_int_equal(head.size, sizeof(void *));
	assert_int_equal(tail.offset, sizeof(void *));
	kernel_view_free(v);
}

static void cpus(void **state)
{
	struct kernel_view *v = open_view();
	long n = sysconf(_SC_NPROCESSORS_CONF);
	uint64_t first, other;

	(void)state;
	assert_int_equal(view_per_cpu(v, 0, &first), 0);
	for (long i = 1; i < n; i++) {
		assert_int_equal(view_per_cpu(v, (uint32_t)i, &other), 0);
		assert_true(other != first);
	}
	kernel_view_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors), cmocka_unit_test(what_is_not_there),
		cmocka_unit_test(any_length),  cmocka_unit_test(members),
		cmocka_unit_test(cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
