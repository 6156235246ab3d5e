/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making inodes that have no path.
 *
 * A deleted file is made in the directory it was in, under the name it had if that is free, opened
 * as often as it is needed, and loses its name again, all in one go. Where the name was taken by a
 * successor in the meantime, or the directory is gone, another name or the nearest directory above
 * serves: then only the text of /proc/PID/fd/N differs.
 *
 * Shared anonymous memory can be made by mmap() alone; /proc/self/map_files then gives a
 * descriptor of it, which the stubs map as they map files.
 */
#include "file/inode-make.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/open.h"
#include "file/state.h"
#include "util/cleanup.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* since 6.3 */
#endif

/* ---- deleted files -------------------------------------------------------------------------------- */

/* The directory of @path, or the nearest one above that still exists. */
static int open_directory(struct rebuild *r, const char *path, int *ret_fd)
{
	char *dir = arena_strdup(r->arena, path);
	char *slash;
	int fd = -ENOENT;

	if (!dir)
		return err_oom(r->ctx);
	while (fd == -ENOENT && (slash = strrchr(dir, '/'))) {
		*slash = '\0';
		fd = open_path(slash == dir ? "/" : dir, O_PATH | O_DIRECTORY);
	}
	if (fd < 0)
		return err_sys(r->ctx, fd, "opening the directory of %s", path);
	*ret_fd = fd;
	return 0;
}

/* A file without a name while it has one. */
struct named {
	int dir; /* owned */
	char name[NAME_MAX + 1];
	bool there;
};

static void named_deinit(struct named *named)
{
	int saved = errno;

	if (named->there)
		(void)unlinkat(named->dir, named->name, 0); /* ours: made with O_EXCL */
	close_guard(&named->dir);
	errno = saved;
}

