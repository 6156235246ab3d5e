/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "file/chains.h"

struct thing {
	struct chain chain;
	int value;
};

/* Few hashes for many things: long chains, which keep the order in which things came. */
static void test_order_survives_growth(void **state)
{
	enum { THINGS = 1000, HASHES = 7 };
	static struct thing things[THINGS];
	struct arena arena;
	struct chains chains;

	(void)state;
	arena_init(&arena, NULL);
	chains_init(&chains, &arena);
	assert_null(chains_find(&chains, 0));
	for (int i = 0; i < THINGS; i++) {
		things[i].value = i;
		assert_int_equal(chains_add(&chains, (uint64_t)i % HASHES * 64, &things[i].chain),
				 0);
	}
	for (int hash = 0; hash < HASHES; hash++) {
		int value = hash;

		for (const struct chain *at = chains_find(&chains, (uint64_t)hash * 64); at;
		     at = chains_next(at), value += HASHES)
			assert_int_equal(((const struct thing *)at)->value, value);
		assert_true(value >= THINGS);
	}
	assert_null(chains_find(&chains, 1));
	arena_deinit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_survives_growth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
