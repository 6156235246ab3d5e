/* SPDX-License-Identifier: Apache-2.0 */
/* Where and when a checkpoint was taken, and whether this machine can take it back. */
#pragma once

#include "kind/collect.h"
#include "kind/rebuild.h"

/* Fills Checkpoint.origin; the clocks are read now, while the tree is stopped. */
int origin_collect(struct collect *c);
/* Architecture, page size, boot: what does not fit is reported by rebuild_refuse. */
int origin_check(struct rebuild *r);
