/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/idmap.h"

#include <assert.h>
#include <errno.h>

static uint64_t key_of(uint32_t ns, int32_t number)
{
	return (uint64_t)ns << 32 | (uint32_t)number;
}

/* The slot that has @key, or the free one where it belongs. */
static struct idmap_slot *find(const struct idmap *map, uint64_t key)
{
	size_t at = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (map->room - 1);

	while (map->slots[at].key && map->slots[at].key != key)
		at = (at + 1) & (map->room - 1);
	return &map->slots[at];
}

uint32_t idmap_get(const struct idmap *map, uint32_t ns, int32_t number)
{
	const struct idmap_slot *slot;

	if (!map->room || number <= 0)
		return IDMAP_NONE;
	slot = find(map, key_of(ns, number));
	return slot->key ? slot->value : IDMAP_NONE;
}

static int grow(struct idmap *map)
{
	struct idmap bigger = {.arena = map->arena, .room = map->room ? map->room * 2 : 64};

	bigger.slots = arena_new_n(map->arena, struct idmap_slot, bigger.room);
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->room; i++) {
		if (!map->slots[i].key || map->slots[i].value == IDMAP_NONE)
			continue;
		*find(&bigger, map->slots[i].key) = map->slots[i];
		bigger.used++;
	}
	*map = bigger;
	return 0;
}

int idmap_set(struct idmap *map, uint32_t ns, int32_t number, uint32_t value)
{
	uint64_t key = key_of(ns, number);
	struct idmap_slot *slot;
	int r;

	assert(number > 0);
	if (map->used * 2 >= map->room) {
		r = grow(map);
		if (r < 0)
			return r;
	}
	slot = find(map, key);
	if (!slot->key)
		map->used++;
	*slot = (struct idmap_slot){.key = key, .value = value};
	return 0;
}

void idmap_forget(struct idmap *map, uint32_t ns, int32_t number)
{
	/* The slot keeps its key, so that what lies behind it is still found. */
	if (idmap_get(map, ns, number) != IDMAP_NONE)
		find(map, key_of(ns, number))->value = IDMAP_NONE;
}
