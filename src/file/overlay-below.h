/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of overlayfs that show another file than their path; private to src/file. */
#pragma once

#include "kind/collect.h"

/*
 * 1: @map shows a file of the lower layer, which has been copied up since: @magic, the way to it, leads
 * to the copy. 0: the same file, or it cannot be told.
 */
int overlay_shows_below(struct collect *c, const struct collect_process *p,
			const struct proc_map *map, const char *magic);
