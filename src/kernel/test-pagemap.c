/* SPDX-License-Identifier: Apache-2.0 */
/* Our own pages, seen by the ioctl, by the ioctl of a kernel without guards, and by entries. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernel/feature.h"
#include "kernel/pagemap.h"
#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum { PAGES = 2000 };

static struct pagemap open_own(void)
{
	_cleanup_close_ int proc_fd = -EBADF;
	struct pagemap pagemap;

	assert_int_equal(proc_open(getpid(), &proc_fd), 0);
	assert_int_equal(pagemap_open(proc_fd, &pagemap), 0);
	return pagemap;
}

/* Every walk must give the same, up to the zero page that entries cannot tell. */
static void expect(const struct pagemap *pagemap, uint64_t base, const struct page_range *want,
		   size_t n)
{
	const uint64_t page = pagemap->page_size;
	struct pagemap_walk walk;
	struct page_range got;

	pagemap_walk_init(&walk, pagemap, base, base + PAGES * page);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pagemap_walk_next(&walk, &got), 1);
		assert_int_equal((got.start - base) / page, want[i].start);
		assert_int_equal((got.end - base) / page, want[i].end);
		assert_int_equal(got.categories & ~(uint32_t)PAGE_ZERO, want[i].categories);
		if (pagemap->scannable)
			assert_int_equal(!!(got.categories & PAGE_ZERO), i == 1);
	}
	assert_int_equal(pagemap_walk_next(&walk, &got), 0);
	assert_int_equal(pagemap_walk_next(&walk, &got), 0);
}

static void ranges(void **state _unused_)
{
	const struct page_range want[] = {
		{3, 5, PAGE_PRESENT},	{7, 8, PAGE_PRESENT}, /* the zero page */
		{100, 104, PAGE_GUARD}, {110, 111, PAGE_PRESENT}, {600, 1700, PAGE_PRESENT},
	};
	_cleanup_(pagemap_close) struct pagemap pagemap = open_own();
	const size_t page = pagemap.page_size;
	size_t n = ARRAY_SIZE(want);
	volatile char *at;
	char *base;

	if (feature_probe(FEATURE_MADV_GUARD) != 1)
		skip();
	base = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	assert_int_equal(madvise(base, PAGES * page, MADV_NOHUGEPAGE), 0);
	at = base;
	at[3 * page] = at[4 * page] = at[110 * page] = 1;
	(void)at[7 * page];
	for (size_t i = 600; i < 1700; i++)
		at[i * page] = 1;
	assert_int_equal(madvise(base + 100 * page, 4 * page, MADV_GUARD_INSTALL), 0);

	expect(&pagemap, (uint64_t)(uintptr_t)base, want, n);
	if (pagemap.scannable) {
		pagemap.scannable &= ~(uint64_t)PAGE_IS_GUARD;
		expect(&pagemap, (uint64_t)(uintptr_t)base, want, n);
	}
	pagemap.scannable = 0;
	expect(&pagemap, (uint64_t)(uintptr_t)base, want, n);
	assert_int_equal(munmap(base, PAGES * page), 0);
}

/* Pages apart: more regions than a walk fetches at once. */
static void many_ranges(void **state _unused_)
{
	_cleanup_(pagemap_close) struct pagemap pagemap = open_own();
	const size_t page = pagemap.page_size;
	struct pagemap_walk walk;
	struct page_range got;
	uint64_t start;
	char *base;

	base = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	assert_int_equal(madvise(base, PAGES * page, MADV_NOHUGEPAGE), 0);
	for (size_t i = 0; i < PAGES; i += 2)
		*(volatile char *)(base + i * page) = 1;
	start = (uint64_t)(uintptr_t)base;
	pagemap_walk_init(&walk, &pagemap, start, start + PAGES * page);
	for (size_t i = 0; i < PAGES; i += 2) {
		assert_int_equal(pagemap_walk_next(&walk, &got), 1);
		assert_int_equal(got.start, start + i * page);
		assert_int_equal(got.end, start + (i + 1) * page);
	}
	assert_int_equal(pagemap_walk_next(&walk, &got), 0);
	assert_int_equal(munmap(base, PAGES * page), 0);
}

static void shared_file(void **state _unused_)
{
	_cleanup_(pagemap_close) struct pagemap pagemap = open_own();
	const size_t page = pagemap.page_size;
	struct pagemap_walk walk;
	struct page_range got;
	uint64_t start;
	char *base;

	base = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	*(volatile char *)(base + page) = 1;
	start = (uint64_t)(uintptr_t)base;
	pagemap_walk_init(&walk, &pagemap, start, start + 4 * page);
	assert_int_equal(pagemap_walk_next(&walk, &got), 1);
	assert_int_equal(got.start, start + page);
	assert_int_equal(got.categories, PAGE_PRESENT | PAGE_FILE);
	assert_int_equal(munmap(base, 4 * page), 0);
}

static void entries(void **state _unused_)
{
	assert_int_equal(pagemap_entry_categories(0), 0);
	assert_int_equal(pagemap_entry_categories(UINT64_C(0x8100000000147dd2)), PAGE_PRESENT);
	assert_int_equal(pagemap_entry_pfn(UINT64_C(0x8100000000147dd2)), 0x147dd2);
	assert_true(pagemap_entry_exclusive(UINT64_C(0x8100000000147dd2)));
	assert_false(pagemap_entry_exclusive(UINT64_C(0x8000000000147dd2)));
	assert_int_equal(pagemap_entry_categories(UINT64_C(0xa000000000000001)),
			 PAGE_PRESENT | PAGE_FILE);
	assert_int_equal(pagemap_entry_categories(UINT64_C(0x440000000000009f)), PAGE_GUARD);
	/* a kernel that had guards but not yet their bit */
	assert_int_equal(pagemap_entry_categories(UINT64_C(0x400000000000009f)), PAGE_GUARD);
	/* a uffd-wp marker, and a page in the first swap file */
	assert_int_equal(pagemap_entry_categories(UINT64_C(0x400000000000003f)), PAGE_SWAPPED);
	assert_int_equal(pagemap_entry_categories(UINT64_C(0x4000000000000080)), PAGE_SWAPPED);
	assert_int_equal(pagemap_entry_pfn(UINT64_C(0x4000000000000080)), 0);
}

/* Whatever this kernel is, each probe comes to an answer. */
static void probes(void **state _unused_)
{
	for (int i = 0; i < FEATURES; i++) {
		int r = feature_probe((enum feature)i);

		print_message("%s: %d\n", feature_name((enum feature)i), r);
		assert_true(r == 0 || r == 1);
		assert_non_null(feature_without((enum feature)i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges),      cmocka_unit_test(many_ranges),
		cmocka_unit_test(shared_file), cmocka_unit_test(entries),
		cmocka_unit_test(probes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
