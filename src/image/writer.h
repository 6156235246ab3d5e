/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing an image (format.h). The order of a dump:
 *
 *	image_writer_open()	the directory exists and is ours
 *	page_out_open() ...	page files (pages.h), any number, one after the other or at once
 *	image_writer_write()	all metadata and the manifest under its temporary name
 *	image_writer_commit()	fsync everything, rename the manifest into place
 *
 * A dump that leaves its tree running lets it go between write and commit. Until the commit has
 * succeeded, image_writer_free() removes everything that was made, the directory included, and
 * nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "image/checkpoint.pb-c.h"
#include "util/cleanup.h"

struct context;
struct image_writer;

struct image_writer_options {
	/* Re-read the page files at the end and keep a checksum of each chunk. */
	bool checksum_pages;
};

/*
 * Makes the directory @path (0700), or takes an existing one that is owned by the caller, not
 * writable by others, and holds no image and no remains of one; other files in it are left
 * alone. @opt may be NULL. -EEXIST: there is an image, or an interrupted one; the chain says
 * which and the hint what to do.
 */
int image_writer_open(struct context *ctx, const char *path, const struct image_writer_options *opt,
		      struct image_writer **ret_writer);
/* Aborts unless committed. Takes NULL. */
void image_writer_free(struct image_writer *w);

/*
 * Fills cp->page_files from what page_out_close saw (the array lives in the writer), then writes
 * every field of @cp to its file, and the manifest under its temporary name. Everything is in
 * the kernel afterwards, nothing is forced to disk yet.
 */
int image_writer_write(struct context *ctx, struct image_writer *w, Coppice__Checkpoint *cp);
/* Forces everything to disk and makes it an image. Safe to call once only. */
int image_writer_commit(struct context *ctx, struct image_writer *w);

static inline void image_writer_freep(struct image_writer **w)
{
	image_writer_free(*w);
}
#define _cleanup_image_writer_ _cleanup_(image_writer_freep)
