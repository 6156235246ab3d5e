/* SPDX-License-Identifier: Apache-2.0 */
/* A map from (namespace, number) to an index: open addressing, memory from an arena. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/arena.h"

#define IDMAP_NONE UINT32_MAX

struct idmap_slot {
	uint64_t key; /* 0: never used */
	uint32_t value;
};

struct idmap {
	struct arena *arena;
	struct idmap_slot *slots;
	size_t room; /* a power of two, or 0 */
	size_t used;
};

/* The value of a number, IDMAP_NONE when it has none. */
uint32_t idmap_get(const struct idmap *map, uint32_t ns, int32_t number);
/* Sets the value of a @number above 0. Returns 0 or -ENOMEM. */
int idmap_set(struct idmap *map, uint32_t ns, int32_t number, uint32_t value) _must_check_;
void idmap_forget(struct idmap *map, uint32_t ns, int32_t number);
