/* SPDX-License-Identifier: Apache-2.0 */
/* Locks that no descriptor shows; private to src/file. */
#pragma once

#include "file/lock-line.h"
#include "kind/collect.h"
#include "kind/rebuild.h"

/* A lock that a descriptor of the tree shows, whether it is kept or shows twice. */
int lock_shown(struct collect *c, const struct lock_line *line);
/* When all descriptors are known: the locks that are held through a mapping alone. */
int locks_mapped_collect_late(struct collect *c);
/* While the stubs still have descriptors of what is mapped. */
int locks_mapped_rebuild(struct rebuild *r);
