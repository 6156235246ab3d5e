/* SPDX-License-Identifier: Apache-2.0 */
#include "file/chains.h"

#include <errno.h>

enum { CHAINS_FIRST_ROOM = 64 };

void chains_init(struct chains *chains, struct arena *arena)
{
	*chains = (struct chains){.arena = arena};
}

static struct chain *skip_to(struct chain *chain, uint64_t hash)
{
	while (chain && chain->hash != hash)
		chain = chain->next;
	return chain;
}

struct chain *chains_find(const struct chains *chains, uint64_t hash)
{
	if (chains->n_heads == 0)
		return NULL;
	return skip_to(chains->heads[hash & (chains->n_heads - 1)], hash);
}

struct chain *chains_next(const struct chain *chain)
{
	return skip_to(chain->next, chain->hash);
}

static void append(struct chain **heads, size_t n_heads, struct chain *thing)
{
	struct chain **at = &heads[thing->hash & (n_heads - 1)];

	while (*at)
		at = &(*at)->next;
	thing->next = NULL;
	*at = thing;
}

static int grow(struct chains *chains)
{
	size_t n_heads = chains->n_heads ? chains->n_heads * 2 : CHAINS_FIRST_ROOM;
	struct chain **heads = arena_new_n(chains->arena, struct chain *, n_heads);

	if (!heads)
		return -ENOMEM;
	for (size_t i = 0; i < chains->n_heads; i++) {
		struct chain *next;

		for (struct chain *thing = chains->heads[i]; thing; thing = next) {
			next = thing->next;
			append(heads, n_heads, thing);
		}
	}
	chains->heads = heads;
	chains->n_heads = n_heads;
	return 0;
}

int chains_add(struct chains *chains, uint64_t hash, struct chain *thing)
{
	if (chains->n >= chains->n_heads) {
		int r = grow(chains);

		if (r < 0)
			return r;
	}
	thing->hash = hash;
	append(chains->heads, chains->n_heads, thing);
	chains->n++;
	return 0;
}
