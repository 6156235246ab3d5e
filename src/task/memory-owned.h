/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings that their owners make. See memory-owned.c. */
#pragma once

#include "kind/rebuild.h"

/* When the memory is filled and the descriptors are in place, before limits are set. */
int memory_map_owned(struct rebuild *r);