static int make_node(const struct named *named, mode_t mode)
{
	int fd;

	if (S_ISFIFO(mode))
		return mkfifoat(named->dir, named->name, 0600) < 0 ? -errno : 0;
	fd = openat(named->dir, named->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

/* Makes an empty file under its old name, or another if that is taken. */
static int make_named(struct rebuild *r, const Coppice__Inode *inode, struct named *named)
{
	const char *base = strrchr(inode->path, '/');
	uint64_t random;
	int result;

	result = open_directory(r, inode->path, &named->dir);
	if (result < 0)
		return result;
	(void)snprintf(named->name, sizeof(named->name), "%s", base ? base + 1 : inode->path);
	result = make_node(named, inode->mode);
	if (result == -EEXIST || result == -EISDIR) {
		if (getrandom(&random, sizeof(random), 0) < 0)
			return err_sys(r->ctx, -errno, "getrandom()");
		(void)snprintf(named->name, sizeof(named->name), ".coppice-%016lx", random);
		result = make_node(named, inode->mode);
	}
	if (result < 0)
		return err_sys(r->ctx, result, "making %s again, which had been deleted",
			       inode->path);
	named->there = true;
	return 0;
}

static int open_named(struct rebuild *r, const struct named *named, uint32_t flags, int *ret_fd)
{
	int fd = openat(named->dir, named->name,
			(int)open_time_flags(flags) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_sys(r->ctx, -errno, "openat(%s)", named->name);
	*ret_fd = fd;
	return 0;
}

/* Opens the descriptions that refer to @inode while it has a name: O_NOFOLLOW needs one. */
static int open_descriptions(struct rebuild *r, const struct named *named, uint32_t inode)
{
	const struct rebuild_file_state *state = rebuild_file_state_get(r);

	if (!state)
		return err_oom(r->ctx);
	for (uint32_t id = state->first_of_inode[inode - 1]; id;
	     id = state->next_of_inode[id - 1]) {
		struct rebuild_file *file = &r->files[id - 1];
		int result;

		if (!(file->msg->flags & O_NOFOLLOW))
			continue;
		result = open_named(r, named, file->msg->flags, &file->fd);
		if (result < 0)
			return result;
		if (lseek(file->fd, file->msg->offset, SEEK_SET) < 0 && errno != ESPIPE)
			return err_sys(r->ctx, -errno, "lseek(%s, %ld)", named->name,
				       file->msg->offset);
	}
	return 0;
}

/* The description that made the file by O_TMPFILE, which its flags still show; or NULL. */
static int find_tmpfile(struct rebuild *r, uint32_t inode, struct rebuild_file **ret_file)
{
	const struct rebuild_file_state *state = rebuild_file_state_get(r);
	uint32_t id;

	if (!state)
		return err_oom(r->ctx);
	for (id = state->first_of_inode[inode - 1]; id; id = state->next_of_inode[id - 1])
		if ((r->files[id - 1].msg->flags & O_TMPFILE) == O_TMPFILE)
			break;
	*ret_file = id ? &r->files[id - 1] : NULL;
	return 0;
}

static int make_tmpfile(struct rebuild *r, struct rebuild_inode *ri, struct rebuild_file *file)
{
	_cleanup_close_ int dir = -EBADF;
	int result = open_directory(r, ri->msg->path, &dir);

	if (result < 0)
		return result;
	file->fd = openat(dir, ".", (int)open_time_flags(file->msg->flags) | O_CLOEXEC, 0600);
	if (file->fd < 0)
		return err_sys(r->ctx, -errno, "open(O_TMPFILE) in the directory of %s",
			       ri->msg->path);
	if (lseek(file->fd, file->msg->offset, SEEK_SET) < 0)
		return err_sys(r->ctx, -errno, "lseek(%s)", ri->msg->path);
	ri->fd_rw = open_again(file->fd, O_RDWR);
	return ri->fd_rw < 0 ? err_sys(r->ctx, ri->fd_rw, "open(%s)", ri->msg->path) : 0;
}

static int make_deleted(struct rebuild *r, struct rebuild_inode *ri)
{
	_cleanup_(named_deinit) struct named named = {.dir = -EBADF};
	struct rebuild_file *tmpfile = NULL;
	int result = find_tmpfile(r, ri->msg->id, &tmpfile);

	if (result < 0)
		return result;
	if (tmpfile)
		return make_tmpfile(r, ri, tmpfile);
	result = make_named(r, ri->msg, &named);
	if (result < 0)
		return result;
	result = open_named(r, &named, O_RDWR, &ri->fd_rw);
	if (result < 0)
		return result;
	return open_descriptions(r, &named, ri->msg->id);
}

/* ---- making memory --------------------------------------------------------------------------- */

static int make_memfd(struct rebuild *r, struct rebuild_inode *ri)
{
	const Coppice__Inode *inode = ri->msg;
	unsigned int flags = inode->memfd_flags | MFD_CLOEXEC;
	/* Says that no vm.memfd_noexec default is wanted; the mode is set at the end. */
	int fd = memfd_create(inode->name, flags | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(inode->name, flags);
	if (fd < 0)
		return err_sys(r->ctx, -errno, "memfd_create(\"%s\", %#x)", inode->name, flags);
	ri->fd_rw = fd;
	return 0;
}

/* Nobody can tell from the object whether it was to be accounted for; the mappings of it say so. */
static int noreserve_flag(const struct rebuild *r, uint32_t inode)
{
	for (size_t i = 0; i < r->cp->n_mms; i++) {
		const Coppice__Mm *mm = r->cp->mms[i];

		for (size_t k = 0; k < mm->n_vmas; k++)
			if (mm->vmas[k]->inode == inode)
				return mm->vmas[k]->flags & MAP_NORESERVE;
	}
	return 0;
}

static int make_shared_memory(struct rebuild *r, struct rebuild_inode *ri)
{
	const Coppice__Inode *inode = ri->msg;
	int flags = MAP_SHARED | MAP_ANONYMOUS | noreserve_flag(r, inode->id);
	char path[80];
	char *at;

	if (inode->storage == COPPICE__INODE_STORAGE__INODE_STORAGE_HUGETLB)
		flags |= MAP_HUGETLB | (int)(inode->memfd_flags & ~(uint32_t)MFD_HUGETLB);
	at = mmap(NULL, inode->size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (at == MAP_FAILED)
		return err_sys(r->ctx, -errno, "mmap(%lu bytes of shared memory)", inode->size);
	(void)snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)at,
		       (unsigned long)at + inode->size);
	ri->fd_rw = open(path, O_RDWR | O_CLOEXEC);
	if (ri->fd_rw < 0) {
		int error = -errno;

		(void)munmap(at, inode->size); /* our own mapping */
		return err_sys(r->ctx, error, "open(%s)", path);
	}
	(void)munmap(at, inode->size);
	return 0;
}

int inode_make(struct rebuild *r, struct rebuild_inode *ri)
{
	const Coppice__Inode *inode = ri->msg;
	bool anonymous = inode->name[0] == '\0';
	struct stat st;
	int result;

	if (inode->storage == COPPICE__INODE_STORAGE__INODE_STORAGE_DELETED)
		result = make_deleted(r, ri);
	else if (inode->storage == COPPICE__INODE_STORAGE__INODE_STORAGE_SHMEM ||
		 (inode->storage == COPPICE__INODE_STORAGE__INODE_STORAGE_HUGETLB && anonymous))
		result = make_shared_memory(r, ri);
	else
		result = make_memfd(r, ri);
	if (result < 0)
		return result;
	if (fstat(ri->fd_rw, &st) < 0)
		return err_sys(r->ctx, -errno, "fstat(%s)", inode->path);
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size != inode->size &&
	    ftruncate(ri->fd_rw, (off_t)inode->size) < 0)
		return err_sys(r->ctx, -errno, "ftruncate(%s, %lu)", inode->path, inode->size);
	ri->needs_content = inode->n_content > 0;
	return 0;
}
