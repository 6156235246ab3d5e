/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "task/surroundings.h"
#include "util/arena.h"
#include "util/macro.h"

static void cpu_lists(void **state _unused_)
{
	static const struct {
		const char *text;
		uint64_t mask;
	} rows[] = {
		{"0\n", 1},
		{"0-1\n", 3},
		{"", 0},
		{"\n", 0},
		{"1,3,5-7\n", 0xea},
		{"63", UINT64_C(1) << 63},
		{"0-63", ~UINT64_C(0)},
		{"2-2\n", 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t mask = 77;

		assert_int_equal(parse_cpu_list(rows[i].text, (uint8_t *)&mask, sizeof(mask)), 0);
		assert_true(mask == rows[i].mask);
	}
}

static void cpu_lists_refused(void **state _unused_)
{
	static const char *const texts[] = {"64",   "x",   "1-", "3-1",
					    "1,,2", "1 2", "-1", "0-4294967296"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		uint8_t mask[8];

		assert_int_equal(parse_cpu_list(texts[i], mask, sizeof(mask)), -EBADMSG);
	}
}

static void cgroups(void **state _unused_)
{
	struct cgroup_place *places;
	struct arena arena;
	size_t n;

	arena_init(&arena, NULL);
	assert_int_equal(
		parse_cgroups("9:name=systemd:/\n2:cpu,cpuacct:/a:b/c d\n0::/x (deleted)\n", &arena,
			      &places, &n),
		0);
	assert_int_equal(n, 3);
	assert_string_equal(places[0].hierarchy, "name=systemd");
	assert_string_equal(places[0].path, "/");
	assert_string_equal(places[1].hierarchy, "cpu,cpuacct");
	assert_string_equal(places[1].path, "/a:b/c d");
	assert_string_equal(places[2].hierarchy, "");
	assert_string_equal(places[2].path, "/x (deleted)");
	assert_int_equal(parse_cgroups("", &arena, &places, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(parse_cgroups("x::/\n", &arena, &places, &n), -EBADMSG);
	assert_int_equal(parse_cgroups("1:cpu\n", &arena, &places, &n), -EBADMSG);
	assert_int_equal(parse_cgroups("1:cpu:\n", &arena, &places, &n), -EBADMSG);
	assert_int_equal(parse_cgroups("1:cpu\n2:x:/\n", &arena, &places, &n), -EBADMSG);
	arena_deinit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpu_lists),
		cmocka_unit_test(cpu_lists_refused),
		cmocka_unit_test(cgroups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
