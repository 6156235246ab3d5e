/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading an image (format.h). Whatever the bytes are, reading ends in a checkpoint that
 * validate.h accepts or in an error chain that names the file and record; which image it is, and
 * what for, is the caller's to add.
 *
 * Restoring an image is running the program in it, so whoever can change the image can run code
 * as the one who restores it: for IMAGE_RESTORE the directory and every file must belong to the
 * caller or to root and must not be writable by others. Looking at an image needs no such trust.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "image/checkpoint.pb-c.h"
#include "util/cleanup.h"

struct arena;
struct context;
struct image_reader;

enum image_use {
	IMAGE_INSPECT, /* show, plan, check */
	IMAGE_RESTORE,
};

/*
 * Opens the directory and its manifest, checks owners and modes (IMAGE_RESTORE), and that every
 * file is there with the size that the manifest says.
 */
int image_reader_open(struct context *ctx, const char *path, enum image_use use,
		      struct image_reader **ret_reader);
void image_reader_free(struct image_reader *rd); /* takes NULL */

/* Reads, checks and unpacks all metadata into @arena, validated. */
int image_reader_load(struct context *ctx, struct image_reader *rd, struct arena *arena,
		      Coppice__Checkpoint **ret_cp);
/* Compares every page file with its checksums; -ENODATA: the image was written without. */
int image_reader_check_pages(struct context *ctx, struct image_reader *rd);

/* A descriptor of the directory that can be read from and opened below; owned by @rd. */
int image_reader_dir(const struct image_reader *rd);
/* Opens a page file for reading; owned by the caller. */
int image_reader_open_pages(struct context *ctx, struct image_reader *rd,
			    const Coppice__PageFile *file, int *ret_fd);
const Coppice__Manifest *image_reader_manifest(const struct image_reader *rd);

static inline void image_reader_freep(struct image_reader **rd)
{
	image_reader_free(*rd);
}
#define _cleanup_image_reader_ _cleanup_(image_reader_freep)
