/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of pages: built, merged, and found again. */
#include "image/test-sample.h"

#include "image/pages.h"
#include "util/context.h"
#include "util/macro.h"

enum { SPACE = 200 }; /* pages of the modelled address space */

struct fixture {
	struct context ctx;
	struct arena arena;
	struct page_runs runs;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	arena_init(&f->arena, NULL);
	f->runs.arena = &f->arena;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	arena_deinit(&f->arena);
	test_free(f);
	return 0;
}

static void add(struct fixture *f, uint64_t page, uint64_t pages, Coppice__PageKind kind,
		uint32_t file, uint64_t offset, bool shared)
{
	Coppice__PageRun run = COPPICE__PAGE_RUN__INIT;

	run.address = page * SAMPLE_PAGE;
	run.pages = pages;
	run.kind = kind;
	run.file = file;
	run.offset = offset * SAMPLE_PAGE;
	run.shared = shared;
	assert_int_equal(page_runs_add(&f->ctx, &f->runs, SAMPLE_PAGE, &run), 0);
}

static void test_merging(void **state)
{
	struct fixture *f = *state;
	const Coppice__PageKind data = COPPICE__PAGE_KIND__PAGE_KIND_DATA;
	const Coppice__PageKind zero = COPPICE__PAGE_KIND__PAGE_KIND_ZERO;

	add(f, 10, 2, data, 1, 0, false);
	add(f, 12, 1, data, 1, 2, false); /* goes on */
	assert_int_equal(f->runs.n, 1);
	add(f, 13, 1, data, 1, 4, false); /* elsewhere in the file */
	add(f, 15, 1, data, 1, 5, false); /* elsewhere in memory */
	add(f, 16, 1, data, 2, 6, false); /* another file */
	add(f, 17, 1, data, 2, 7, true);  /* another origin */
	add(f, 18, 1, zero, 0, 0, false);
	assert_int_equal(f->runs.n, 6);
	add(f, 19, 3, zero, 0, 0, false); /* goes on: zeroes have no offset */
	assert_int_equal(f->runs.n, 6);
	assert_int_equal(f->runs.list[0]->pages, 3);
	assert_int_equal(f->runs.list[5]->pages, 4);
}

/* What a page is by the list that was built from: file offset + 1, or 0 for none. */
struct model {
	uint64_t offset[SPACE];
};

static void build(struct fixture *f, struct sample *random, struct model *m)
{
	uint64_t file_page = 0;
	uint64_t page = 0;

	*m = (struct model){0};
	f->runs.n = 0;
	f->runs.list = NULL;
	while (page < SPACE - 20) {
		uint64_t pages = 1 + sample_below(random, 9);

		page += sample_below(random, 4);
		file_page += sample_below(random, 2);
		add(f, page, pages, COPPICE__PAGE_KIND__PAGE_KIND_DATA, 1, file_page, false);
		for (uint64_t i = 0; i < pages; i++)
			m->offset[page + i] = file_page + i + 1;
		page += pages;
		file_page += pages;
	}
}

static void check_range(struct fixture *f, const struct model *want, uint64_t start, uint64_t end)
{
	struct page_cursor cursor;
	struct page_piece piece;
	struct model found = {0};
	uint64_t last = start;

	page_cursor_init(&cursor, f->runs.list, f->runs.n, SAMPLE_PAGE, start * SAMPLE_PAGE,
			 end * SAMPLE_PAGE);
	while (page_cursor_next(&cursor, &piece)) {
		assert_true(piece.len > 0 && piece.address >= last * SAMPLE_PAGE);
		assert_true(piece.address + piece.len <= end * SAMPLE_PAGE);
		for (uint64_t at = 0; at < piece.len; at += SAMPLE_PAGE)
			found.offset[(piece.address + at) / SAMPLE_PAGE] =
				(piece.offset + at) / SAMPLE_PAGE + 1;
		last = (piece.address + piece.len) / SAMPLE_PAGE;
	}
	for (uint64_t i = start; i < end; i++)
		assert_int_equal(found.offset[i], want->offset[i]);
}

static void test_cursor(void **state)
{
	struct fixture *f = *state;
	struct sample random = {.state = sample_seed()};

	for (int round = 0; round < 50; round++) {
		struct model model;

		build(f, &random, &model);
		check_range(f, &model, 0, SPACE);
		for (int i = 0; i < 50; i++) {
			uint64_t start = sample_below(&random, SPACE);

			check_range(f, &model, start,
				    start + sample_below(&random, (uint32_t)(SPACE - start)));
		}
	}
}

static void test_cursor_without_runs(void **state)
{
	struct page_cursor cursor;
	struct page_piece piece;

	(void)state;
	page_cursor_init(&cursor, NULL, 0, SAMPLE_PAGE, 0, UINT64_MAX);
	assert_false(page_cursor_next(&cursor, &piece));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_merging, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cursor, setup, teardown),
		cmocka_unit_test(test_cursor_without_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
