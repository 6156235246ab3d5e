/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the metadata: every field of Checkpoint to the file of its name, then the manifest. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "image/format.h"
#include "image/record.h"
#include "image/walk.h"
#include "image/writer-internal.h"
#include "util/context.h"

#define _cleanup_record_out_ _cleanup_(record_out_deinit)

/* A write that failed for want of space is the user's to solve. */
static int room_hint(struct context *ctx, const struct image_writer *w, int r)
{
	if (r == -ENOSPC || r == -EDQUOT)
		return err_hint(ctx, r, "make room on the file system of %s, or give another -D",
				w->path);
	return r;
}

static int write_field(struct context *ctx, struct image_writer *w, const ProtobufCMessage *cp,
		       const ProtobufCFieldDescriptor *field)
{
	_cleanup_record_out_ struct record_out out = {.fd = -EBADF};
	_cleanup_close_ int fd = -EBADF;
	Coppice__ImageFile *file;
	char name[IMAGE_NAME_MAX];
	int r;

	(void)snprintf(name, sizeof(name), "%s%s", field->name, IMAGE_SUFFIX);
	r = writer_create(ctx, w, name, &fd, &file);
	if (r < 0)
		return r;
	r = record_out_init(ctx, &out, file->name, TAKE_FD(fd), field->id);
	for (size_t i = 0; r == 0 && i < walk_count(cp, field); i++)
		r = record_out_put(ctx, &out, walk_message(walk_value(cp, field, i)));
	return r < 0 ? r : record_out_end(ctx, &out, &file->size, &file->xxh3);
}

static int write_manifest(struct context *ctx, struct image_writer *w)
{
	static char created_by[] = "coppice " COPPICE_VERSION;
	_cleanup_record_out_ struct record_out out = {.fd = -EBADF};
	Coppice__Manifest manifest = COPPICE__MANIFEST__INIT;
	uint64_t size;
	uint64_t xxh3;
	int fd;
	int r;

	manifest.version = IMAGE_VERSION;
	manifest.created_by = created_by;
	manifest.files = w->files;
	manifest.n_files = w->n_files;
	r = writer_create_file(ctx, w, IMAGE_MANIFEST_TEMP, &fd);
	if (r < 0)
		return r;
	w->has_temp = true;
	r = record_out_init(ctx, &out, IMAGE_MANIFEST, fd, 0);
	if (r == 0)
		r = record_out_put(ctx, &out, &manifest.base);
	return r < 0 ? r : record_out_end(ctx, &out, &size, &xxh3);
}

static int write_all(struct context *ctx, struct image_writer *w, const ProtobufCMessage *cp)
{
	for (unsigned int f = 0; f < cp->descriptor->n_fields; f++) {
		int r = write_field(ctx, w, cp, &cp->descriptor->fields[f]);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; w->opt.checksum_pages && i < w->n_files; i++) {
		int r = w->files[i]->pages ? page_checksums(ctx, w, w->files[i]) : 0;

		if (r < 0)
			return r;
	}
	return write_manifest(ctx, w);
}

int image_writer_write(struct context *ctx, struct image_writer *w, Coppice__Checkpoint *cp)
{
	int r;

	assert(w->open_pages == 0 && !w->has_temp);
	cp->page_files = w->page_files;
	cp->n_page_files = w->n_page_files;
	r = write_all(ctx, w, &cp->base);
	return r < 0 ? room_hint(ctx, w, r) : 0;
}
