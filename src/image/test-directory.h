/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a temporary directory, and images written and read in it. */
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/test-sample.h"

#include "image/pages.h"
#include "image/reader.h"
#include "image/writer.h"
#include "util/context.h"
#include "util/io.h"

struct directory {
	struct context ctx;
	struct arena arena;
	char root[64]; /* the temporary directory */
	char path[80]; /* the image in it: does not exist yet */
};

static inline int directory_remove(const char *path, const struct stat *st, int type,
				   struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path);
}

static inline int directory_setup(void **state)
{
	struct directory *d = test_calloc(1, sizeof(*d));

	(void)snprintf(d->root, sizeof(d->root), "/tmp/coppice-test-image-XXXXXX");
	assert_non_null(mkdtemp(d->root));
	(void)snprintf(d->path, sizeof(d->path), "%s/image", d->root);
	arena_init(&d->arena, NULL);
	*state = d;
	return 0;
}

static inline int directory_teardown(void **state)
{
	struct directory *d = *state;

	assert_int_equal(nftw(d->root, directory_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
	arena_deinit(&d->arena);
	test_free(d);
	return 0;
}

static inline const char *directory_file(struct directory *d, const char *name)
{
	return arena_printf(&d->arena, "%s/%s", d->path, name);
}

/* The page file of a sample: page i is full of bytes i. */
static inline int directory_write_pages(struct directory *d, struct image_writer *w)
{
	_cleanup_page_out_ struct page_out out = {.fd = -EBADF};
	struct page_runs runs = {.arena = &d->arena};
	int r = page_out_open(&d->ctx, w, &out);

	if (r == 0)
		r = page_out_run(&d->ctx, &out, &runs, 0, SAMPLE_FILE_PAGES);
	for (int i = 0; r == 0 && i < SAMPLE_FILE_PAGES; i++) {
		char page[SAMPLE_PAGE];

		memset(page, i, sizeof(page));
		r = io_write_all(out.fd, page, sizeof(page));
	}
	return r < 0 ? r : page_out_close(&d->ctx, w, &out);
}

static inline int directory_write(struct directory *d, Coppice__Checkpoint *cp, bool checksums)
{
	const struct image_writer_options opt = {.checksum_pages = checksums};
	_cleanup_image_writer_ struct image_writer *w = NULL;
	int r = image_writer_open(&d->ctx, d->path, &opt, &w);

	if (r == 0)
		r = directory_write_pages(d, w);
	if (r == 0)
		r = image_writer_write(&d->ctx, w, cp);
	if (r == 0)
		r = image_writer_commit(&d->ctx, w);
	/* The list lived in the writer. */
	cp->page_files = NULL;
	cp->n_page_files = 0;
	return r;
}

static inline int directory_read(struct directory *d, enum image_use use, struct arena *arena,
				 Coppice__Checkpoint **ret_cp)
{
	_cleanup_image_reader_ struct image_reader *rd = NULL;
	int r = image_reader_open(&d->ctx, d->path, use, &rd);

	return r < 0 ? r : image_reader_load(&d->ctx, rd, arena, ret_cp);
}

static inline bool directory_chain_has(const struct directory *d, const char *text)
{
	for (unsigned int i = 0; i < d->ctx.err.frames; i++)
		if (strstr(d->ctx.err.frame[i], text))
			return true;
	return strstr(d->ctx.err.hint, text) != NULL;
}

static inline void directory_expect(const struct directory *d, int r, int want, const char *text)
{
	if (r != want || (want < 0 && !directory_chain_has(d, text)))
		fail_msg("result %d (%s), wanted %d and \"%s\"", r,
			 d->ctx.err.frames > 0 ? d->ctx.err.frame[0] : "no chain", want, text);
}
