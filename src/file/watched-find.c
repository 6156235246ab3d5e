/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking through a file system for an inode. stat() tells another number or device than a mark
 * does where the file system stands on others (overlayfs, btrfs), so one that may be it is marked by us, and
 * what our own mark says is compared. Directories are opened for it, which other watchers see.
 */
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "file/watched.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

enum { ENTRIES_MAX = 1 << 19 }; /* seconds, with the tree stopped */

/* 1: what stands at @path is what @mark is on. */
static int is_it(struct collect *c, const struct fdinfo_mark *mark, const char *path)
{
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct proc_fdinfo info;
	struct fdinfo_mark *own;
	size_t n;
	int r;

	if (fd < 0)
		return err_sys(c->ctx, -errno, "inotify_init1()");
	if (inotify_add_watch(fd, path, IN_DELETE_SELF | IN_DONT_FOLLOW) < 0)
		return errno == ENOSPC ? err_sys(c->ctx, -errno, "inotify_add_watch(%s)", path) : 0;
	r = proc_read_own_fdinfo(fd, c->arena, &info);
	if (r >= 0)
		r = parse_fdinfo_inotify(info.rest, c->arena, &own, &n);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/self/fdinfo/%d", fd);
	return n == 1 && own[0].ino == mark->ino && own[0].dev == mark->dev;
}

static bool is_named(const FTSENT *entry)
{
	return entry->fts_info != FTS_DP && entry->fts_info != FTS_NS &&
	       entry->fts_info != FTS_ERR && entry->fts_info != FTS_DNR;
}

int watched_find(struct collect *c, const struct fdinfo_mark *mark, const char *mount, char **ret)
{
	char *const start[] = {(char *)(uintptr_t)mount, NULL};
	FTS *fts = fts_open(start, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
	FTSENT *entry;
	int r = 0;

	if (!fts)
		return err_sys(c->ctx, -errno, "fts_open(%s)", mount);
	for (size_t i = 0; r == 0 && i < ENTRIES_MAX && (entry = fts_read(fts)); i++) {
		if (!is_named(entry) || entry->fts_statp->st_ino != mark->ino)
			continue;
		r = is_it(c, mark, entry->fts_path);
		if (r > 0)
			*ret = arena_strdup(c->arena, entry->fts_path);
	}
	(void)fts_close(fts);
	if (r > 0 && !*ret)
		return err_oom(c->ctx);
	return r < 0 ? r : 0;
}
