/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking through a file system for an inode. stat() tells another number or device than a mark
 * does where the file system stands on others (overlayfs, btrfs), so one that may be it is marked by us, and
 * what our own mark says is compared. Directories are opened for it, which other watchers see.
 */
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#include "file/state.h"
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

/* Something with the number of an inode that some mark in the tree is on. */
struct named {
	uint64_t ino;
	const char *path;
};

/* What one walk through a file system found, for all marks that it is looked through for. */
struct watched_walk {
	const char *mount;
	struct named *found;
	size_t n_found;
	struct watched_walk *next;
};

struct wanted {
	uint64_t *inos; /* sorted */
	size_t n;
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int want_marks(struct collect *c, const struct file_node *node, struct wanted *w)
{
	struct fdinfo_fanotify info = {};
	int r = 0;

	if (node->kind->which == COPPICE__FILE__KIND_INOTIFY)
		r = parse_fdinfo_inotify(node->probe.info.rest, c->arena, &info.marks,
					 &info.n_marks);
	else if (node->kind->which == COPPICE__FILE__KIND_FANOTIFY)
		r = parse_fdinfo_fanotify(node->probe.info.rest, c->arena, &info);
	for (size_t i = 0; r >= 0 && i < info.n_marks; i++) {
		uint64_t *slot = arena_append(c->arena, &w->inos, &w->n, sizeof(*slot));

		if (!slot)
			return err_oom(c->ctx);
		*slot = info.marks[i].ino;
	}
	return r < 0 ? err_msg(c->ctx, r, "fdinfo of %s cannot be understood", node->probe.link)
		     : 0;
}

static int want_all(struct collect *c, struct wanted *w)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < c->files->n_nodes; i++)
		r = want_marks(c, c->files->nodes[i], w);
	if (w->n > 1)
		qsort(w->inos, w->n, sizeof(*w->inos), by_value);
	return r;
}

static int note(struct collect *c, struct watched_walk *walk, const FTSENT *entry)
{
	struct named *slot = arena_append(c->arena, &walk->found, &walk->n_found, sizeof(*slot));

	if (!slot)
		return err_oom(c->ctx);
	*slot = (struct named){entry->fts_statp->st_ino, arena_strdup(c->arena, entry->fts_path)};
	return slot->path ? 0 : err_oom(c->ctx);
}

static int walk_through(struct collect *c, struct watched_walk *walk)
{
	char *const start[] = {(char *)(uintptr_t)walk->mount, NULL};
	struct wanted w = {};
	FTSENT *entry;
	FTS *fts;
	int r = want_all(c, &w);

	if (r < 0)
		return r;
	fts = fts_open(start, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
	if (!fts)
		return err_sys(c->ctx, -errno, "fts_open(%s)", walk->mount);
	for (size_t i = 0; r == 0 && i < ENTRIES_MAX && (entry = fts_read(fts)); i++) {
		uint64_t ino = is_named(entry) ? entry->fts_statp->st_ino : 0;

		if (ino != 0 && w.inos && bsearch(&ino, w.inos, w.n, sizeof(ino), by_value))
			r = note(c, walk, entry);
	}
	(void)fts_close(fts);
	return r;
}

/* Once for each mount: there may be thousands of marks. */
static int get_walk(struct collect *c, const char *mount, const struct watched_walk **ret)
{
	struct watched_walk *walk = c->files->watched_walks;
	int r = 0;

	while (walk && strcmp(walk->mount, mount) != 0)
		walk = walk->next;
	if (!walk) {
		walk = arena_new(c->arena, struct watched_walk);
		if (!walk)
			return err_oom(c->ctx);
		*walk = (struct watched_walk){.mount = mount, .next = c->files->watched_walks};
		r = walk_through(c, walk);
		c->files->watched_walks = walk;
	}
	*ret = walk;
	return r;
}

int watched_find(struct collect *c, const struct fdinfo_mark *mark, const char *mount, char **ret)
{
	const struct watched_walk *walk = NULL;
	int r = get_walk(c, mount, &walk);

	for (size_t i = 0; r == 0 && i < walk->n_found; i++) {
		if (walk->found[i].ino != mark->ino)
			continue;
		r = is_it(c, mark, walk->found[i].path);
		if (r > 0)
			*ret = arena_strdup(c->arena, walk->found[i].path);
	}
	if (r > 0 && !*ret)
		return err_oom(c->ctx);
	return r < 0 ? r : 0;
}
