/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/relation.h"

#include <errno.h>
#include <string.h>

/* As many are looked at in the time that a pair takes otherwise, more or less. */
enum { WORDS_PER_PAIR = 64 };

int relation_init(struct relation *rel, struct arena *arena, size_t n)
{
	size_t words = (n + 63) / 64;

	*rel = (struct relation){
		.arena = arena,
		.n = n,
		.words = words,
		.above = arena_new_n(arena, uint64_t, n * words),
		.below = arena_new_n(arena, uint64_t, n * words),
		.depth = arena_new_n(arena, uint32_t, n),
		.room = n * 4 + 16,
		.most = SIZE_MAX,
	};
	rel->pairs = arena_new_n(arena, struct relation_pair, rel->room);
	return rel->above && rel->below && rel->depth && rel->pairs ? 0 : -ENOMEM;
}

static int journal_reserve(struct relation *rel, size_t more)
{
	struct relation_pair *pairs;
	size_t room = rel->room;

	if (rel->n_pairs + more > rel->most)
		return -ETIME;
	if (rel->n_pairs + more <= room)
		return 0;
	while (room < rel->n_pairs + more)
		room *= 2;
	pairs = arena_new_n(rel->arena, struct relation_pair, room);
	if (!pairs)
		return -ENOMEM;
	memcpy(pairs, rel->pairs, rel->n_pairs * sizeof(*pairs));
	rel->pairs = pairs;
	rel->room = room;
	return 0;
}

static void add_pair(struct relation *rel, uint32_t x, uint32_t y)
{
	rel->above[y * rel->words + x / 64] |= UINT64_C(1) << x % 64;
	rel->below[x * rel->words + y / 64] |= UINT64_C(1) << y % 64;
	rel->depth[y]++;
	rel->pairs[rel->n_pairs++] = (struct relation_pair){x, y};
}

/* @x and all above it come above @d. */
static int put_above(struct relation *rel, uint32_t x, uint32_t d)
{
	const uint64_t *from = &rel->above[x * rel->words];
	const uint64_t *to = &rel->above[d * rel->words];

	int r = journal_reserve(rel, rel->depth[x] + 1);

	if (r < 0)
		return r;
	rel->work += rel->words;
	if (rel->work / WORDS_PER_PAIR > rel->most)
		return -ETIME;
	for (size_t w = 0; w < rel->words; w++) {
		uint64_t new = from[w] & ~to[w];

		for (; new; new &= new - 1)
			add_pair(rel, (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(new), d);
	}
	if (!relation_has(rel, x, d))
		add_pair(rel, x, d);
	return 0;
}

int relation_add(struct relation *rel, uint32_t x, uint32_t y)
{
	int r;

	if (x == y || relation_has(rel, y, x))
		return -ELOOP;
	if (relation_has(rel, x, y))
		return 0;
	r = put_above(rel, x, y);
	for (uint32_t d = relation_next_below(rel, y, 0); d < rel->n && r == 0;
	     d = relation_next_below(rel, y, d + 1))
		r = put_above(rel, x, d);
	return r;
}

void relation_undo(struct relation *rel, size_t n_pairs)
{
	while (rel->n_pairs > n_pairs) {
		struct relation_pair p = rel->pairs[--rel->n_pairs];

		rel->above[p.below * rel->words + p.above / 64] &= ~(UINT64_C(1) << p.above % 64);
		rel->below[p.above * rel->words + p.below / 64] &= ~(UINT64_C(1) << p.below % 64);
		rel->depth[p.below]--;
	}
}

static uint32_t next_bit(const struct relation *rel, const uint64_t *row, uint32_t from)
{
	size_t w = from / 64;
	uint64_t bits;

	if (from >= rel->n)
		return (uint32_t)rel->n;
	bits = row[w] & ~UINT64_C(0) << from % 64;
	while (!bits) {
		if (++w == rel->words)
			return (uint32_t)rel->n;
		bits = row[w];
	}
	return (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits);
}

uint32_t relation_next_above(const struct relation *rel, uint32_t y, uint32_t from)
{
	return next_bit(rel, &rel->above[y * rel->words], from);
}

uint32_t relation_next_below(const struct relation *rel, uint32_t y, uint32_t from)
{
	return next_bit(rel, &rel->below[y * rel->words], from);
}
