/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One inode in words: where it is found again, and what of it has to be known for that.
 *
 * A link's text is what d_path() makes of the file's dentry, seen from *our* root: it follows
 * renames, and appends " (deleted)" when the name was unlinked, but does not notice a file system
 * mounted over it, and a name may itself end in " (deleted)". So the text proves nothing: only
 * stat of the path does, when it gives the same device and inode.
 */
#include "file/inode-storage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "file/content-hash.h"
#include "file/inode-handle.h"
#include "file/inode.h"
#include "file/state.h"
#include "util/cleanup.h"

#define DELETED_SUFFIX " (deleted)"
#define MEMFD_PREFIX   "/memfd:"

static int64_t timespec_ns(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* ---- storage ------------------------------------------------------------------------------ */

/* The device of the kernel's own tmpfs, which no mount shows: that of any memfd. */
static int find_shm_dev(struct collect *c, dev_t *ret_dev)
{
	struct collect_files *files = c->files;

	if (files->shm_dev == 0) {
		_cleanup_close_ int fd = memfd_create("coppice-probe", MFD_CLOEXEC);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0)
			return err_sys(c->ctx, -errno, "memfd_create()");
		files->shm_dev = st.st_dev;
	}
	*ret_dev = files->shm_dev;
	return 0;
}

