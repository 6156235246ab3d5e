/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct fs_struct: working directory, root directory, umask; shared with CLONE_FS.
 *
 * Both directories are found again by their paths. A deleted directory, or one that cannot be
 * reached from the coordinator's root by the path that the kernel gives (something is mounted
 * over it, it lies outside of the root), is refused. All processes of a tree that passes the
 * namespace checks see the coordinator's mounts.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "kind/task.h"
#include "util/cleanup.h"

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && !strcmp(text + len - end_len, end);
}

/* The directory that /proc/PID/@name leads to, and its path. */
static int collect_directory(struct collect *c, const struct collect_process *p, const char *name,
			     char **ret_path, struct stat *ret_st)
{
	const struct proc_dir dir = collect_dir(c, p);
	_cleanup_free_ char *target = NULL;
	struct stat by_path;
	char *path;
	int r;

	r = proc_dir_link(&dir, name, &target);
	if (r)
		return err_sys(c->ctx, r, "readlink(/proc/%d/%s)", p->pid, name);
	if (fstatat(p->proc_fd, name, ret_st, 0) < 0)
		return err_sys(c->ctx, -errno, "stat(/proc/%d/%s)", p->pid, name);
	path = arena_strdup(c->arena, target);
	if (!path)
		return err_oom(c->ctx);
	*ret_path = path;
	if (!stat(path, &by_path) && by_path.st_dev == ret_st->st_dev &&
	    by_path.st_ino == ret_st->st_ino)
		return 0;
	if (!ret_st->st_nlink || ends_with(path, " (deleted)"))
		return collect_refuse(c, "let it change to a directory that exists",
				      "%s: its %s was deleted: %s", collect_name(c, p),
				      !strcmp(name, "cwd") ? "working directory" : "root directory",
				      path);
	return collect_refuse(c, NULL, "%s: its %s cannot be reached as %s", collect_name(c, p),
			      !strcmp(name, "cwd") ? "working directory" : "root directory", path);
}

static int collect(struct collect *c, struct collect_process *p)
{
	struct stat cwd = {0}, root = {0};
	Coppice__Fs *fs;
	int r;

	if (p->zombie || p->fs_owner != p)
		return 0;
	fs = c->cp->fss[p->msg->fs - 1];
	fs->umask = p->status.umask;
	r = collect_directory(c, p, "cwd", &fs->cwd, &cwd);
	if (!r)
		r = collect_directory(c, p, "root", &fs->root, &root);
	if (r)
		return r;
	fs->cwd_dev = cwd.st_dev;
	fs->cwd_ino = cwd.st_ino;
	fs->root_dev = root.st_dev;
	fs->root_ino = root.st_ino;
	return 0;
}

static int check_directory(struct rebuild *r, const struct rebuild_process *p, const char *what,
			   const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return rebuild_refuse(r, "make the directory again",
				      "%s: its %s %s cannot be found: %s", rebuild_name(r, p), what,
				      path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return rebuild_refuse(r, NULL, "%s: its %s %s is no directory any more",
				      rebuild_name(r, p), what, path);
	return 0;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	int res;

	if (!p->owns_fs)
		return 0;
	res = check_directory(r, p, "working directory", p->fs->cwd);
	return res ? res : check_directory(r, p, "root directory", p->fs->root);
}

/*
 * In the last phase: until then the stub may be told to open paths. The working directory is left
 * alone by chroot and may lie outside of the root.
 */
static int last(struct rebuild *r _unused_, struct rebuild_process *p, struct call_table *t)
{
	if (!p->owns_fs)
		return 0;
	call_add(t, "chdir() to the working directory", SYS_chdir,
		 CALL_DATA(call_string(t, p->fs->cwd)));
	if (strcmp(p->fs->root, "/"))
		call_add(t, "chroot() to the root directory", SYS_chroot,
			 CALL_DATA(call_string(t, p->fs->root)));
	call_expect_any(t, call_add(t, "umask()", SYS_umask, CALL_IMM(p->fs->umask)));
	return 0;
}

const struct task_aspect aspect_fs = {
	.name = "fs",
	.collect = collect,
	.check = check,
	.last = last,
};
