/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pipes and FIFOs have in common: which open files are ends of the same one, and whether
 * somebody outside the tree has an end too.
 */
#pragma once

#include <fcntl.h>

#include "kind/collect.h"
#include "kind/file.h"
#include "kind/rebuild.h"

/* Gives the pipe that the probed file is an end of its number, from 1, at first sight. */
int pipes_collect(struct collect *c, const struct file_probe *probe, const Coppice__File *file,
		  uint32_t *ret_number);
/*
 * When all ends are known: the content, for the end that was seen first; *ret_content stays NULL
 * for the others. An end outside the tree is refused: what it would get to see of the tree's
 * absence cannot be undone, and it could not be connected again.
 */
int pipes_collect_late(struct collect *c, const struct file_probe *probe, const Coppice__File *file,
		       Coppice__PipeContent **ret_content);

/* Rebuild: pipe @number while it is being rebuilt, or NULL after an allocation failure. */
struct rebuild_pipe *pipes_rebuild(struct rebuild *r, uint32_t number);
/* How many there are: of each, one end may be nobody's. */
size_t pipes_count(struct rebuild *r);
/* Closes what no file was given. */
void pipes_rebuild_deinit(struct rebuild *r);
/* The rouse phase of either kind: a byte, or none again. */
int pipes_rouse(struct rebuild *r, uint32_t number, bool on);
/* The check phase of either kind. */
int pipes_check(struct rebuild *r, const Coppice__PipeContent *content);

static inline bool reads(const Coppice__File *file)
{
	return (file->flags & O_ACCMODE) != O_WRONLY;
}

static inline bool writes(const Coppice__File *file)
{
	return (file->flags & O_ACCMODE) != O_RDONLY;
}
