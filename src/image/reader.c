/* SPDX-License-Identifier: Apache-2.0 */
/* The directory, the manifest, and whom to trust; what is in the files: load.c. */
#include "image/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "image/format.h"
#include "image/pages.h"
#include "image/reader-internal.h"
#include "image/record.h"
#include "image/text.h"
#include "image/unpack.h"
#include "util/context.h"
#include "util/io.h"
#include "util/strbuf.h"

/* Features that a manifest may require of its reader. None yet. */
static const char *const known_features[] = {NULL};

/* ---- trust ---------------------------------------------------------------------------------- */

static int check_owner(struct context *ctx, const struct image_reader *rd, const char *name,
		       const struct stat *st)
{
	int r;

	if (st->st_uid != geteuid() && st->st_uid != 0) {
		r = err_msg(ctx, -EPERM, "%s belongs to user %u, not to the caller (user %u)", name,
			    st->st_uid, geteuid());
		return err_hint(
			ctx, r,
			"chown -R %u %s, if what is in it can be trusted: restoring runs it",
			geteuid(), rd->path);
	}
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		r = err_msg(ctx, -EPERM, "%s is writable by others (mode %04o)", name,
			    st->st_mode & 07777);
		return err_hint(ctx, r,
				"chmod -R go-w %s, if nobody has changed it: restoring runs "
				"what is in it",
				rd->path);
	}
	return 0;
}

static int check_file(struct context *ctx, const struct image_reader *rd, const char *name,
		      const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return err_msg(ctx, -EPERM, "%s is no regular file", name);
	if (rd->use != IMAGE_RESTORE)
		return 0;
	if (st->st_nlink != 1) {
		int r = err_msg(ctx, -EPERM, "%s has %lu names: somebody may hold another one",
				name, (unsigned long)st->st_nlink);

		return err_hint(ctx, r, "restore from a copy of the image");
	}
	return check_owner(ctx, rd, name, st);
}

int reader_open_file(struct context *ctx, const struct image_reader *rd, const char *name,
		     int *ret_fd, uint64_t *ret_size)
{
	/* Without O_NONBLOCK a FIFO planted under the name would hang the open. */
	_cleanup_close_ int fd =
		openat(rd->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0)
		return err_sys(ctx, -errno, "open(%s)", name);
	if (fstat(fd, &st) < 0)
		return err_sys(ctx, -errno, "fstat(%s)", name);
	r = check_file(ctx, rd, name, &st);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

int reader_read_file(struct context *ctx, const struct image_reader *rd, const char *name,
		     uint8_t **ret_bytes, size_t *ret_len)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ uint8_t *bytes = NULL;
	uint64_t size = 0;
	int r = reader_open_file(ctx, rd, name, &fd, &size);

	if (r == 0)
		r = fault_point(ctx, "read");
	if (r < 0)
		return r;
	if (size > IMAGE_METADATA_MAX)
		return err_msg(ctx, -EFBIG, "%s has %" PRIu64 " bytes: no metadata is that large",
			       name, size);
	bytes = malloc(size + 1);
	if (!bytes)
		return err_oom(ctx);
	r = io_pread_exact(fd, bytes, size, 0);
	if (r < 0)
		return err_sys(ctx, r, "read(%s)", name);
	*ret_bytes = TAKE_PTR(bytes);
	*ret_len = size;
	return 0;
}

static int open_dir(struct context *ctx, struct image_reader *rd)
{
	struct stat st;

	rd->dir = open(rd->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rd->dir < 0)
		return err_sys(ctx, -errno, "open(%s)", rd->path);
	if (fstat(rd->dir, &st) < 0)
		return err_sys(ctx, -errno, "fstat(%s)", rd->path);
	return rd->use == IMAGE_RESTORE ? check_owner(ctx, rd, rd->path, &st) : 0;
}

/* ---- the manifest --------------------------------------------------------------------------- */

