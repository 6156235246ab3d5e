/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/pagemap.h"
#include "kernel/proc.h"
#include "task/memory-batch.h"
#include "util/cleanup.h"
#include "util/macro.h"

static struct page_batch *new_batch(uint32_t max_pages)
{
	struct page_batch *batch = test_calloc(1, sizeof(*batch));

	batch->page_size = 4096;
	batch->max_pages = max_pages;
	return batch;
}

static void test_room(void **state)
{
	struct page_batch *batch = new_batch(8);
	Coppice__Vma vma = COPPICE__VMA__INIT;

	(void)state;
	assert_int_equal(batch_add(batch, &vma, 0x1000, 3, false), 3);
	assert_int_equal(batch_add(batch, &vma, 0x8000, 9, false), 5);
	assert_int_equal(batch_add(batch, &vma, 0xd000, 4, false), 0);
	assert_int_equal(batch->n_pages, 8);
	batch_reset(batch);
	assert_int_equal(batch_add(batch, &vma, 0xd000, 4, false), 4);
	test_free(batch);
}

static void test_runs(void **state)
{
	static const uint8_t states[] = {PAGE_STATE_DATA,     PAGE_STATE_DATA,
					 PAGE_STATE_ZERO,     PAGE_STATE_DATA,
					 PAGE_STATE_ANCESTOR, PAGE_STATE_ANCESTOR + 1};
	static const struct {
		uint64_t start;
		uint32_t pages;
	} expected[] = {{0x1000, 2}, {0x3000, 1}, {0x9000, 1}, {0xa000, 1}, {0xb000, 1}};
	struct page_batch *batch = new_batch(8);
	Coppice__Vma vma = COPPICE__VMA__INIT;
	struct batch_cursor cursor = {};
	struct batch_run run;

	(void)state;
	batch_add(batch, &vma, 0x1000, 3, false);
	batch_add(batch, &vma, 0x9000, 3, true);
	for (size_t i = 0; i < sizeof(states); i++)
		batch->state[i] = states[i];
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_true(batch_next(batch, &cursor, &run));
		assert_int_equal(run.start, expected[i].start);
		assert_int_equal(run.pages, expected[i].pages);
		assert_int_equal(run.state, states[run.first]);
		assert_int_equal(run.range->swapped, run.start >= 0x9000);
	}
	assert_false(batch_next(batch, &cursor, &run));
	test_free(batch);
}

/* Ranges that are read together, one that is longer than what is read at once, one far away. */
static void test_entries(void **state)
{
	enum { PAGES = 4000, SIZE = 4096 };
	static const struct {
		uint32_t first, pages;
	} ranges[] = {{0, 1}, {3, 2}, {100, 1500}, {1610, 1}, {3900, 100}};
	struct page_batch *batch = new_batch(BATCH_PAGES);
	_cleanup_(pagemap_close) struct pagemap pagemap = {.fd = -EBADF};
	_cleanup_close_ int proc_fd = -EBADF;
	Coppice__Vma vma = COPPICE__VMA__INIT;
	uint64_t want, n = 0;
	char *at;

	(void)state;
	assert_int_equal(proc_open(getpid(), &proc_fd), 0);
	assert_int_equal(pagemap_open(proc_fd, &pagemap), 0);
	at = mmap(NULL, (size_t)PAGES * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		  -1, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	for (size_t i = 0; i < PAGES; i += 3)
		at[i * SIZE] = 1;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		batch_add(batch, &vma, (uintptr_t)at + (uint64_t)ranges[i].first * SIZE,
			  ranges[i].pages, false);
	assert_int_equal(batch_read_entries(batch, &pagemap, batch->entry), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		for (uint32_t k = 0; k < ranges[i].pages; k++, n++) {
			uint64_t address = (uintptr_t)at + (uint64_t)(ranges[i].first + k) * SIZE;

			assert_int_equal(pagemap_read(&pagemap, address, 1, &want), 0);
			assert_int_equal(batch->entry[n], want);
		}
	assert_int_equal(n, batch->n_pages);
	(void)munmap(at, (size_t)PAGES * SIZE);
	test_free(batch);
}

static void test_content(void **state)
{
	Coppice__Vma anon = COPPICE__VMA__INIT;
	Coppice__Vma file = COPPICE__VMA__INIT;

	(void)state;
	file.kind = COPPICE__VMA_KIND__VMA_KIND_FILE;
	assert_true(page_range_is_content(&anon, PAGE_PRESENT));
	assert_true(page_range_is_content(&anon, PAGE_SWAPPED));
	assert_false(page_range_is_content(&anon, PAGE_PRESENT | PAGE_ZERO));
	assert_true(page_range_is_content(&file, PAGE_PRESENT | PAGE_ZERO));
	assert_false(page_range_is_content(&file, PAGE_PRESENT | PAGE_FILE));
	assert_false(page_range_is_content(&anon, PAGE_GUARD));
}

static void test_zero(void **state)
{
	_Alignas(8) static unsigned char page[4096];

	(void)state;
	assert_true(page_is_zero(page, sizeof(page)));
	for (size_t i = 0; i < sizeof(page); i += 511) {
		page[i] = 1;
		assert_false(page_is_zero(page, sizeof(page)));
		page[i] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_room),	cmocka_unit_test(test_runs),
		cmocka_unit_test(test_entries), cmocka_unit_test(test_content),
		cmocka_unit_test(test_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
