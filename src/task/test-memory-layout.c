/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "puppet/call.h"
#include "task/memory-layout.h"
#include "task/memory-vdso.h"
#include "util/arena.h"
#include "util/macro.h"

static void test_gap_between(void **state)
{
	struct address_range used[] = {{0x9000, 0xa000}, {0x1000, 0x3000}, {0x3000, 0x5000}};

	(void)state;
	assert_int_equal(
		layout_find_gap(used, ARRAY_SIZE(used), 0x2000, 0x1000, 0, 0x1000, 0x100000),
		0x5000);
	assert_int_equal(
		layout_find_gap(used, ARRAY_SIZE(used), 0x4000, 0x1000, 0, 0x1000, 0x100000),
		0x5000);
	assert_int_equal(
		layout_find_gap(used, ARRAY_SIZE(used), 0x5000, 0x1000, 0, 0x1000, 0x100000),
		0xa000);
	/* With room to grow for what lies above. */
	assert_int_equal(
		layout_find_gap(used, ARRAY_SIZE(used), 0x2000, 0x1000, 0x3000, 0x1000, 0x100000),
		0xa000);
}

static void test_gap_overlapping(void **state)
{
	struct address_range used[] = {{0x1000, 0x9000}, {0x2000, 0x3000}};

	(void)state;
	assert_int_equal(
		layout_find_gap(used, ARRAY_SIZE(used), 0x1000, 0x4000, 0, 0x1000, 0x100000),
		0xc000);
}

static void test_no_gap(void **state)
{
	struct address_range used[] = {{0x1000, 0xf000}};

	(void)state;
	assert_int_equal(
		layout_find_gap(used, ARRAY_SIZE(used), 0x2000, 0x1000, 0, 0x1000, 0x10000), 0);
}

/* ---- the vdso's way -------------------------------------------------------------------------- */

static struct vdso_layout pieces(uint64_t start)
{
	return (struct vdso_layout){
		.piece = {{"[vvar]", start, 0x4000}, {"[vdso]", start + 0x4000, 0x2000}}, .n = 2};
}

static void run_vdso(uint64_t from, uint64_t to, uint64_t spare, struct call_table *t,
		     struct arena *arena)
{
	struct vdso_layout a = pieces(from);
	struct vdso_layout b = pieces(to);

	arena_init(arena, NULL);
	call_table_init(t, arena);
	vdso_move(&a, &b, spare, t);
}

static void test_vdso_stays(void **state)
{
	struct vdso_layout a = pieces(0x10000);
	struct call_table t;
	struct arena arena;

	(void)state;
	assert_int_equal(vdso_spare(&a, &a), 0);
	run_vdso(0x10000, 0x10000, 0, &t, &arena);
	assert_int_equal(t.n_calls, 0);
	arena_deinit(&arena);
}

static void test_vdso_moves(void **state)
{
	struct call_table t;
	struct arena arena;

	(void)state;
	run_vdso(0x10000, 0x80000, 0, &t, &arena);
	assert_int_equal(t.n_calls, 2);
	assert_int_equal(t.calls[1].arg[0].value, 0x14000);
	assert_int_equal(t.calls[1].arg[4].value, 0x84000);
	arena_deinit(&arena);
}

/* By less than its own length: every piece takes the detour. */
static void test_vdso_overlaps(void **state)
{
	struct vdso_layout a = pieces(0x10000);
	struct vdso_layout b = pieces(0x11000);
	struct call_table t;
	struct arena arena;

	(void)state;
	assert_int_equal(vdso_spare(&a, &b), 0x6000);
	run_vdso(0x10000, 0x11000, 0x100000, &t, &arena);
	assert_int_equal(t.n_calls, 4);
	assert_int_equal(t.calls[0].arg[4].value, 0x100000);
	assert_int_equal(t.calls[1].arg[4].value, 0x104000);
	assert_int_equal(t.calls[2].arg[4].value, 0x11000);
	assert_int_equal(t.calls[3].arg[4].value, 0x15000);
	arena_deinit(&arena);
}

static void test_vdso_unmapped(void **state)
{
	struct vdso_layout a = pieces(0x10000);
	struct vdso_layout none = {};
	struct call_table t;
	struct arena arena;

	(void)state;
	arena_init(&arena, NULL);
	call_table_init(&t, &arena);
	vdso_move(&a, &none, 0, &t);
	assert_int_equal(t.n_calls, 2);
	assert_true(strncmp(t.calls[0].what, "munmap", 6) == 0);
	arena_deinit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gap_between),   cmocka_unit_test(test_gap_overlapping),
		cmocka_unit_test(test_no_gap),	      cmocka_unit_test(test_vdso_stays),
		cmocka_unit_test(test_vdso_moves),    cmocka_unit_test(test_vdso_overlaps),
		cmocka_unit_test(test_vdso_unmapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
