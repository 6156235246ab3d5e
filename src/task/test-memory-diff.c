/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "task/memory-diff.h"
#include "util/macro.h"

enum { VMAS = 24, PAGES = 128, BASE = 0x10000, PAGE = 4096 };

/* An Mm with room for VMAs that tests fill in. */
struct layout {
	Coppice__Mm mm;
	Coppice__Vma vmas[VMAS];
	Coppice__Vma *list[VMAS];
};

static void layout_init(struct layout *l)
{
	coppice__mm__init(&l->mm);
	l->mm.vmas = l->list;
}

/* @make tells apart what cannot serve as each other. */
static Coppice__Vma *layout_add(struct layout *l, uint64_t start, uint64_t end, uint32_t make)
{
	Coppice__Vma *vma = &l->vmas[l->mm.n_vmas];

	coppice__vma__init(vma);
	vma->start = start;
	vma->end = end;
	vma->prot = PROT_READ;
	vma->flags = MAP_PRIVATE;
	if (make > 0) {
		vma->kind = COPPICE__VMA_KIND__VMA_KIND_FILE;
		vma->inode = make;
		vma->offset = start;
	}
	l->list[l->mm.n_vmas++] = vma;
	return vma;
}

struct expected {
	enum vma_step_kind kind;
	uint64_t start;
	uint64_t end;
};

static void assert_steps(const struct layout *from, const struct layout *to,
			 const struct expected *steps, size_t n)
{
	struct vma_diff diff;
	struct vma_step step;

	vma_diff_init(&diff, from ? &from->mm : NULL, &to->mm);
	for (size_t i = 0; i < n; i++) {
		assert_true(vma_diff_next(&diff, &step));
		assert_int_equal(step.kind, steps[i].kind);
		assert_int_equal(step.start, steps[i].start);
		assert_int_equal(step.end, steps[i].end);
	}
	assert_false(vma_diff_next(&diff, &step));
}

static void test_from_nothing(void **state)
{
	static const struct expected steps[] = {{VMA_MAP, 0x1000, 0x3000},
						{VMA_MAP, 0x5000, 0x6000}};
	struct layout to;

	(void)state;
	layout_init(&to);
	layout_add(&to, 0x1000, 0x3000, 0);
	layout_add(&to, 0x5000, 0x6000, 1);
	assert_steps(NULL, &to, steps, ARRAY_SIZE(steps));
}

/* A heap that has grown at both ends in one of the two. */
static void test_grown(void **state)
{
	static const struct expected steps[] = {
		{VMA_MAP, 0x1000, 0x2000}, {VMA_KEEP, 0x2000, 0x4000}, {VMA_UNMAP, 0x4000, 0x6000}};
	struct layout from;
	struct layout to;

	(void)state;
	layout_init(&from);
	layout_init(&to);
	layout_add(&from, 0x2000, 0x6000, 0);
	layout_add(&to, 0x1000, 0x4000, 0);
	assert_steps(&from, &to, steps, ARRAY_SIZE(steps));
}

static void test_replaced(void **state)
{
	static const struct expected steps[] = {{VMA_REPLACE, 0x1000, 0x2000},
						{VMA_UNMAP, 0x2000, 0x3000}};
	struct layout from;
	struct layout to;

	(void)state;
	layout_init(&from);
	layout_init(&to);
	layout_add(&from, 0x1000, 0x3000, 1);
	layout_add(&to, 0x1000, 0x2000, 2);
	assert_steps(&from, &to, steps, ARRAY_SIZE(steps));
}

/* The same file at the same place, but another part of it. */
static void test_other_offset(void **state)
{
	static const struct expected steps[] = {{VMA_REPLACE, 0x1000, 0x3000}};
	struct layout from;
	struct layout to;

	(void)state;
	layout_init(&from);
	layout_init(&to);
	layout_add(&from, 0x1000, 0x3000, 1);
	layout_add(&to, 0x1000, 0x3000, 1)->offset = 0x9000;
	assert_steps(&from, &to, steps, ARRAY_SIZE(steps));
}