int reader_unpack_manifest(struct context *ctx, struct arena *arena, const uint8_t *bytes,
			   size_t len, Coppice__Manifest **ret_manifest)
{
	uint64_t budget = unpack_budget(len);
	ProtobufCMessage *msg = NULL;
	const uint8_t *record = NULL;
	struct record_in in;
	size_t record_len = 0;
	int r = record_in_init(ctx, &in, IMAGE_MANIFEST, bytes, len, 0);

	if (r == 0)
		r = record_in_next(ctx, &in, &record, &record_len);
	if (r < 0)
		return r;
	if (r == 0 || in.at != in.len)
		return err_msg(ctx, -EBADMSG, "%s has %s record", IMAGE_MANIFEST,
			       r == 0 ? "no" : "more than one");
	r = message_unpack(ctx, arena, &budget, &coppice__manifest__descriptor, record, record_len,
			   &msg);
	if (r < 0)
		return err_while(ctx, r, "reading %s", IMAGE_MANIFEST);
	*ret_manifest = (Coppice__Manifest *)msg;
	return 0;
}

static int read_manifest(struct context *ctx, struct image_reader *rd)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t len = 0;
	int r = reader_read_file(ctx, rd, IMAGE_MANIFEST, &bytes, &len);

	if (r == -ENOENT) {
		r = err_msg(ctx, -ENOENT,
			    "%s holds no %s: it is no image, or its dump did not come to its end",
			    rd->path, IMAGE_MANIFEST);
		return err_hint(ctx, r, "give the directory of a dump that was completed");
	}
	return r < 0 ? r : reader_unpack_manifest(ctx, &rd->arena, bytes, len, &rd->manifest);
}

static int check_features(struct context *ctx, const Coppice__Manifest *manifest)
{
	for (size_t i = 0; i < manifest->n_required; i++) {
		_cleanup_strbuf_ struct strbuf name = {0};
		const char *const *known = known_features;
		int r;

		while (*known && strcmp(*known, manifest->required[i]) != 0)
			known++;
		if (*known)
			continue;
		text_quote(&name, manifest->required[i]);
		r = err_msg(ctx, -EOPNOTSUPP,
			    "the image needs %s, which this coppice does not know",
			    strbuf_text(&name));
		return err_hint(ctx, r, "use the version of coppice that wrote the image");
	}
	return 0;
}

/* Names are compared with what the format has, so that none can lead out of the directory. */
static int check_name(struct context *ctx, const Coppice__ImageFile *file, size_t *n_pages)
{
	_cleanup_strbuf_ struct strbuf quoted = {0};
	char want[IMAGE_NAME_MAX];
	const char *dot = strrchr(file->name, '.');

	if (file->pages) {
		(void)snprintf(want, sizeof(want), "%s%zu%s", IMAGE_PAGES_PREFIX, ++*n_pages,
			       IMAGE_SUFFIX);
		if (strcmp(file->name, want) == 0)
			return 0;
	} else if (dot && strcmp(dot, IMAGE_SUFFIX) == 0 && dot - file->name < IMAGE_NAME_MAX) {
		(void)snprintf(want, sizeof(want), "%.*s", (int)(dot - file->name), file->name);
		if (protobuf_c_message_descriptor_get_field_by_name(
			    &coppice__checkpoint__descriptor, want))
			return 0;
	}
	text_quote(&quoted, file->name);
	return err_msg(ctx, -EOPNOTSUPP, "%s lists %s, which this coppice does not know",
		       IMAGE_MANIFEST, strbuf_text(&quoted));
}

