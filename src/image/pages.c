/* SPDX-License-Identifier: Apache-2.0 */
#include "image/pages.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "image/format.h"
#include "image/writer-internal.h"
#include "util/context.h"
#include "util/io.h"
#include "util/macro.h"

/* ---- writing -------------------------------------------------------------------------------- */

static int create_pages(struct context *ctx, struct image_writer *w, Coppice__PageFile *page_file,
			struct page_out *ret_out)
{
	Coppice__ImageFile *file;
	char name[IMAGE_NAME_MAX];
	int fd;
	int r;

	(void)snprintf(name, sizeof(name), "%s%" PRIu32 "%s", IMAGE_PAGES_PREFIX, page_file->id,
		       IMAGE_SUFFIX);
	r = writer_create(ctx, w, name, &fd, &file);
	if (r < 0)
		return r;
	file->pages = true;
	page_file->name = file->name;
	*ret_out = (struct page_out){
		.fd = fd,
		.id = page_file->id,
		.page_size = (uint32_t)sysconf(_SC_PAGESIZE),
		.file = file,
	};
	return 0;
}

int page_out_open(struct context *ctx, struct image_writer *w, struct page_out *ret_out)
{
	Coppice__PageFile *page_file = arena_new(&w->arena, Coppice__PageFile);
	Coppice__PageFile **slot;
	int r;

	if (!page_file)
		return err_oom(ctx);
	slot = arena_append(&w->arena, &w->page_files, &w->n_page_files, sizeof(*slot));
	if (!slot)
		return err_oom(ctx);
	coppice__page_file__init(page_file);
	page_file->id = (uint32_t)w->n_page_files;
	r = create_pages(ctx, w, page_file, ret_out);
	if (r < 0) {
		w->n_page_files--;
		return r;
	}
	*slot = page_file;
	w->open_pages++;
	return 0;
}

static bool run_continues(const Coppice__PageRun *run, const Coppice__PageRun *next,
			  uint32_t page_size)
{
	uint64_t len = run->pages * page_size;

	return run->address + len == next->address && run->kind == next->kind &&
	       !run->shared == !next->shared && run->file == next->file &&
	       (run->kind != COPPICE__PAGE_KIND__PAGE_KIND_DATA ||
		run->offset + len == next->offset);
}

int page_runs_add(struct context *ctx, struct page_runs *runs, uint32_t page_size,
		  const Coppice__PageRun *run)
{
	Coppice__PageRun *last = runs->n > 0 ? runs->list[runs->n - 1] : NULL;
	Coppice__PageRun **slot;
	Coppice__PageRun *copy;

	assert(run->pages > 0);
	if (last && run_continues(last, run, page_size)) {
		last->pages += run->pages;
		return 0;
	}
	copy = arena_memdup(runs->arena, run, sizeof(*run));
	if (!copy)
		return err_oom(ctx);
	slot = arena_append(runs->arena, &runs->list, &runs->n, sizeof(*slot));
	if (!slot)
		return err_oom(ctx);
	*slot = copy;
	return 0;
}

int page_out_run(struct context *ctx, struct page_out *out, struct page_runs *runs,
		 uint64_t address, uint64_t pages)
{
	Coppice__PageRun run = COPPICE__PAGE_RUN__INIT;
	int r;

	run.address = address;
	run.pages = pages;
	run.kind = COPPICE__PAGE_KIND__PAGE_KIND_DATA;
	run.file = out->id;
	run.offset = out->offset;
	r = page_runs_add(ctx, runs, out->page_size, &run);
	if (r == 0)
		out->offset += pages * out->page_size;
	return r;
}

int page_out_close(struct context *ctx, struct image_writer *w, struct page_out *out)
{
	struct stat st;

	if (fstat(out->fd, &st) < 0)
		return err_sys(ctx, -errno, "fstat(%s)", out->file->name);
	if ((uint64_t)st.st_size != out->offset)
		return err_msg(ctx, -EIO, "%s has %" PRIu64 " bytes of pages, not %" PRIu64,
			       out->file->name, (uint64_t)st.st_size, out->offset);
	out->file->size = out->offset;
	w->page_files[out->id - 1]->size = out->offset;
	w->open_pages--;
	page_out_deinit(out);
	return 0;
}

/* ---- checksums ------------------------------------------------------------------------------ */

int page_chunk_hashes(struct context *ctx, int fd, const char *name, uint64_t size, size_t chunk,
		      uint64_t *hashes)
{
	_cleanup_free_ void *buf = malloc(chunk);

	if (!buf)
		return err_oom(ctx);
	for (uint64_t at = 0; at < size; at += chunk) {
		size_t len = (size_t)MIN((uint64_t)chunk, size - at);
		int r = cancel_point(ctx);

		if (r < 0)
			return r;
		r = io_pread_exact(fd, buf, len, (off_t)at);
		if (r < 0)
			return err_sys(ctx, r, "pread(%s, %zu bytes at %" PRIu64 ")", name, len,
				       at);
		hashes[at / chunk] = XXH3_64bits(buf, len);
		progress(ctx, "checksums", at + len, size);
	}
	return 0;
}

int page_checksums(struct context *ctx, struct image_writer *w, Coppice__ImageFile *file)
{
	_cleanup_close_ int fd = openat(w->dir, file->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_sys(ctx, -errno, "open(%s/%s)", w->path, file->name);
	file->chunk = IMAGE_PAGES_CHUNK;
	file->n_chunk_xxh3 = (file->size + IMAGE_PAGES_CHUNK - 1) / IMAGE_PAGES_CHUNK;
	file->chunk_xxh3 = arena_new_n(&w->arena, uint64_t, file->n_chunk_xxh3);
	if (!file->chunk_xxh3)
		return err_oom(ctx);
	return page_chunk_hashes(ctx, fd, file->name, file->size, IMAGE_PAGES_CHUNK,
				 file->chunk_xxh3);
}

/* ---- reading -------------------------------------------------------------------------------- */

static uint64_t run_end(const Coppice__PageRun *run, uint32_t page_size)
{
	return run->address + run->pages * page_size;
}

void page_cursor_init(struct page_cursor *c, Coppice__PageRun *const *runs, size_t n,
		      uint32_t page_size, uint64_t start, uint64_t end)
{
	size_t low = 0;
	size_t high = n;

	/* The first run that ends behind @start. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (run_end(runs[middle], page_size) > start)
			high = middle;
		else
			low = middle + 1;
	}
	*c = (struct page_cursor){.runs = runs,
				  .n = n,
				  .next = low,
				  .page_size = page_size,
				  .start = start,
				  .end = end};
}

bool page_cursor_next(struct page_cursor *c, struct page_piece *ret_piece)
{
	const Coppice__PageRun *run;
	uint64_t address;

	if (c->start >= c->end || c->next == c->n || c->runs[c->next]->address >= c->end)
		return false;
	run = c->runs[c->next++];
	address = MAX(run->address, c->start);
	*ret_piece = (struct page_piece){
		.address = address,
		.len = MIN(run_end(run, c->page_size), c->end) - address,
		.kind = run->kind,
		.file = run->file,
		.offset = run->offset + (address - run->address),
		.shared = run->shared,
	};
	return true;
}
