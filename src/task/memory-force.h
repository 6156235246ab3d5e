/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that a stub cannot read into place. See memory-force.c. */
#pragma once

#include "kind/rebuild.h"

int force_pages(struct rebuild *r, const struct rebuild_process *p);
