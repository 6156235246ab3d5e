/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of things that embed a `struct chain` as their first member: those of equal hash
 * form a chain, which the caller walks and compares. It lives in an arena and only grows.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/arena.h"

struct chain {
	struct chain *next;
	uint64_t hash;
};

struct chains {
	struct arena *arena;
	struct chain **heads; /* a power of two of them */
	size_t n_heads;
	size_t n;
};

void chains_init(struct chains *chains, struct arena *arena);
/* The first thing with this hash, or NULL; and the next one after it. */
struct chain *chains_find(const struct chains *chains, uint64_t hash);
struct chain *chains_next(const struct chain *chain);
/* Takes the thing in, behind those that are there already. 0 or -ENOMEM. */
int chains_add(struct chains *chains, uint64_t hash, struct chain *thing);
