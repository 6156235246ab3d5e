/* SPDX-License-Identifier: Apache-2.0 */
/* The writer as its own sources see it: writer.c, metadata.c and pages.c. */
#pragma once

#include "image/writer.h"
#include "util/arena.h"

struct image_writer {
	struct image_writer_options opt;
	const char *path; /* as the user gave it, for messages; arena */
	const char *name; /* last component of path; arena */
	int parent;	  /* directory that holds @name; owned */
	int dir;	  /* the image's directory; owned */
	bool made_dir;
	bool has_temp;	   /* the manifest exists under its temporary name */
	bool has_manifest; /* ... under its own name */
	bool committed;
	unsigned int open_pages; /* page files not closed yet */
	struct arena arena;	 /* owns everything below */
	/* Every file made, in order; becomes the manifest's list. */
	Coppice__ImageFile **files;
	size_t n_files;
	Coppice__PageFile **page_files; /* by id - 1 */
	size_t n_page_files;
};

/* Creates a file (0600, O_EXCL) that is removed again on abort. @name is copied. */
int writer_create(struct context *ctx, struct image_writer *w, const char *name, int *ret_fd,
		  Coppice__ImageFile **ret_file);
/* openat() for a file that must not exist yet, without any bookkeeping. */
int writer_create_file(struct context *ctx, struct image_writer *w, const char *name, int *ret_fd);
/* Computes the checksums of a page file's chunks. */
int page_checksums(struct context *ctx, struct image_writer *w, Coppice__ImageFile *file);
