/* SPDX-License-Identifier: Apache-2.0 */
/* The directory and the life of its files; what is in them: metadata.c, pages.c. */
#include "image/writer.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "image/format.h"
#include "image/writer-internal.h"
#include "util/context.h"
#include "util/macro.h"

static void closedirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); /* was only read from */
}

/* ---- opening the directory ------------------------------------------------------------------ */

static int split_path(struct context *ctx, struct image_writer *w, const char *path)
{
	size_t len = strlen(path);
	const char *parent = ".";
	char *slash;
	char *copy;

	while (len > 1 && path[len - 1] == '/')
		len--;
	w->path = arena_strdup(&w->arena, path);
	copy = arena_printf(&w->arena, "%.*s", (int)len, path);
	if (!w->path || !copy)
		return err_oom(ctx);
	slash = strrchr(copy, '/');
	w->name = copy;
	if (slash && slash[1] != '\0') {
		w->name = slash + 1;
		parent = slash == copy ? "/" : copy;
		*slash = '\0';
	}
	w->parent = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w->parent < 0)
		return err_sys(ctx, -errno, "open(%s)", parent);
	return 0;
}

static int refuse_remains(struct context *ctx, struct image_writer *w, bool complete)
{
	int r;

	if (complete) {
		r = err_msg(ctx, -EEXIST, "%s already holds an image", w->path);
		return err_hint(ctx, r, "give another directory, or remove this one first");
	}
	r = err_msg(ctx, -EEXIST, "%s holds the remains of a dump that did not end", w->path);
	return err_hint(ctx, r, "remove it: without %s nothing in it can be restored",
			IMAGE_MANIFEST);
}

/* Other files are left alone: users keep logs and notes beside an image. */
static int refuse_used(struct context *ctx, struct image_writer *w)
{
	int fd = openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	bool remains = false;
	struct dirent *entry;

	if (!dir)
		return err_sys(ctx, -errno, "opendir(%s)", w->path);
	while (errno = 0, (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);
		size_t suffix = strlen(IMAGE_SUFFIX);

		if (strcmp(entry->d_name, IMAGE_MANIFEST) == 0)
			return refuse_remains(ctx, w, true);
		if (strcmp(entry->d_name, IMAGE_MANIFEST_TEMP) == 0 ||
		    (len > suffix && strcmp(entry->d_name + len - suffix, IMAGE_SUFFIX) == 0))
			remains = true;
	}
	if (errno != 0)
		return err_sys(ctx, -errno, "readdir(%s)", w->path);
	return remains ? refuse_remains(ctx, w, false) : 0;
}

/* A directory that others can write to would let them replace what is being written. */
static int refuse_unsafe(struct context *ctx, struct image_writer *w)
{
	struct stat st;

	if (fstat(w->dir, &st) < 0)
		return err_sys(ctx, -errno, "fstat(%s)", w->path);
	if (st.st_uid != geteuid())
		return err_msg(ctx, -EPERM, "%s belongs to user %u, not to the caller", w->path,
			       st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		int r = err_msg(ctx, -EPERM, "%s is writable by others (mode %04o)", w->path,
				st.st_mode & 07777);

		return err_hint(ctx, r, "chmod go-w %s", w->path);
	}
	return 0;
}

static int open_dir(struct context *ctx, struct image_writer *w)
{
	int r = fault_point(ctx, "mkdirat");

	if (r < 0)
		return r;
	w->made_dir = mkdirat(w->parent, w->name, 0700) == 0;
	if (!w->made_dir && errno != EEXIST)
		return err_sys(ctx, -errno, "mkdir(%s)", w->path);
	/* The last component may be a link of the user's own: only what is below is ours. */
	w->dir = openat(w->parent, w->name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | (w->made_dir ? O_NOFOLLOW : 0));
	if (w->dir < 0)
		return err_sys(ctx, -errno, "open(%s)", w->path);
	r = refuse_unsafe(ctx, w);
	return r < 0 ? r : refuse_used(ctx, w);
}

int image_writer_open(struct context *ctx, const char *path, const struct image_writer_options *opt,
		      struct image_writer **ret_writer)
{
	_cleanup_image_writer_ struct image_writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_oom(ctx);
	arena_init(&w->arena, ctx);
	w->parent = -EBADF;
	w->dir = -EBADF;
	if (opt)
		w->opt = *opt;
	r = split_path(ctx, w, path);
	if (r == 0)
		r = open_dir(ctx, w);
	if (r < 0)
		return err_while(ctx, r, "preparing the image directory %s", path);
	*ret_writer = TAKE_PTR(w);
	return 0;
}

/* ---- files ---------------------------------------------------------------------------------- */

