/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is told by a signal that an open file is ready (F_SETOWN_EX, F_SETSIG): a thread, process or
 * process group, with the credentials that the sender of the signal is taken to have.
 */
#pragma once

#include "kind/collect.h"
#include "kind/file.h"
#include "kind/rebuild.h"

/* Sets file->owner where there is one; one outside the tree is refused. */
int owner_collect(struct collect *c, const struct file_probe *probe, Coppice__File *file);
/* When all processes stand: @fd is the coordinator's descriptor of @file. */
int owner_rebuild(struct rebuild *r, const Coppice__File *file, int fd);