static void test_protection_does_not_matter(void **state)
{
	static const struct expected steps[] = {{VMA_KEEP, 0x1000, 0x2000},
						{VMA_KEEP, 0x2000, 0x3000}};
	struct layout from;
	struct layout to;

	(void)state;
	layout_init(&from);
	layout_init(&to);
	layout_add(&from, 0x1000, 0x3000, 0);
	layout_add(&to, 0x1000, 0x2000, 0)->prot = PROT_NONE;
	layout_add(&to, 0x2000, 0x3000, 0)->advice = COPPICE__VMA_ADVICE__VMA_ADVICE_DONTFORK;
	assert_steps(&from, &to, steps, ARRAY_SIZE(steps));
}

/* What has counted as memory does so for good. */
static void test_was_writable(void **state)
{
	static const struct expected replaced[] = {{VMA_REPLACE, 0x1000, 0x3000}};
	static const struct expected kept[] = {{VMA_KEEP, 0x1000, 0x3000}};
	struct layout writable;
	struct layout never;

	(void)state;
	layout_init(&writable);
	layout_init(&never);
	layout_add(&writable, 0x1000, 0x3000, 0)->prot = PROT_READ | PROT_WRITE;
	layout_add(&never, 0x1000, 0x3000, 0)->prot = PROT_NONE;
	assert_steps(&writable, &never, replaced, ARRAY_SIZE(replaced));
	assert_steps(&never, &writable, kept, ARRAY_SIZE(kept));
}

static void test_kernels_own_are_left_alone(void **state)
{
	struct layout from;
	struct layout to;

	(void)state;
	layout_init(&from);
	layout_init(&to);
	layout_add(&from, 0x1000, 0x3000, 0)->kind = COPPICE__VMA_KIND__VMA_KIND_VDSO;
	layout_add(&to, 0x5000, 0x6000, 0)->kind = COPPICE__VMA_KIND__VMA_KIND_VDSO;
	assert_steps(&from, &to, NULL, 0);
}

/* ---- any two layouts ------------------------------------------------------------------------ */

static void random_layout(struct layout *l, unsigned char *what)
{
	unsigned int at = (unsigned int)rand() % 8;

	layout_init(l);
	for (unsigned int i = 0; i < PAGES; i++)
		what[i] = 0;
	while (at < PAGES && l->mm.n_vmas < VMAS) {
		unsigned int end = MIN(at + 1 + (unsigned int)rand() % 10, (unsigned int)PAGES);
		uint32_t make = 1 + (uint32_t)rand() % 3;

		layout_add(l, BASE + at * PAGE, BASE + end * PAGE, make);
		while (at < end)
			what[at++] = (unsigned char)make;
		at += (unsigned int)rand() % 4;
	}
}

/* Played on an array of pages, the steps must turn one layout into the other. */
static void test_any_two(void **state)
{
	unsigned int seed = (unsigned int)time(NULL);

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 5000; round++) {
		unsigned char has[PAGES];
		unsigned char wants[PAGES];
		struct layout from;
		struct layout to;
		struct vma_diff diff;
		struct vma_step step;
		uint64_t last = 0;

		random_layout(&from, has);
		random_layout(&to, wants);
		vma_diff_init(&diff, &from.mm, &to.mm);
		while (vma_diff_next(&diff, &step)) {
			assert_true(step.start >= last && step.start < step.end);
			last = step.end;
			for (uint64_t i = (step.start - BASE) / PAGE; i < (step.end - BASE) / PAGE;
			     i++) {
				unsigned char was = has[i];

				assert_int_equal(was != 0, step.old != NULL);
				has[i] = step.vma ? (unsigned char)step.vma->inode : 0;
				if (step.kind == VMA_KEEP)
					assert_int_equal(was, has[i]);
			}
		}
		assert_memory_equal(has, wants, PAGES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_nothing),
		cmocka_unit_test(test_grown),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_other_offset),
		cmocka_unit_test(test_protection_does_not_matter),
		cmocka_unit_test(test_was_writable),
		cmocka_unit_test(test_kernels_own_are_left_alone),
		cmocka_unit_test(test_any_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
