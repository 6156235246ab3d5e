/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebuilding inodes: those with a path are looked up and compared, the others are made anew.
 *
 * A deleted file is made in the directory it was in, under the name it had if that is free, opened
 * as often as it is needed, and loses its name again, all in one go. Where the name was taken by a
 * successor in the meantime, or the directory is gone, another name or the nearest directory above
 * serves: then only the text of /proc/PID/fd/N differs.
 *
 * Shared anonymous memory can be made by mmap() alone; /proc/self/map_files then gives a
 * descriptor of it, which the stubs map as they map files.
 */
#include "file/inode.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file/content-hash.h"
#include "file/open.h"
#include "file/state.h"
#include "util/cleanup.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* since 6.3 */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Seals that forbid what mapping still has to do: shared writable mappings older than the seal. */
#define LATE_SEALS ((uint32_t)(F_SEAL_FUTURE_WRITE | F_SEAL_SEAL))

static struct timespec ns_timespec(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	if (t.tv_nsec < 0) {
		t.tv_sec--;
		t.tv_nsec += 1000000000;
	}
	return t;
}

/* ---- check --------------------------------------------------------------------------------- */

static int check_hash(struct rebuild *r, const Coppice__Inode *inode)
{
	_cleanup_close_ int fd = open_path(inode->path, O_RDONLY);
	uint64_t hash;
	int result;

	if (fd < 0)
		return rebuild_refuse(r, NULL, "%s: cannot be read (%s)", inode->path,
				      err_name(fd));
	result = content_hash(r->ctx, fd, inode->path, &hash);
	if (result < 0)
		return result;
	if (hash != inode->content_xxh3)
		return rebuild_refuse(r, "put the file back as it was",
				      "%s: its content has changed since the dump", inode->path);
	return 0;
}

static int check_regular(struct rebuild *r, const Coppice__Inode *inode, const struct stat *st)
{
	static const char hint[] = "put the file back as it was, with its modification time";
	int64_t mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;

	if ((uint64_t)st->st_size != inode->size)
		return rebuild_refuse(r, hint,
				      "%s: its size has changed since the dump: %ld, was %lu",
				      inode->path, st->st_size, inode->size);
	if (mtime_ns != inode->mtime_ns)
		return rebuild_refuse(r, hint, "%s: modified %+.3f s later than the dump knows",
				      inode->path, (double)(mtime_ns - inode->mtime_ns) / 1e9);
	if (r->opt.check_content && inode->content_xxh3 != 0)
		return check_hash(r, inode);
	return 0;
}

static int check_path(struct rebuild *r, const Coppice__Inode *inode)
{
	_cleanup_close_ int fd = open_path(inode->path, O_PATH | O_NOFOLLOW);
	struct stat st;

	if (fd == -ELOOP)
		return rebuild_refuse(r, NULL, "%s: the path leads through a symbolic link now",
				      inode->path);
	if (fd == -ENOENT)
		return rebuild_refuse(r, "put the file back", "%s: is missing", inode->path);
	if (fd < 0)
		return rebuild_refuse(r, NULL, "%s: cannot be opened (%s)", inode->path,
				      err_name(fd));
	if (fstat(fd, &st) < 0)
		return err_sys(r->ctx, -errno, "fstat(%s)", inode->path);
	if ((st.st_mode & S_IFMT) != (inode->mode & S_IFMT) || st.st_rdev != inode->rdev)
		return rebuild_refuse(r, NULL, "%s: is another type of file now", inode->path);
	return S_ISREG(inode->mode) ? check_regular(r, inode, &st) : 0;
}

int rebuild_inodes_check(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_inodes; i++) {
		const Coppice__Inode *inode = r->inodes[i].msg;
		int result = inode_needs_content(inode) ? 0 : check_path(r, inode);

		if (result < 0)
			return result;
	}
	return 0;
}

/* ---- making deleted files -------------------------------------------------------------------- */

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

static uint32_t file_inode(const Coppice__File *file)
{
	switch (file->kind_case) {
	case COPPICE__FILE__KIND_REGULAR:
		return file->regular->inode;
	case COPPICE__FILE__KIND_FIFO:
		return file->fifo->inode;
	default:
		return 0;
	}
}

/* Opens the descriptions that refer to @inode while it has a name: O_NOFOLLOW needs one. */
static int open_descriptions(struct rebuild *r, const struct named *named, uint32_t inode)
{
	for (size_t i = 0; i < r->n_files; i++) {
		const Coppice__File *file = r->files[i].msg;
		int result;

		if (file_inode(file) != inode || !(file->flags & O_NOFOLLOW))
			continue;
		result = open_named(r, named, file->flags, &r->files[i].fd);
		if (result < 0)
			return result;
		if (lseek(r->files[i].fd, file->offset, SEEK_SET) < 0 && errno != ESPIPE)
			return err_sys(r->ctx, -errno, "lseek(%s, %ld)", named->name, file->offset);
	}
	return 0;
}

