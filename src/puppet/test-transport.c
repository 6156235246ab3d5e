/* SPDX-License-Identifier: Apache-2.0 */
/* Call tables and their batches, without a puppet: the slot is a buffer, run by a toy. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "puppet/transport.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"

#define SLOT UINT64_C(0x100000)

/* Runs a batch where it lies, as the interpreter would: each call returns the sum of its arguments,
 * and system call 7 adds one to the word its first argument points to. */
static void toy_run(struct batch *b)
{
	struct interp_slot *slot = (void *)b->bytes;

	for (slot->done = 0; slot->done < slot->n_calls && !slot->missed; slot->done++) {
		struct interp_call *c = &slot->call[slot->done];
		uint64_t sum = 0;

		for (int i = 0; i < 6; i++)
			sum += c->result_arg >> i & 1 ? (uint64_t)slot->call[c->arg[i]].result
						      : c->arg[i];
		if (c->nr == 7)
			++*(uint64_t *)(void *)(b->bytes + (c->arg[0] - SLOT));
		c->result = (int64_t)sum;
		slot->missed = c->expect == CALL_SUCCESS ? c->result < 0 && c->result >= -4095
			       : c->expect == CALL_EXACT ? c->result != c->want
							 : 0;
	}
}

/* Batch by batch to the end; returns how many there were, or -errno. */
static int run(struct context *ctx, struct call_table *t, size_t room)
{
	_cleanup_(batch_deinit) struct batch b = {};
	int n = 0;

	for (size_t first = 0; first < t->n_calls; first += b.n, n++) {
		int r = batch_encode(ctx, &b, t, first, SLOT, room);

		if (r < 0)
			return r;
		assert_true(b.len <= room);
		toy_run(&b);
		r = batch_decode(ctx, &b, t);
		if (r < 0)
			return r;
	}
	return n;
}

struct fixture {
	struct context ctx;
	struct arena arena;
	struct call_table t;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	arena_init(&f->arena, &f->ctx);
	call_table_init(&f->t, &f->arena);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	arena_deinit(&f->arena);
	free(f);
	return 0;
}

static void results_across_batches(void **state)
{
	struct fixture *f = *state;
	int batches;

	call_add(&f->t, "one", 1, CALL_IMM(1));
	for (uint32_t i = 1; i < 100; i++)
		call_add(&f->t, "next", 1, CALL_RESULT(i - 1), CALL_IMM(1));
	batches = run(&f->ctx, &f->t, 1000);
	assert_true(batches > 5);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(call_result(&f->t, i), i + 1);
	/* A table may be run again. */
	assert_int_equal(run(&f->ctx, &f->t, 100000), 1);
	assert_int_equal(call_result(&f->t, 99), 100);
}

static void data_travels_with_its_calls(void **state)
{
	struct fixture *f = *state;
	uint32_t at[50];

	for (uint64_t i = 0; i < 50; i++)
		at[i] = call_space(&f->t, &i, sizeof(i));
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 50; i++)
			call_add(&f->t, "count", 7, CALL_DATA(at[i]));
	assert_true(run(&f->ctx, &f->t, 800) > 10);
	for (uint64_t i = 0; i < 50; i++)
		assert_int_equal(*(uint64_t *)call_bytes(&f->t, at[i]), i + 3);
}

static void pointers_are_relocated(void **state)
{
	struct fixture *f = *state;
	_cleanup_(batch_deinit) struct batch b = {};
	uint32_t skipped, outer, inner;
	uint64_t pointer;

	skipped = call_space(&f->t, NULL, 500);
	inner = call_string(&f->t, "inner");
	outer = call_space(&f->t, NULL, 24);
	call_point(&f->t, outer + 16, inner);
	call_add(&f->t, "skipped", 1, CALL_DATA(skipped));
	call_add(&f->t, "pointed", 1, CALL_DATA(outer));
	assert_int_equal(batch_encode(&f->ctx, &b, &f->t, 1, SLOT, 1000), 0);
	memcpy(&pointer,
	       b.bytes + ((struct interp_slot *)(void *)b.bytes)->call[0].arg[0] - SLOT + 16, 8);
	assert_string_equal((char *)b.bytes + (pointer - SLOT), "inner");
	assert_true(b.len < 300);
}