static bool has_suffix(const char *text, const char *suffix)
{
	size_t len = strlen(text);
	size_t suffix_len = strlen(suffix);

	return len >= suffix_len && strcmp(text + len - suffix_len, suffix) == 0;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The text without the kernel's remark; arena. */
static char *without_remark(struct arena *arena, const char *text)
{
	char *name = arena_strdup(arena, text);

	if (name && has_suffix(name, DELETED_SUFFIX))
		name[strlen(name) - strlen(DELETED_SUFFIX)] = '\0';
	return name;
}

/* MFD_HUGE_* as memfd_create() and, in mmap(), MAP_HUGE_* take it. */
static uint32_t huge_page_flag(blksize_t size)
{
	return (uint32_t)__builtin_ctzl((unsigned long)size) << MAP_HUGE_SHIFT;
}

/*
 * Flags that make such a memfd again. MFD_ALLOW_SEALING is not kept by the kernel as such: without
 * it the file starts with F_SEAL_SEAL. MFD_NOEXEC_SEAL likewise is mode and F_SEAL_EXEC.
 */
static int set_memfd(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg)
{
	_cleanup_close_ int fd = open(sight->magic, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return err_sys(c->ctx, -errno, "fcntl(F_GET_SEALS) of %s", sight->text);
	msg->seals = (uint32_t)seals;
	msg->memfd_flags |= MFD_ALLOW_SEALING;
	msg->name = without_remark(c->arena, sight->text + strlen(MEMFD_PREFIX));
	return msg->name ? 0 : err_oom(c->ctx);
}

/* A file of the kernel's own tmpfs. */
static int set_shmem(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg,
		     struct inode_refusal *refusal)
{
	if (has_prefix(sight->text, MEMFD_PREFIX)) {
		msg->storage = COPPICE__INODE_STORAGE__INODE_STORAGE_MEMFD;
		return set_memfd(c, sight, msg);
	}
	if (strcmp(sight->text, "/dev/zero" DELETED_SUFFIX) == 0) {
		msg->storage = COPPICE__INODE_STORAGE__INODE_STORAGE_SHMEM;
		return 0;
	}
	refusal->why = has_prefix(sight->text, "/SYSV")
			       ? "System V shared memory is not supported yet"
			       : "memory of a kernel object of unknown kind";
	return 0;
}

/* A file without a name on hugetlbfs: the kernel's own mounts only. */
static int set_hugetlb(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg,
		       struct inode_refusal *refusal)
{
	msg->storage = COPPICE__INODE_STORAGE__INODE_STORAGE_HUGETLB;
	msg->memfd_flags = MFD_HUGETLB | huge_page_flag(sight->st.st_blksize);
	if (has_prefix(sight->text, MEMFD_PREFIX))
		return set_memfd(c, sight, msg);
	if (strcmp(sight->text, "/anon_hugepage" DELETED_SUFFIX) == 0)
		return 0;
	refusal->why = has_prefix(sight->text, "/SYSV")
			       ? "System V shared memory is not supported yet"
			       : "deleted file on hugetlbfs";
	return 0;
}

static void set_deleted(const struct inode_sight *sight, Coppice__Inode *msg,
			struct inode_refusal *refusal)
{
	msg->storage = COPPICE__INODE_STORAGE__INODE_STORAGE_DELETED;
	if (!S_ISREG(sight->st.st_mode) && !S_ISFIFO(sight->st.st_mode) &&
	    !S_ISDIR(sight->st.st_mode))
		refusal->why = "its name has been removed and its type cannot be made again";
}

bool inode_path_leads_to(const struct inode_sight *sight)
{
	struct stat st;

	return lstat(sight->text, &st) == 0 && st.st_dev == sight->st.st_dev &&
	       st.st_ino == sight->st.st_ino;
}

bool inode_name_unlinked(const struct inode_sight *sight)
{
	return has_suffix(sight->text, DELETED_SUFFIX) && !inode_path_leads_to(sight);
}

char *inode_name(struct arena *arena, const struct inode_sight *sight)
{
	return inode_name_unlinked(sight) ? without_remark(arena, sight->text)
					  : arena_strdup(arena, sight->text);
}

/* What chattr set on a file that stays: its names and who may write to it are fixed. */
static uint64_t fixed_attributes(const struct inode_sight *sight)
{
	struct statx stx;

	if (statx(AT_FDCWD, sight->magic, 0, STATX_TYPE, &stx) < 0)
		return 0;
	return stx.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND);
}

/* It has names, but the one that is known is none of them. */
static int set_handle(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg,
		      struct inode_refusal *refusal)
{
	int r;

	msg->storage = COPPICE__INODE_STORAGE__INODE_STORAGE_HANDLE;
	msg->unlinked = inode_name_unlinked(sight);
	if (msg->unlinked && fixed_attributes(sight)) {
		refusal->why =
			"its name has been removed, and as an immutable or append-only file it "
			"can be given no other";
		refusal->hint = "take these attributes away (chattr -i -a), or close it";
		return 0;
	}
	r = S_ISREG(sight->st.st_mode) || S_ISFIFO(sight->st.st_mode)
		    ? inode_handle_collect(c, sight, msg)
		    : 0;
	if (r == 0 && msg->fs_type == OVERLAYFS_SUPER_MAGIC) {
		/* ovl_getattr() gives the link count of the real file, which one below keeps */
		refusal->why =
			"its path no longer leads to it, and overlayfs does not tell whether it "
			"has other names";
		refusal->hint = "close it, or mount the overlay with nfs_export=on";
	} else if (r == 0) {
		refusal->why = "its path no longer leads to it, but it has other names, which "
			       "cannot be found out";
		refusal->hint = "give it back the name it was opened by, or close it";
	}
	return r < 0 ? r : 0;
}

static int set_path(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg,
		    struct inode_refusal *refusal)
{
	const char *base = strrchr(sight->text, '/');

	if (!inode_path_leads_to(sight))
		return set_handle(c, sight, msg, refusal);
	msg->storage = COPPICE__INODE_STORAGE__INODE_STORAGE_PATH;
	if (msg->fs_type == NFS_SUPER_MAGIC && base && has_prefix(base, "/.nfs")) {
		refusal->why = "deleted on NFS: the server removes it when it is closed";
		refusal->hint = "close it before the dump";
	}
	return 0;
}

static int set_storage(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg,
		       struct inode_refusal *refusal)
{
	dev_t shm_dev = 0;
	int r;

	r = find_shm_dev(c, &shm_dev);
	if (r < 0)
		return r;
	if (sight->st.st_dev == shm_dev)
		return set_shmem(c, sight, msg, refusal);
	if (sight->st.st_nlink == 0 && msg->fs_type == HUGETLBFS_MAGIC)
		return set_hugetlb(c, sight, msg, refusal);
	if (sight->st.st_nlink != 0)
		return set_path(c, sight, msg, refusal);
	set_deleted(sight, msg, refusal);
	return 0;
}

/* ---- attributes --------------------------------------------------------------------------- */

static int add_xattr(struct collect *c, const struct inode_sight *sight, const char *name,
		     Coppice__Inode *msg)
{
	unsigned char value[XATTR_SIZE_MAX];
	ssize_t len = getxattr(sight->magic, name, value, sizeof(value));
	Coppice__Xattr **slot;
	Coppice__Xattr *xattr;

	if (len < 0)
		return err_sys(c->ctx, -errno, "getxattr(%s, \"%s\")", sight->text, name);
	xattr = arena_new(c->arena, Coppice__Xattr);
	slot = arena_append(c->arena, &msg->xattrs, &msg->n_xattrs, sizeof(*slot));
	if (!xattr || !slot)
		return err_oom(c->ctx);
	coppice__xattr__init(xattr);
	*slot = xattr;
	xattr->name = arena_strdup(c->arena, name);
	xattr->value.data = arena_memdup(c->arena, value, (size_t)len);
	xattr->value.len = (size_t)len;
	return xattr->name && xattr->value.data ? 0 : err_oom(c->ctx);
}

static int add_xattrs(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg)
{
	char names[XATTR_LIST_MAX];
	ssize_t len = listxattr(sight->magic, names, sizeof(names));
	int r;

	if (len < 0 && errno != ENOTSUP)
		return err_sys(c->ctx, -errno, "listxattr(%s)", sight->text);
	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
		r = add_xattr(c, sight, names + at, msg);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_hash(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg)
{
	_cleanup_close_ int fd = open(sight->magic, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_sys(c->ctx, -errno, "open(%s)", sight->text);
	return content_hash(c->ctx, fd, sight->text, &msg->content_xxh3);
}

/* A file that is found again by its path has its own attributes; only its type must be the same. */
static int set_found(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg,
		     struct inode_refusal *refusal)
{
	msg->path = inode_name(c->arena, sight);
	if (!msg->path)
		return err_oom(c->ctx);
	msg->mode &= S_IFMT;
	msg->dev = sight->st.st_dev;
	msg->ino = sight->st.st_ino;
	if (!c->opt.check_content || !S_ISREG(msg->mode))
		return 0;
	if (!sight->leased)
		return set_hash(c, sight, msg);
	refusal->why = "reading it, as --check-content has to, would break the lease on it";
	refusal->hint = "give the lease up before the dump (F_SETLEASE)";
	return 0;
}

int inode_found_by(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg)
{
	msg->path = arena_strdup(c->arena, sight->text);
	if (!msg->path)
		return err_oom(c->ctx);
	msg->storage = COPPICE__INODE_STORAGE__INODE_STORAGE_PATH;
	msg->unlinked = false;
	msg->handle = (ProtobufCBinaryData){};
	msg->handle_type = 0;
	return 0;
}

/* O_TMPFILE makes a file called "#INODE": a new one has another number. */
static void cut_number(Coppice__Inode *msg)
{
	char *number = strrchr(msg->path, '#');

	if (number && number > msg->path && number[-1] == '/' &&
	    number[1 + strspn(number + 1, "0123456789")] == '\0')
		number[1] = '\0';
}

/* chattr's attributes; not every file system has them. */
static int set_fs_flags(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg,
			struct inode_refusal *refusal)
{
	_cleanup_close_ int fd = -EBADF;
	int flags = 0;

	if (msg->storage != COPPICE__INODE_STORAGE__INODE_STORAGE_DELETED)
		return 0;
	if (sight->leased) {
		refusal->why = "it was deleted, and reading it would break the lease on it";
		refusal->hint = "give the lease up before the dump (F_SETLEASE)";
		return 0;
	}
	fd = open(sight->magic, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_sys(c->ctx, -errno, "open(%s)", sight->text);
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0)
		msg->fs_flags = (uint32_t)flags & FS_FL_USER_MODIFIABLE;
	return 0;
}

static int set_made(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg,
		    struct inode_refusal *refusal)
{
	int r;

	msg->uid = sight->st.st_uid;
	msg->gid = sight->st.st_gid;
	if (S_ISFIFO(msg->mode))
		return 0;
	msg->atime_ns = timespec_ns(&sight->st.st_atim);
	msg->mtime_ns = timespec_ns(&sight->st.st_mtim);
	cut_number(msg);
	r = set_fs_flags(c, sight, msg, refusal);
	return r < 0 || refusal->why ? r : add_xattrs(c, sight, msg);
}

static int set_stat(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg)
{
	struct statfs fs;

	if (statfs(sight->magic, &fs) < 0)
		return err_sys(c->ctx, -errno, "statfs(%s)", sight->text);
	msg->mode = sight->st.st_mode;
	msg->rdev = sight->st.st_rdev;
	msg->fs_type = (uint64_t)fs.f_type;
	msg->path = without_remark(c->arena, sight->text);
	if (!msg->path)
		return err_oom(c->ctx);
	/* A FIFO's time changes with every write, a directory's with every name in it. */
	if (S_ISREG(msg->mode)) {
		msg->size = (uint64_t)sight->st.st_size;
		msg->mtime_ns = timespec_ns(&sight->st.st_mtim);
	}
	return 0;
}

int inode_describe(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg,
		   struct inode_refusal *refusal)
{
	int r;

	coppice__inode__init(msg);
	r = set_stat(c, sight, msg);
	if (r < 0)
		return r;
	r = set_storage(c, sight, msg, refusal);
	if (r < 0 || refusal->why)
		return r;
	return inode_needs_content(msg) ? set_made(c, sight, msg, refusal)
					: set_found(c, sight, msg, refusal);
}
