/* SPDX-License-Identifier: Apache-2.0 */
#include "ns/user-read.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/context.h"
#include "util/macro.h"

static void test_lines(void **state)
{
	struct context ctx = {};
	struct arena arena;
	Coppice__IdMap **maps;
	size_t n;

	(void)state;
	arena_init(&arena, &ctx);
	assert_int_equal(id_map_parse(&arena, "", &maps, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(id_map_parse(&arena,
				      "         0       1000          1\n"
				      "         1     100000      65536\n",
				      &maps, &n),
			 0);
	assert_int_equal(n, 2);
	assert_int_equal(maps[0]->outside, 1000);
	assert_int_equal(maps[1]->inside, 1);
	assert_int_equal(maps[1]->count, 65536);
	assert_int_equal(id_map_parse(&arena, "0 1000\n", &maps, &n), -EBADMSG);
	assert_int_equal(id_map_parse(&arena, "0 1000 0\n", &maps, &n), -EBADMSG);
	assert_int_equal(id_map_parse(&arena, "0 -1 1\n", &maps, &n), -EBADMSG);
	arena_deinit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
