/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of unix sockets. An abstract address is only that. A path is two things: the text as it was
 * bound, which may be relative to a directory that is another one now and which getsockname() shows for
 * ever, and a file, which may have been renamed or deleted since (SIOCUNIXFILE leads to it). The text
 * is bound again in a directory made for that, as seen from which it may be any; then the file is moved
 * to its place, where the one that the old socket left behind is replaced by it.
 *
 * The file's times are not kept; nothing is written to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/unix.h"
#include "util/cleanup.h"
#include "util/macro.h"

#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0) /* linux/un.h */
#endif

#define DELETED " (deleted)"

/* ---- where something is bound -------------------------------------------------------------- */

/* An O_PATH descriptor of the file that @fd is bound to. */
static int open_file(struct context *ctx, int fd, int *ret_file)
{
	int file = ioctl(fd, SIOCUNIXFILE);

	if (file < 0)
		return err_sys(ctx, -errno, "ioctl(SIOCUNIXFILE)");
	if (fcntl(file, F_SETFD, FD_CLOEXEC) < 0) {
		close_guard(&file);
		return err_sys(ctx, -errno, "fcntl(F_SETFD)");
	}
	*ret_file = file;
	return 0;
}

static int read_path(struct context *ctx, int file, char path[PATH_MAX + 1])
{
	char link[32];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	n = readlink(link, path, PATH_MAX);
	if (n < 0)
		return err_sys(ctx, -errno, "readlink(%s)", link);
	path[n] = '\0';
	return 0;
}

void unix_target_of_address(const ProtobufCBinaryData *address, struct unix_target *ret)
{
	*ret = (struct unix_target){.address.sun_family = AF_UNIX, .file = -EBADF};
	memcpy(ret->address.sun_path, address->data,
	       MIN(address->len, sizeof(ret->address.sun_path)));
	/* The end of a path that fills sun_path is the kernel's own (unix_mkname_bsd()). */
	ret->len = (socklen_t)MIN(offsetof(struct sockaddr_un, sun_path) + address->len,
				  sizeof(ret->address));
}

int unix_target_init(struct context *ctx, int fd, const ProtobufCBinaryData *address,
		     struct unix_target *ret)
{
	int r;

	unix_target_of_address(address, ret);
	if (!unix_is_path(address))
		return 0;
	r = open_file(ctx, fd, &ret->file);
	if (r < 0)
		return r;
	(void)snprintf(ret->address.sun_path, sizeof(ret->address.sun_path), "/proc/self/fd/%d",
		       ret->file);
	ret->len = sizeof(ret->address);
	return 0;
}

void unix_target_deinit(struct unix_target *target)
{
	close_guard(&target->file);
	target->file = -EBADF;
}

/* A socket of another type finds what is bound (EPROTOTYPE), and does nothing to it. */
int unix_is_bound(struct context *ctx, const struct unix_target *target)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(ctx, -errno, "socket(AF_UNIX)");
	if (connect(fd, (const struct sockaddr *)&target->address, target->len) >= 0 ||
	    errno == EPROTOTYPE || errno == EPERM)
		return 1;
	return errno == ECONNREFUSED || errno == ENOENT ? 0 : err_sys(ctx, -errno, "connect()");
}

/* ---- collect ------------------------------------------------------------------------------- */

int unix_name_collect(struct collect *c, int fd, Coppice__UnixName *name)
{
	_cleanup_close_ int file = -EBADF;
	char path[PATH_MAX + 1];
	struct stat st;
	int r;

	r = open_file(c->ctx, fd, &file);
	if (r >= 0)
		r = read_path(c->ctx, file, path);
	if (r < 0)
		return r;
	if (fstat(file, &st) < 0)
		return err_sys(c->ctx, -errno, "fstat(%s)", path);
	if (st.st_nlink == 0) /* the text then ends in DELETED */
		return 0;
	name->path = arena_strdup(c->arena, path);
	name->mode = st.st_mode & ALLPERMS;
	name->uid = st.st_uid;
	name->gid = st.st_gid;
	return name->path ? 0 : err_oom(c->ctx);
}

/* ---- check --------------------------------------------------------------------------------- */

static void split_path(const char *path, char dir[PATH_MAX + 1])
{
	const char *slash = strrchr(path, '/');
	size_t len = slash && slash > path ? (size_t)(slash - path) : 1;

	memcpy(dir, path, MIN(len, (size_t)PATH_MAX));
	dir[MIN(len, (size_t)PATH_MAX)] = '\0';
}

/* By its path or, for one longer than an address may be, by a descriptor. */
static int check_path(struct rebuild *r, const char *path)
{
	_cleanup_(unix_target_deinit) struct unix_target target = {
		.address.sun_family = AF_UNIX, .len = sizeof(target.address), .file = -EBADF};
	char dir[PATH_MAX + 1];
	struct stat st;
	int bound;

	split_path(path, dir);
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return rebuild_refuse(r, "create it", "the directory of socket %s, %s, is missing",
				      path, dir);
	target.file = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target.file < 0)
		return errno == ENOENT ? 0 : err_sys(r->ctx, -errno, "open(%s)", path);
	if (fstat(target.file, &st) < 0)
		return err_sys(r->ctx, -errno, "fstat(%s)", path);
	if (!S_ISSOCK(st.st_mode))
		return rebuild_refuse(r, "move it away",
				      "%s, where a socket was, is another type of file now", path);
	(void)snprintf(target.address.sun_path, sizeof(target.address.sun_path), "/proc/self/fd/%d",
		       target.file);
	bound = unix_is_bound(r->ctx, &target);
	if (bound <= 0)
		return bound;
	return rebuild_refuse(r, "end the process that has it", "%s is in use by another socket",
			      path);
}

