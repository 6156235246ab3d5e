/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes: files as such, however often they are open or mapped.
 *
 * A tree that is being collected holds each of its files open or mapped, so (st_dev, st_ino) names
 * one file for as long as the collection lasts, generation or not. It is always taken by stat of
 * the thing itself (/proc/PID/fd/N, /proc/PID/map_files/START-END, a duplicate), never from the
 * text of /proc/PID/maps: on overlayfs and btrfs the device shown there is another one.
 *
 * Storage (enum InodeStorage) says where the file is found at restore:
 *	PATH ..... the link's text leads to the same (st_dev, st_ino) now
 *	DELETED .. no name left (st_nlink 0): attributes and content go into the image
 *	SHMEM .... shared anonymous memory, which the kernel calls "/dev/zero (deleted)"
 *	MEMFD .... memfd_create()
 *	HUGETLB .. shared anonymous huge pages, or a memfd made of them
 *	HANDLE ... the name it was opened by is gone or taken by another, but it has others: which they
 *		   are cannot be found out short of a walk through its whole file system. A file
 *		   handle leads to it. Where the file system gives none it is refused.
 */
#pragma once

#include "kind/collect.h"
#include "kind/file.h"
#include "kind/rebuild.h"

/* ---- collect ------------------------------------------------------------------------------ */

/*
 * Each gives the dense id of the Inode message (Checkpoint.inodes[id - 1]), made at first sight.
 * What cannot be kept is recorded with collect_refuse and gives id 0, with result 0.
 */
int inode_collect_mapping(struct collect *c, struct collect_process *p, const struct proc_map *map,
			  uint32_t *ret_inode);
/* A magic link below /proc/PID: "exe". */
int inode_collect_link(struct collect *c, struct collect_process *p, const char *name,
		       uint32_t *ret_inode);
int inode_collect_fd(struct collect *c, const struct file_probe *probe, uint32_t *ret_inode);

/*
 * For the memory stage: opens, for reading, an inode whose content the image has to hold (storage
 * other than PATH). Its Inode.content is filled by whoever reads it. Owned by the caller.
 */
int inode_open_content(struct collect *c, uint32_t inode, int *ret_fd);
static inline bool inode_needs_content(const Coppice__Inode *inode)
{
	return inode->storage != COPPICE__INODE_STORAGE__INODE_STORAGE_PATH &&
	       inode->storage != COPPICE__INODE_STORAGE__INODE_STORAGE_HANDLE;
}

/* ---- rebuild ------------------------------------------------------------------------------ */

/* Is every file of the image there, and the same (size, mtime, content)? Uses rebuild_refuse. */
int rebuild_inodes_check(struct rebuild *r);
/* How many descriptors of them the coordinator is going to have at a time. */
size_t rebuild_inodes_held(struct rebuild *r);
/*
 * Opens those found by path that somebody maps, makes the others (empty, of the right size,
 * needs_content set), and gives each mapped one its numbers in the stubs: map_fd and map_fd_rw.
 */
int rebuild_inodes_create(struct rebuild *r);
/*
 * A new description of the file behind @ri, opened as @path: NULL is the inode's own; @unlinked: that
 * name was removed, so it is given for a moment only. A descriptor, or -errno with a chain.
 */
int rebuild_inode_open(struct rebuild *r, const struct rebuild_inode *ri, const char *path,
		       bool unlinked, uint32_t flags);
/* Is this the file that @inode is found as? */
bool inode_is_at(const struct rebuild *r, const Coppice__Inode *inode, const struct stat *st);
/* Sends what is mapped into the first stub, at those numbers; its children inherit them. */
int rebuild_inodes_send(struct rebuild *r, struct puppet *first);
/* After the content is in place: owner, mode, seals, times. */
int rebuild_inodes_finish(struct rebuild *r);
/* When all is mapped: the seals that would have been in the way. */
int rebuild_inodes_last(struct rebuild *r);
/* Closes what is open here. Nothing is left on disk: a re-made file has no name from the start. */
void rebuild_inodes_deinit(struct rebuild *r);
