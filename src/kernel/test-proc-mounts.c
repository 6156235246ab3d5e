/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/macro.h"

static int setup(void **state)
{
	static struct arena arena;

	arena_init(&arena, NULL);
	*state = &arena;
	return 0;
}

static int teardown(void **state)
{
	arena_deinit(*state);
	return 0;
}

static void lines(void **state)
{
	struct proc_mount *m;
	size_t n;

	assert_int_equal(parse_mounts("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 "
				      "/dev/root rw,errors=continue\n"
				      "37 36 0:5 / /a\\040b\\012c\\134d rw - tmpfs  rw\n"
				      "38 36 0:6 / /- rw - cgroup - rw,cpu,cpuacct\n",
				      *state, &m, &n),
			 0);
	assert_int_equal(n, 3);
	assert_int_equal(m[0].id, 36);
	assert_int_equal(m[0].parent, 35);
	assert_int_equal(m[0].dev_major, 98);
	assert_string_equal(m[0].root, "/mnt1");
	assert_string_equal(m[0].point, "/mnt2");
	assert_string_equal(m[0].options, "rw,noatime");
	assert_string_equal(m[0].type, "ext3");
	assert_string_equal(m[0].source, "/dev/root");
	assert_string_equal(m[0].super_options, "rw,errors=continue");
	assert_string_equal(m[1].point, "/a b\nc\\d");
	assert_string_equal(m[1].source, "");
	assert_string_equal(m[2].point, "/-");
	assert_string_equal(m[2].source, "-");
}

static void refused(void **state)
{
	static const char *const texts[] = {
		"x",
		"36 35 98:0 / / rw\n",
		"36 35 98:0 / / rw shared:1 ext3 /dev/root rw\n",
		"36 35 98:0 / / rw - ext3 /dev/root\n",
		"36 35 98:0  / rw - ext3 /dev/root rw\n",
		"36 35 980 / / rw - ext3 /dev/root rw\n",
		"36 35 98:0 / / rw - ext3 /dev/root rw more\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct proc_mount *m;
		size_t n;

		assert_int_equal(parse_mounts(texts[i], *state, &m, &n), -EBADMSG);
	}
}

static void own(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	bool found = false;
	struct proc_mount *m;
	size_t n;

	assert_int_equal(proc_open(getpid(), &fd), 0);
	assert_int_equal(proc_read_mounts(fd, *state, &m, &n), 0);
	for (size_t i = 0; i < n; i++)
		found |= strcmp(m[i].point, "/proc") == 0 && strcmp(m[i].type, "proc") == 0;
	assert_true(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(refused),
		cmocka_unit_test(own),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
