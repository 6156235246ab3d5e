/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict partial order on small integers, kept transitively closed in bit sets, with a journal:
 * what was added since a mark can be looked at and taken back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/arena.h"

struct relation_pair {
	uint32_t above;
	uint32_t below;
};

struct relation {
	struct arena *arena;
	size_t n;
	size_t words;	 /* per row */
	uint64_t *above; /* row y: who is above y */
	uint64_t *below;
	uint32_t *depth;	     /* how many are above */
	struct relation_pair *pairs; /* the journal */
	size_t n_pairs;
	size_t room;
	size_t most;   /* pairs that it may have; and a bound for the work on them */
	uint64_t work; /* words looked at */
};

/* With room for up to SIZE_MAX pairs, unless relation.most is changed. Returns 0 or -ENOMEM. */
int relation_init(struct relation *rel, struct arena *arena, size_t n);

/*
 * Puts @x above @y, and everything above @x above everything below @y. Returns 0, -ELOOP where
 * @y is @x or above it (nothing changes), -ETIME when it would have too many pairs, or -ENOMEM.
 */
int relation_add(struct relation *rel, uint32_t x, uint32_t y);

/* Takes back all pairs but the first @n_pairs. */
void relation_undo(struct relation *rel, size_t n_pairs);

static inline bool relation_has(const struct relation *rel, uint32_t x, uint32_t y)
{
	return rel->above[y * rel->words + x / 64] >> x % 64 & 1;
}

/* The first member not below @from of the set above (or below) @y; rel->n when there is none. */
uint32_t relation_next_above(const struct relation *rel, uint32_t y, uint32_t from);
uint32_t relation_next_below(const struct relation *rel, uint32_t y, uint32_t from);
