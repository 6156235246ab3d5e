/* SPDX-License-Identifier: Apache-2.0 */
/* The content of files and memory objects as such. See memory-object.c. */
#pragma once

#include "image/pages.h"

struct collect;
struct image_reader;
struct image_writer;
struct memory_stats;

/* Appends what @fd (of @size bytes) holds to @out; holes and zero pages are left out. */
int content_save_fd(struct context *ctx, int fd, uint64_t size, struct page_out *out,
		    struct page_runs *runs);
/* Puts an inode's content into @fd, which is empty and has the right size. */
int content_load_fd(struct context *ctx, struct image_reader *images, const Coppice__Checkpoint *cp,
		    const Coppice__Inode *inode, int fd);

/* The content of all inodes that have no path. */
int memory_save_inodes(struct collect *c, struct image_writer *image, struct memory_stats *stats);
