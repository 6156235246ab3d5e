/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that lead from one set of scheduling attributes to another, and their order. */
#include <linux/sched.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "kernel/sys.h"
#include "task/sched.h"
#include "util/arena.h"
#include "util/macro.h"

struct fixture {
	struct arena arena;
	struct call_table table;
	Coppice__Sched have;
	Coppice__Sched want;
};

static int setup(void **state)
{
	static struct fixture f;

	arena_init(&f.arena, NULL);
	call_table_init(&f.table, &f.arena);
	coppice__sched__init(&f.have);
	coppice__sched__init(&f.want);
	f.have.util_clamp = f.want.util_clamp = true;
	f.have.util_max = f.want.util_max = 1024;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	arena_deinit(&f->arena);
	return 0;
}

static const struct sys_sched_attr *attr_of(struct fixture *f, uint32_t call)
{
	return call_arg_bytes(&f->table, call, 1);
}

static void nothing(void **state)
{
	struct fixture *f = *state;

	sched_add(&f->table, &f->have, &f->want);
	assert_int_equal(f->table.n_calls, 0);
}

static void nice_before_realtime(void **state)
{
	struct fixture *f = *state;

	f->want.policy = SCHED_FIFO;
	f->want.priority = 7;
	f->want.nice = -5;
	sched_add(&f->table, &f->have, &f->want);
	assert_int_equal(f->table.n_calls, 2);
	assert_int_equal(f->table.calls[0].nr, SYS_setpriority);
	assert_true((int64_t)f->table.calls[0].arg[2].value == -5);
	assert_int_equal(f->table.calls[1].nr, SYS_sched_setattr);
	assert_int_equal(attr_of(f, 1)->policy, SCHED_FIFO);
	assert_int_equal(attr_of(f, 1)->priority, 7);
	assert_int_equal(attr_of(f, 1)->nice, 0);
	assert_int_equal(attr_of(f, 1)->flags, 0);
}

/* A task with a deadline may not leave out a CPU, and its affinity cannot be changed. */
static void affinity_before_deadline(void **state)
{
	struct fixture *f = *state;
	uint8_t mask[8] = {1};

	f->have.affinity = (ProtobufCBinaryData){sizeof(mask), mask};
	f->want.policy = SCHED_DEADLINE;
	f->want.runtime_ns = 1;
	f->want.deadline_ns = 2;
	f->want.period_ns = 3;
	sched_add(&f->table, &f->have, &f->want);
	assert_int_equal(f->table.n_calls, 2);
	assert_int_equal(f->table.calls[0].nr, SYS_sched_setaffinity);
	assert_int_equal(((uint8_t *)call_arg_bytes(&f->table, 0, 2))[0], 0xff);
	assert_int_equal(attr_of(f, 1)->runtime, 1);
	assert_int_equal(attr_of(f, 1)->deadline, 2);
	assert_int_equal(attr_of(f, 1)->period, 3);
}

static void affinity_as_it_is(void **state)
{
	struct fixture *f = *state;
	uint8_t mask[8] = {0x55};

	f->want.affinity = (ProtobufCBinaryData){sizeof(mask), mask};
	sched_add(&f->table, &f->have, &f->want);
	assert_int_equal(f->table.n_calls, 1);
	assert_int_equal(f->table.calls[0].arg[1].value, sizeof(mask));
	assert_memory_equal(call_arg_bytes(&f->table, 0, 2), mask, sizeof(mask));
}

/* A fair task's nice has to be in the attributes too: they would set it to 0. */
static void slice_keeps_nice(void **state)
{
	struct fixture *f = *state;

	f->have.nice = f->want.nice = 9;
	f->want.runtime_ns = 5000000;
	sched_add(&f->table, &f->have, &f->want);
	assert_int_equal(f->table.n_calls, 1);
	assert_int_equal(attr_of(f, 0)->nice, 9);
	assert_int_equal(attr_of(f, 0)->runtime, 5000000);
}

static void clamps(void **state)
{
	struct fixture *f = *state;

	f->want.util_min = 100;
	sched_add(&f->table, &f->have, &f->want);
	assert_int_equal(f->table.n_calls, 1);
	assert_int_equal(attr_of(f, 0)->flags, SCHED_FLAG_UTIL_CLAMP);
	assert_int_equal(attr_of(f, 0)->util_min, 100);
	assert_int_equal(attr_of(f, 0)->util_max, 1024);
}

/* An image from a kernel without clamps says nothing about them. */
static void unknown_clamps(void **state)
{
	struct fixture *f = *state;

	f->want.util_clamp = false;
	f->want.util_max = 0;
	sched_add(&f->table, &f->have, &f->want);
	assert_int_equal(f->table.n_calls, 0);
}

static void privilege(void **state)
{
	struct fixture *f = *state;

	assert_false(sched_needs_privilege(&f->have, &f->want));
	f->want.nice = 5;
	assert_false(sched_needs_privilege(&f->have, &f->want));
	f->want.nice = -1;
	assert_true(sched_needs_privilege(&f->have, &f->want));
	f->want.nice = 0;
	f->want.policy = SCHED_IDLE;
	assert_false(sched_needs_privilege(&f->have, &f->want));
	f->want.policy = SCHED_RR;
	f->want.priority = 1;
	assert_true(sched_needs_privilege(&f->have, &f->want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(nice_before_realtime, setup, teardown),
		cmocka_unit_test_setup_teardown(affinity_before_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(affinity_as_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(slice_keeps_nice, setup, teardown),
		cmocka_unit_test_setup_teardown(clamps, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_clamps, setup, teardown),
		cmocka_unit_test_setup_teardown(privilege, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