static int check_listed(struct context *ctx, const struct image_reader *rd,
			const Coppice__ImageFile *file)
{
	struct stat st;
	int r;

	if (fstatat(rd->dir, file->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(ctx, -errno, "stat(%s)", file->name);
	r = check_file(ctx, rd, file->name, &st);
	if (r < 0)
		return r;
	if ((uint64_t)st.st_size != file->size)
		return err_msg(ctx, -EBADMSG, "%s is %s: it has %" PRIu64 " bytes, not %" PRIu64,
			       file->name,
			       (uint64_t)st.st_size < file->size ? "truncated" : "too long",
			       (uint64_t)st.st_size, file->size);
	return 0;
}

static int check_manifest(struct context *ctx, const struct image_reader *rd)
{
	size_t n_pages = 0;
	int r;

	if (rd->manifest->version > IMAGE_VERSION || rd->manifest->version == 0)
		return err_msg(ctx, -EOPNOTSUPP, "%s says format version %u; this coppice has %d",
			       IMAGE_MANIFEST, rd->manifest->version, IMAGE_VERSION);
	r = check_features(ctx, rd->manifest);
	for (size_t i = 0; r == 0 && i < rd->manifest->n_files; i++) {
		r = check_name(ctx, rd->manifest->files[i], &n_pages);
		if (r == 0)
			r = check_listed(ctx, rd, rd->manifest->files[i]);
	}
	return r;
}

/* ---- the reader ----------------------------------------------------------------------------- */

static int reader_setup(struct context *ctx, struct image_reader *rd, const char *path)
{
	int r;

	rd->path = arena_strdup(&rd->arena, path);
	if (!rd->path)
		return err_oom(ctx);
	r = open_dir(ctx, rd);
	if (r == 0)
		r = read_manifest(ctx, rd);
	return r < 0 ? r : check_manifest(ctx, rd);
}

int image_reader_open(struct context *ctx, const char *path, enum image_use use,
		      struct image_reader **ret_reader)
{
	_cleanup_image_reader_ struct image_reader *rd = calloc(1, sizeof(*rd));
	int r;

	if (!rd)
		return err_oom(ctx);
	rd->use = use;
	rd->dir = -EBADF;
	arena_init(&rd->arena, ctx);
	r = reader_setup(ctx, rd, path);
	if (r < 0)
		return r;
	*ret_reader = TAKE_PTR(rd);
	return 0;
}

void image_reader_free(struct image_reader *rd)
{
	if (!rd)
		return;
	close_guard(&rd->dir);
	arena_deinit(&rd->arena);
	free(rd);
}

int image_reader_dir(const struct image_reader *rd)
{
	return rd->dir;
}

const Coppice__Manifest *image_reader_manifest(const struct image_reader *rd)
{
	return rd->manifest;
}

/* ---- page files ----------------------------------------------------------------------------- */

int image_reader_open_pages(struct context *ctx, struct image_reader *rd,
			    const Coppice__PageFile *file, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	uint64_t size = 0;
	int r = reader_open_file(ctx, rd, file->name, &fd, &size);

	if (r < 0)
		return r;
	if (size != file->size)
		return err_msg(ctx, -EBADMSG, "%s changed while the image is being read",
			       file->name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int check_pages(struct context *ctx, struct image_reader *rd, const Coppice__ImageFile *file)
{
	_cleanup_free_ uint64_t *hashes = NULL;
	_cleanup_close_ int fd = -EBADF;
	uint64_t size = 0;
	int r;

	if (file->chunk != IMAGE_PAGES_CHUNK)
		return err_msg(ctx, -ENODATA, "%s was written without checksums", file->name);
	if (file->n_chunk_xxh3 != (file->size + file->chunk - 1) / file->chunk)
		return err_msg(ctx, -EBADMSG, "%s has %zu checksums for %" PRIu64 " bytes",
			       file->name, file->n_chunk_xxh3, file->size);
	r = reader_open_file(ctx, rd, file->name, &fd, &size);
	if (r < 0)
		return r;
	hashes = calloc(file->n_chunk_xxh3 + 1, sizeof(*hashes));
	if (!hashes)
		return err_oom(ctx);
	r = page_chunk_hashes(ctx, fd, file->name, file->size, file->chunk, hashes);
	for (size_t i = 0; r == 0 && i < file->n_chunk_xxh3; i++)
		if (hashes[i] != file->chunk_xxh3[i])
			r = err_msg(ctx, -EBADMSG, "%s is damaged between bytes %zu and %zu",
				    file->name, i * file->chunk, (i + 1) * file->chunk);
	return r;
}

int image_reader_check_pages(struct context *ctx, struct image_reader *rd)
{
	for (size_t i = 0; i < rd->manifest->n_files; i++) {
		const Coppice__ImageFile *file = rd->manifest->files[i];
		int r = file->pages ? check_pages(ctx, rd, file) : 0;

		if (r < 0)
			return err_while(ctx, r, "checking the pages of the image in %s", rd->path);
	}
	return 0;
}
