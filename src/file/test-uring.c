/* SPDX-License-Identifier: Apache-2.0 */
/* How the counters of a ring are reached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "file/uring.h"
#include "util/macro.h"

static void reach(uint32_t sq_head, uint32_t cq_tail, bool drain_disabled)
{
	Coppice__IoUring ring = COPPICE__IO_URING__INIT;
	struct uring_steps n;

	ring.sq_head = sq_head;
	ring.cq_tail = cq_tail;
	ring.drain_disabled = drain_disabled;
	uring_steps(&ring, &n);
	assert_int_equal((uint32_t)(n.plain + n.silent + n.dropped), sq_head);
	assert_int_equal((uint32_t)(n.plain + n.messages), cq_tail);
	/* A silent one is what disables draining, and nothing else does. */
	assert_int_equal(n.silent > 0, drain_disabled);
}

static void both_counters_are_reached(void **state)
{
	static const uint32_t values[] = {0,	      1,	  2,	      7,	 1000,
					  0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
			reach(values[i], values[k], false);
			reach(values[i], values[k], true);
		}
}

static void few_steps(void **state)
{
	Coppice__IoUring ring = COPPICE__IO_URING__INIT;
	struct uring_steps n;

	(void)state;
	ring.sq_head = 1000;
	ring.cq_tail = 1003;
	uring_steps(&ring, &n);
	assert_int_equal(n.plain, 1000);
	assert_int_equal(n.messages, 3);
	ring.cq_tail = 996;
	uring_steps(&ring, &n);
	assert_int_equal(n.plain, 996);
	assert_int_equal(n.dropped, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_counters_are_reached),
		cmocka_unit_test(few_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
