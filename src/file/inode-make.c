/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making inodes that have no path.
 *
 * A deleted file is made in the directory it was in, under the name it had if that is free, opened
 * as often as it is needed, and loses its name again, all in one go. Where the name was taken by a
 * successor in the meantime, or the directory is gone, another name or the nearest directory above
 * serves: then only the text of /proc/PID/fd/N differs. A description that was opened by another of
 * its former names gets that for as long as it takes. Removed directories are made in the same way.
 *
 * Shared anonymous memory can be made by mmap() alone; /proc/self/map_files then gives a
 * descriptor of it, which the stubs map as they map files.
 */
#include "file/inode-make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/named.h"
#include "file/open.h"
#include "file/regular.h"
#include "file/state.h"
#include "util/cleanup.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* since 6.3 */
#endif

/* ---- deleted files -------------------------------------------------------------------------------- */

/* Opens by another name that the file once had. */
static int open_by_other_name(struct rebuild *r, int fd_rw, struct rebuild_file *file)
{
	_cleanup_(named_deinit) struct named other = {.dir = -EBADF};
	int result = named_link(r, fd_rw, regular_own_path(file->msg), &other);

	return result < 0 ? result : named_open(r, &other, file->msg->flags, &file->fd);
}

/*
 * Opens the descriptions that refer to @ri while it can be given names: what was opened by another
 * one, and what has O_NOFOLLOW. @named: NULL for an O_TMPFILE.
 */
static int open_descriptions(struct rebuild *r, const struct named *named,
			     const struct rebuild_inode *ri)
{
	const struct rebuild_file_state *state = rebuild_file_state_get(r);

	if (!state)
		return err_oom(r->ctx);
	for (uint32_t id = state->first_of_inode[ri->msg->id - 1]; id;
	     id = state->next_of_inode[id - 1]) {
		struct rebuild_file *file = &r->files[id - 1];
		int result;

		if (regular_own_path(file->msg) && !S_ISDIR(ri->msg->mode))
			result = open_by_other_name(r, ri->fd_rw, file);
		else if (named && (file->msg->flags & O_NOFOLLOW))
			result = named_open(r, named, file->msg->flags, &file->fd);
		else
			continue;
		if (result < 0)
			return result;
		if (file->msg->offset != 0 && lseek(file->fd, file->msg->offset, SEEK_SET) < 0)
			return err_sys(r->ctx, -errno, "lseek(%s, %ld)", ri->msg->path,
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
	int result = named_directory(r, ri->msg->path, &dir);

	if (result < 0)
		return result;
	file->fd = openat(dir, ".", (int)open_time_flags(file->msg->flags) | O_CLOEXEC, 0600);
	if (file->fd < 0)
		return err_sys(r->ctx, -errno, "open(O_TMPFILE) in the directory of %s",
			       ri->msg->path);
	if (lseek(file->fd, file->msg->offset, SEEK_SET) < 0)
		return err_sys(r->ctx, -errno, "lseek(%s)", ri->msg->path);
	ri->fd_rw = open_again(file->fd, O_RDWR);
	if (ri->fd_rw < 0)
		return err_sys(r->ctx, ri->fd_rw, "open(%s)", ri->msg->path);
	return open_descriptions(r, NULL, ri);
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
	result = named_make(r, ri->msg->path, ri->msg->mode, &named);
	if (result < 0)
		return result;
	result = named_open(r, &named, S_ISDIR(ri->msg->mode) ? O_DIRECTORY : O_RDWR, &ri->fd_rw);
	if (result < 0)
		return result;
	return open_descriptions(r, &named, ri);
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
