/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ahead gives what reading gives, however far the thread has come. */
#include "kernel/proc-ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

enum { FEW = 3, MANY = 1000 };

/* Of ourselves, what does not change. */
static const struct proc_wanted wanted[] = {
	{.name = "auxv"},
	{.name = "exe", .link = true},
	{.name = "no-such-file"},
	{.name = "cmdline"},
	{},
};

static int own_dir(void)
{
	int fd;

	assert_int_equal(proc_open(getpid(), &fd), 0);
	return fd;
}

static void expect_file(const struct proc_dir *dir, const char *name)
{
	_cleanup_free_ char *got = NULL, *want = NULL;
	size_t n_got, n_want;

	assert_int_equal(io_read_file(dir->fd, name, &want, &n_want), 0);
	assert_int_equal(proc_dir_read(dir, name, &got, &n_got), 0);
	assert_int_equal(n_got, n_want);
	assert_memory_equal(got, want, n_want + 1);
}

static void expect_exe(const struct proc_dir *dir)
{
	_cleanup_free_ char *got = NULL;
	char want[4096] = "";

	assert_true(readlinkat(dir->fd, "exe", want, sizeof(want) - 1) > 0);
	assert_int_equal(proc_dir_link(dir, "exe", &got), 0);
	assert_string_equal(got, want);
}

static void expect_all(const struct proc_dir *dir)
{
	char *text;

	expect_file(dir, "cmdline");
	expect_file(dir, "auxv");
	expect_exe(dir);
	expect_file(dir, "cmdline"); /* has been taken */
	expect_file(dir, "environ"); /* not wanted */
	assert_int_equal(proc_dir_read(dir, "no-such-file", &text, NULL), -ENOENT);
	assert_int_equal(proc_dir_link(dir, "no-such-file", &text), -ENOENT);
}

/* Every @step-th of @n directories is come to, the last but those after @end. */
static void walk(size_t n, size_t step, size_t end)
{
	_cleanup_close_ int fd = own_dir();
	_cleanup_free_ int *fds = calloc(n, sizeof(*fds));
	struct proc_ahead *ahead;

	assert_non_null(fds);
	for (size_t i = 0; i < n; i++)
		fds[i] = i % 5 == 4 ? -EBADF : fd;
	ahead = proc_ahead_start(fds, n, wanted);
	assert_int_equal(ahead != NULL, n > FEW);
	for (size_t i = 0; i < end; i += step)
		if (fds[i] >= 0)
			expect_all(&(struct proc_dir){.fd = fd, .ahead = ahead, .place = i});
	assert_null(proc_ahead_end(ahead));
}

static void same_as_reading(void **state _unused_)
{
	walk(MANY, 1, MANY);
	walk(MANY, 7, MANY);
	walk(MANY, MANY - 1, MANY);
}

/* With the thread in the midst of it, or waiting for room. */
static void ended_early(void **state _unused_)
{
	for (size_t end = 0; end < 40; end++)
		walk(MANY, 1, end);
}

static void not_for_few(void **state _unused_)
{
	walk(FEW, 1, FEW);
	assert_null(proc_ahead_end(NULL));
}

/* The thread has time to read: then something comes from it. */
static void is_read_ahead(void **state _unused_)
{
	_cleanup_close_ int fd = own_dir();
	int fds[MANY];
	struct proc_ahead *ahead;
	char *text = NULL;
	bool taken = false;

	for (size_t i = 0; i < MANY; i++)
		fds[i] = fd;
	ahead = proc_ahead_start(fds, MANY, wanted);
	assert_non_null(ahead);
	for (size_t i = 0; i < MANY && !taken; i++) {
		/* The last to be read. */
		taken = proc_dir_take(&(struct proc_dir){.fd = fd, .ahead = ahead, .place = i},
				      "cmdline", &text, NULL);
		if (!taken)
			usleep(1000);
	}
	free(text);
	assert_null(proc_ahead_end(ahead));
	assert_true(taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_reading),
		cmocka_unit_test(ended_early),
		cmocka_unit_test(not_for_few),
		cmocka_unit_test(is_read_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
