/* SPDX-License-Identifier: Apache-2.0 */
/* Who has the ends of a pipe; private to src/file. */
#pragma once

#include "file/chains.h"
#include "kind/collect.h"
#include "kind/file.h"

struct pipe_node {
	struct chain chain; /* by (st_dev, st_ino) */
	dev_t dev;
	ino_t ino;
	uint32_t number;
	const Coppice__File *first;	 /* the end that was seen first */
	const struct file_probe *reader; /* some end that reads, one that writes; or NULL */
	const struct file_probe *writer;
};

/* 1: an end of it is open outside the tree, as far as can be seen; 0: none, or -errno. */
int pipe_has_outside_end(struct collect *c, const struct pipe_node *node);