int unix_name_check(struct rebuild *r, const Coppice__UnixName *name)
{
	struct unix_target target;
	int bound;

	if (unix_is_path(&name->address))
		return name->path[0] != '\0' ? check_path(r, name->path) : 0;
	unix_target_of_address(&name->address, &target);
	bound = unix_is_bound(r->ctx, &target);
	if (bound <= 0)
		return bound;
	return rebuild_refuse(r, "end the process that has it",
			      "the abstract address \"@%.*s\" is in use by another socket",
			      (int)(name->address.len - 1), (char *)name->address.data + 1);
}

/* ---- bind ---------------------------------------------------------------------------------- */

/* A directory that is the root for a moment. */
struct stage {
	char dir[PATH_MAX + 1];
	int root; /* O_PATH; owned */
	int cwd;
	bool entered;
};

static int stage_leave(struct context *ctx, struct stage *s)
{
	if (!s->entered)
		return 0;
	if (fchdir(s->root) < 0 || chroot(".") < 0 || fchdir(s->cwd) < 0)
		return err_sys(ctx, -errno, "chroot() back");
	s->entered = false;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void stage_deinit(struct stage *s)
{
	if (s->entered) {
		(void)!fchdir(s->root); /* the process ends soon: an error is under way */
		(void)!chroot(".");
		(void)!fchdir(s->cwd);
	}
	close_guard(&s->root);
	close_guard(&s->cwd);
	if (s->dir[0] != '\0')
		(void)nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* only ours is in it */
}

/* Beside where the file is to be: a rename leads there. */
static int stage_init(struct context *ctx, const char *path, struct stage *ret)
{
	char dir[PATH_MAX + 1] = "/tmp";
	int n;

	if (path[0] != '\0')
		split_path(path, dir);
	n = snprintf(ret->dir, sizeof(ret->dir), "%s/.coppice-XXXXXX", dir);
	if (n < 0 || (size_t)n >= sizeof(ret->dir) || !mkdtemp(ret->dir)) {
		ret->dir[0] = '\0';
		return err_sys(ctx, -errno, "mkdtemp(%s/.coppice-XXXXXX)", dir);
	}
	ret->root = open("/", O_PATH | O_CLOEXEC);
	ret->cwd = open(".", O_PATH | O_CLOEXEC);
	if (ret->root < 0 || ret->cwd < 0)
		return err_sys(ctx, -errno, "open(/)");
	if (chdir(ret->dir) < 0)
		return err_sys(ctx, -errno, "chdir(%s)", ret->dir);
	ret->entered = true;
	if (chroot(".") < 0)
		return err_sys(ctx, -errno, "chroot(%s)", ret->dir);
	return 0;
}

/* Every directory that the text leads through; ".." ends at the root. */
static int make_directories(struct context *ctx, const ProtobufCBinaryData *address)
{
	char part[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];

	for (size_t i = 1; i < address->len && address->data[i] != '\0'; i++) {
		if (address->data[i] != '/')
			continue;
		memcpy(part, address->data, i);
		part[i] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return err_sys(ctx, -errno, "mkdir(%s)", part);
	}
	return 0;
}

static int bind_address(struct context *ctx, int fd, const ProtobufCBinaryData *address)
{
	struct unix_target target;
	bool path = unix_is_path(address);

	unix_target_of_address(address, &target);
	if (bind(fd, (const struct sockaddr *)&target.address, target.len) >= 0)
		return 0;
	return err_sys(ctx, -errno, "bind(%s%.*s)", path ? "" : "@",
		       (int)address->len - (path ? 0 : 1),
		       (const char *)address->data + (path ? 0 : 1));
}

/* Owner, mode and place of the file that was bound just now. */
static int place_file(struct context *ctx, int fd, const Coppice__UnixName *name)
{
	_cleanup_close_ int file = -EBADF;
	char path[PATH_MAX + 1];
	int r = open_file(ctx, fd, &file);

	if (r >= 0)
		r = read_path(ctx, file, path);
	if (r < 0)
		return r;
	if (fchownat(file, "", name->uid, name->gid, AT_EMPTY_PATH) < 0)
		return err_sys(ctx, -errno, "fchownat(%s)", path);
	if (chmod(path, name->mode) < 0)
		return err_sys(ctx, -errno, "chmod(%s)", path);
	if (rename(path, name->path) < 0)
		return err_sys(ctx, -errno, "rename(%s, %s)", path, name->path);
	return 0;
}

static int bind_path(struct rebuild *r, int fd, const Coppice__UnixName *name)
{
	_cleanup_(stage_deinit) struct stage stage = {.root = -EBADF, .cwd = -EBADF};
	int result = stage_init(r->ctx, name->path, &stage);

	if (result >= 0)
		result = make_directories(r->ctx, &name->address);
	if (result >= 0)
		result = bind_address(r->ctx, fd, &name->address);
	if (result >= 0)
		result = stage_leave(r->ctx, &stage);
	if (result >= 0 && name->path[0] != '\0')
		result = place_file(r->ctx, fd, name);
	return result;
}

int unix_name_bind(struct rebuild *r, int fd, const Coppice__UnixName *name)
{
	if (!unix_is_path(&name->address))
		return bind_address(r->ctx, fd, &name->address);
	return bind_path(r, fd, name);
}

int unix_address_bind(struct rebuild *r, int fd, const ProtobufCBinaryData *address)
{
	Coppice__UnixName name;

	coppice__unix_name__init(&name);
	name.address = *address;
	return unix_name_bind(r, fd, &name);
}