int writer_create_file(struct context *ctx, struct image_writer *w, const char *name, int *ret_fd)
{
	int r = fault_point(ctx, "openat");
	int fd;

	if (r < 0)
		return r;
	fd = openat(w->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(ctx, -errno, "open(%s/%s)", w->path, name);
	*ret_fd = fd;
	return 0;
}

int writer_create(struct context *ctx, struct image_writer *w, const char *name, int *ret_fd,
		  Coppice__ImageFile **ret_file)
{
	Coppice__ImageFile *file = arena_new(&w->arena, Coppice__ImageFile);
	Coppice__ImageFile **slot;
	char *copy = arena_strdup(&w->arena, name);
	int r;

	/* Room for the entry first: a file that was made must not be forgotten. */
	if (!file || !copy)
		return err_oom(ctx);
	slot = arena_append(&w->arena, &w->files, &w->n_files, sizeof(*slot));
	if (!slot)
		return err_oom(ctx);
	r = writer_create_file(ctx, w, name, ret_fd);
	if (r < 0) {
		w->n_files--;
		return r;
	}
	coppice__image_file__init(file);
	file->name = copy;
	*slot = file;
	*ret_file = file;
	return 0;
}

/* ---- the end -------------------------------------------------------------------------------- */

static int open_again(struct context *ctx, struct image_writer *w, const char *name, int *ret_fd)
{
	int fd = openat(w->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_sys(ctx, -errno, "open(%s/%s)", w->path, name);
	*ret_fd = fd;
	return 0;
}

/*
 * Starts writing everything out before the first fsync waits: that fsync then commits the
 * file system's journal for all of them, and those that follow find little left to do.
 */
static int start_writeback(struct context *ctx, struct image_writer *w)
{
	for (size_t i = 0; i < w->n_files; i++) {
		_cleanup_close_ int fd = -EBADF;
		int r = open_again(ctx, w, w->files[i]->name, &fd);

		if (r < 0)
			return r;
		/* Only a head start: what it cannot do, or fails to, is left to fsync. */
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	}
	return 0;
}

static int sync_file(struct context *ctx, struct image_writer *w, const char *name)
{
	_cleanup_close_ int fd = -EBADF;
	int r = open_again(ctx, w, name, &fd);

	if (r == 0)
		r = fault_point(ctx, "fsync");
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return err_sys(ctx, -errno, "fsync(%s/%s)", w->path, name);
	return 0;
}

static int sync_files(struct context *ctx, struct image_writer *w)
{
	int r = start_writeback(ctx, w);

	for (size_t i = 0; r == 0 && i < w->n_files; i++) {
		r = sync_file(ctx, w, w->files[i]->name);
		progress(ctx, "syncing", i + 1, w->n_files);
	}
	return r < 0 ? r : sync_file(ctx, w, IMAGE_MANIFEST_TEMP);
}

/* The manifest gets its name, and the names reach the disk. */
static int publish(struct context *ctx, struct image_writer *w)
{
	int r = fault_point(ctx, "renameat");

	if (r < 0)
		return r;
	if (renameat(w->dir, IMAGE_MANIFEST_TEMP, w->dir, IMAGE_MANIFEST) < 0)
		return err_sys(ctx, -errno, "rename(%s/%s)", w->path, IMAGE_MANIFEST_TEMP);
	w->has_temp = false;
	w->has_manifest = true;
	if (fsync(w->dir) < 0)
		return err_sys(ctx, -errno, "fsync(%s)", w->path);
	return 0;
}

/* That the directory itself is found after a crash. */
static int sync_parent(struct context *ctx, struct image_writer *w)
{
	_cleanup_close_ int fd = -EBADF;

	if (!w->made_dir)
		return 0;
	fd = openat(w->parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		return 0; /* a directory that may be written to but not read: nothing to sync by */
	if (fd < 0 || fsync(fd) < 0)
		return err_sys(ctx, -errno, "fsync(the directory that holds %s)", w->path);
	return 0;
}

int image_writer_commit(struct context *ctx, struct image_writer *w)
{
	int r;

	assert(w->has_temp && !w->committed);
	r = sync_files(ctx, w);
	if (r == 0)
		r = publish(ctx, w);
	if (r == 0)
		r = sync_parent(ctx, w);
	if (r == 0)
		w->committed = true;
	return r;
}

/* Errors are passed over: there is another one under way, and nothing better left to try. */
static void abort_image(struct image_writer *w)
{
	if (w->has_manifest)
		(void)unlinkat(w->dir, IMAGE_MANIFEST, 0);
	if (w->has_temp)
		(void)unlinkat(w->dir, IMAGE_MANIFEST_TEMP, 0);
	for (size_t i = 0; i < w->n_files; i++)
		(void)unlinkat(w->dir, w->files[i]->name, 0);
	if (w->made_dir)
		(void)unlinkat(w->parent, w->name, AT_REMOVEDIR);
}

void image_writer_free(struct image_writer *w)
{
	if (!w)
		return;
	if (!w->committed)
		abort_image(w);
	close_guard(&w->dir);
	close_guard(&w->parent);
	arena_deinit(&w->arena);
	free(w);
}