static void failure_is_named(void **state)
{
	struct fixture *f = *state;

	call_add(&f->t, "fine", 1, CALL_IMM(1));
	call_add(&f->t, "open(x)", 1, CALL_IMM(-ENOENT));
	call_add(&f->t, "never", 1, CALL_IMM(1));
	assert_int_equal(run(&f->ctx, &f->t, 4096), -ENOENT);
	assert_non_null(strstr(f->ctx.err.frame[0], "open(x): No such file"));
	assert_true(f->t.calls[0].done && f->t.calls[1].done && !f->t.calls[2].done);

	call_expect_any(&f->t, 1);
	call_expect_exact(&f->t, 2, 5);
	assert_int_equal(run(&f->ctx, &f->t, 4096), -EPROTO);
	assert_non_null(strstr(f->ctx.err.frame[0], "never: result 1 instead of 5"));
}

static void too_big_for_a_slot(void **state)
{
	struct fixture *f = *state;

	call_add(&f->t, "write", 1, CALL_DATA(call_space(&f->t, NULL, 5000)));
	assert_int_equal(run(&f->ctx, &f->t, 4096), -E2BIG);
}

static void damaged_slot(void **state)
{
	struct fixture *f = *state;
	_cleanup_(batch_deinit) struct batch b = {};

	call_add(&f->t, "one", 1, CALL_IMM(1));
	assert_int_equal(batch_encode(&f->ctx, &b, &f->t, 0, SLOT, 4096), 0);
	((struct interp_slot *)(void *)b.bytes)->done = 1000;
	assert_int_equal(batch_decode(&f->ctx, &b, &f->t), -EPROTO);
	((struct interp_slot *)(void *)b.bytes)->done = 0;
	assert_int_equal(batch_decode(&f->ctx, &b, &f->t), -EPROTO);
}

static void formats(void **state)
{
	struct fixture *f = *state;
	char text[200];

	call_add(&f->t, "first", 1, CALL_IMM(0));
	call_add(&f->t, "prctl(PR_SET_NAME)", 157, CALL_IMM(15), CALL_DATA(32), CALL_RESULT(0));
	call_format(&f->t, 1, text, sizeof(text));
	assert_string_equal(text,
			    "prctl(PR_SET_NAME) nr=157 args=(0xf, data+0x20, result 0, 0, 0, 0)");
	for (size_t size = 1; size < sizeof(text); size++)
		call_format(&f->t, 1, text, size);
}

static int strike(void *data _unused_)
{
	return -ENOMEM;
}

/* Every allocation fails in turn: the table remembers, nothing is touched through NULL. */
static void allocations_fail(void **state)
{
	struct fixture *f = *state;
	uint64_t at = 0;

	do {
		uint32_t space;

		arena_deinit(&f->arena);
		arena_init(&f->arena, &f->ctx);
		f->ctx.fault = (struct fault){.at = ++at, .strike = strike};
		call_table_init(&f->t, &f->arena);
		for (uint32_t i = 0; i < 20; i++) {
			space = call_space(&f->t, NULL, 100);
			call_point(&f->t, space, call_string(&f->t, "x"));
			call_expect_any(&f->t, call_add(&f->t, "c", 1, CALL_DATA(space)));
		}
		if (!f->t.failed)
			assert_true(run(&f->ctx, &f->t, 4096) > 0 || f->ctx.fault.count >= at);
	} while (f->ctx.fault.count >= at);
	assert_true(at > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(results_across_batches, setup, teardown),
		cmocka_unit_test_setup_teardown(data_travels_with_its_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(pointers_are_relocated, setup, teardown),
		cmocka_unit_test_setup_teardown(failure_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(too_big_for_a_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(formats, setup, teardown),
		cmocka_unit_test_setup_teardown(allocations_fail, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
