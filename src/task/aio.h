/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts of io_setup(2). See aio.c. */
#pragma once

#include <stdbool.h>

#include "kind/rebuild.h"

/* Is the mapping a ring of one? */
bool aio_is_ring(const Coppice__Vma *vma);
/* Makes the contexts of an address space that is filled, before its process gets its limits. */
int aio_rebuild(struct rebuild *r, struct rebuild_process *p, struct arena *arena);
