/* SPDX-License-Identifier: Apache-2.0 */
/* Guard regions. See memory-guard.c. */
#pragma once

#include "kind/collect.h"

/* Fills mm->guards; mm->vmas must stand. */
int guard_collect(struct collect *c, struct collect_process *p, Coppice__Mm *mm);