/* The description that made the file by O_TMPFILE, which its flags still show. */
static struct rebuild_file *find_tmpfile(struct rebuild *r, uint32_t inode)
{
	for (size_t i = 0; i < r->n_files; i++)
		if (file_inode(r->files[i].msg) == inode &&
		    (r->files[i].msg->flags & O_TMPFILE) == O_TMPFILE)
			return &r->files[i];
	return NULL;
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
	struct rebuild_file *tmpfile = find_tmpfile(r, ri->msg->id);
	int result;

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

static int make(struct rebuild *r, struct rebuild_inode *ri)
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

/* ---- what is mapped ---------------------------------------------------------------------------- */

static void mark_mapped(struct rebuild *r, const Coppice__Mm *mm)
{
	if (mm->exe != 0)
		r->inodes[mm->exe - 1].map_fd = 0;
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const Coppice__Vma *vma = mm->vmas[i];

		if (vma->inode == 0)
			continue;
		if ((vma->open_flags & O_ACCMODE) == O_RDWR)
			r->inodes[vma->inode - 1].map_fd_rw = 0;
		else
			r->inodes[vma->inode - 1].map_fd = 0;
	}
}

static int open_mapped(struct rebuild *r, struct rebuild_inode *ri, uint32_t flags, int *fd)
{
	if (*fd >= 0)
		return 0;
	*fd = inode_needs_content(ri->msg) ? open_again(ri->fd_rw, flags)
					   : open_path(ri->msg->path, flags);
	return *fd < 0 ? err_sys(r->ctx, *fd, "open(%s) to map it", ri->msg->path) : 0;
}

int rebuild_inodes_create(struct rebuild *r)
{
	int number = r->fd_base + REBUILD_FD_MAPPED;

	for (size_t i = 0; i < r->cp->n_mms; i++)
		mark_mapped(r, r->cp->mms[i]);
	for (size_t i = 0; i < r->n_inodes; i++) {
		struct rebuild_inode *ri = &r->inodes[i];
		int result = inode_needs_content(ri->msg) ? make(r, ri) : 0;

		if (result >= 0 && ri->map_fd == 0) {
			ri->map_fd = number++;
			result = open_mapped(r, ri, O_RDONLY, &ri->fd);
		}
		if (result >= 0 && ri->map_fd_rw == 0) {
			ri->map_fd_rw = number++;
			result = open_mapped(r, ri, O_RDWR, &ri->fd_rw);
		}
		if (result < 0)
			return err_while(r->ctx, result, "restoring file %s", ri->msg->path);
	}
	return 0;
}

/* ---- attributes -------------------------------------------------------------------------------- */

static int set_seals(struct rebuild *r, const struct rebuild_inode *ri, uint32_t seals)
{
	if (seals != 0 && fcntl(ri->fd_rw, F_ADD_SEALS, (int)seals) < 0)
		return err_sys(r->ctx, -errno, "fcntl(F_ADD_SEALS, %#x) of memfd %s", seals,
			       ri->msg->name);
	return 0;
}

static int set_attributes(struct rebuild *r, const struct rebuild_inode *ri)
{
	const Coppice__Inode *inode = ri->msg;
	int fd = ri->fd_rw;

	if (fchown(fd, inode->uid, inode->gid) < 0)
		return err_sys(r->ctx, -errno, "fchown(%u, %u)", inode->uid, inode->gid);
	if (fchmod(fd, inode->mode & 07777) < 0)
		return err_sys(r->ctx, -errno, "fchmod(%#o)", inode->mode & 07777);
	/* after chown, which takes file capabilities away */
	for (size_t i = 0; i < inode->n_xattrs; i++) {
		const Coppice__Xattr *xattr = inode->xattrs[i];

		if (fsetxattr(fd, xattr->name, xattr->value.data, xattr->value.len, 0) < 0)
			return err_sys(r->ctx, -errno, "fsetxattr(\"%s\")", xattr->name);
	}
	if (S_ISREG(inode->mode)) {
		const struct timespec times[2] = {ns_timespec(inode->atime_ns),
						  ns_timespec(inode->mtime_ns)};

		if (futimens(fd, times) < 0)
			return err_sys(r->ctx, -errno, "futimens()");
	}
	return set_seals(r, ri, inode->seals & ~LATE_SEALS);
}

int rebuild_inodes_finish(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_inodes; i++) {
		const struct rebuild_inode *ri = &r->inodes[i];
		int result;

		if (!inode_needs_content(ri->msg))
			continue;
		result = set_attributes(r, ri);
		if (result < 0)
			return err_while(r->ctx, result, "restoring file %s", ri->msg->path);
	}
	return 0;
}

int rebuild_inodes_last(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_inodes; i++) {
		const struct rebuild_inode *ri = &r->inodes[i];
		int result = set_seals(r, ri, ri->msg->seals & LATE_SEALS);

		if (result < 0)
			return result;
	}
	return 0;
}

void rebuild_inodes_deinit(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_inodes; i++) {
		close_guard(&r->inodes[i].fd);
		close_guard(&r->inodes[i].fd_rw);
		r->inodes[i].fd = -EBADF;
		r->inodes[i].fd_rw = -EBADF;
	}
}
