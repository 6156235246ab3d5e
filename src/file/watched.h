/* SPDX-License-Identifier: Apache-2.0 */
/* What marks of inotify and fanotify are on: inodes, however they are called by now. */
#pragma once

#include "kernel/fdinfo.h"
#include "kind/collect.h"
#include "kind/file.h"
#include "kind/rebuild.h"

/* How the inode that @mark is on is found again; *@ret stays NULL where nothing leads to it. */
int watched_collect(struct collect *c, const struct fdinfo_mark *mark, Coppice__WatchedInode **ret);
/* The same for a mark on a mount, or on a whole file system: where that is mounted. */
int watched_mount(struct collect *c, const struct fdinfo_mark *mark, Coppice__WatchedInode **ret);
/* Is it there? Refuses with rebuild_refuse otherwise; @who: what watches it. */
int watched_check(struct rebuild *r, const Coppice__WatchedInode *msg, const char *who);
/* Opens it (O_PATH); owned by the caller. -ENOENT: it is not there. -errno without a chain. */
int watched_open(const struct rebuild *r, const Coppice__WatchedInode *msg);
/* What it was called, for messages. */
const char *watched_name(const Coppice__WatchedInode *msg);

/*
 * Looks through the whole file system at @mount for the inode that @mark is on, and gives its path;
 * *@ret stays NULL if it is not found within reasonable time. (watched-find.c)
 */
int watched_find(struct collect *c, const struct fdinfo_mark *mark, const char *mount, char **ret);
