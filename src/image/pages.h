/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page files and the runs that say what is in them.
 *
 * A page file is only ever appended to. Whoever has the bytes writes them to page_out.fd with
 * write or writev (a puppet through a duplicate of it: they share the file position), in the
 * order in which page_out_run was told of them. page_out_close compares the length of the file
 * with what was announced, so that a short write can not go unnoticed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/checkpoint.pb-c.h"
#include "util/cleanup.h"

struct arena;
struct context;
struct image_writer;

/* A page file being written. */
struct page_out {
	int fd;		 /* for write and writev; owned, -EBADF when closed */
	uint32_t id;	 /* PageFile.id */
	uint64_t offset; /* bytes announced so far: always whole pages */
	uint32_t page_size;
	Coppice__ImageFile *file; /* its entry in the manifest; the writer's */
};

/* A list of runs under construction: Mm.pages or Inode.content. */
struct page_runs {
	struct arena *arena; /* owns list and what it points to */
	Coppice__PageRun **list;
	size_t n;
};

/* Creates the next page file, pages-<id>.img. */
int page_out_open(struct context *ctx, struct image_writer *w, struct page_out *ret_out);
/*
 * Announces that the next @pages pages written to @out are those from @address on. Extends the
 * last run where the new one continues it.
 */
int page_out_run(struct context *ctx, struct page_out *out, struct page_runs *runs,
		 uint64_t address, uint64_t pages);
/* Adds a run that puts nothing into @out's file: zero pages, or pages stored in another file. */
int page_runs_add(struct context *ctx, struct page_runs *runs, uint32_t page_size,
		  const Coppice__PageRun *run);
/* Checks the length, registers the file with the writer, closes it. */
int page_out_close(struct context *ctx, struct image_writer *w, struct page_out *out);

/* Closes without a check; the writer removes the file when it is freed uncommitted. */
static inline void page_out_deinit(struct page_out *out)
{
	close_guard(&out->fd);
	out->fd = -EBADF;
}
#define _cleanup_page_out_ _cleanup_(page_out_deinit)

/* XXH3-64 of each @chunk bytes of a file, the last one shorter; @hashes has room for all. */
int page_chunk_hashes(struct context *ctx, int fd, const char *name, uint64_t size, size_t chunk,
		      uint64_t *hashes);

/* ---- reading ----------------------------------------------------------------------------- */

/* Part of a run, clipped to the range that was asked for. */
struct page_piece {
	uint64_t address;
	uint64_t len; /* bytes */
	Coppice__PageKind kind;
	uint32_t file;	 /* PageFile.id; kind DATA only */
	uint64_t offset; /* in the page file */
	bool shared;	 /* PageRun.shared */
};

/* Walks the runs of an Mm or Inode in address order. */
struct page_cursor {
	Coppice__PageRun *const *runs;
	size_t n;
	size_t next; /* first run that may lie in the range */
	uint32_t page_size;
	uint64_t start;
	uint64_t end;
};

/* Starts over [@start, @end): usually one VMA. Cost: log(n). */
void page_cursor_init(struct page_cursor *c, Coppice__PageRun *const *runs, size_t n,
		      uint32_t page_size, uint64_t start, uint64_t end);
/* The next piece in the range: true, or false at its end. */
bool page_cursor_next(struct page_cursor *c, struct page_piece *ret_piece);
