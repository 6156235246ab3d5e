/* SPDX-License-Identifier: Apache-2.0 */
#include "util/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/context.h"

enum { BLOCK_SIZE = 64 * 1024, ALIGNMENT = 16 };

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	_Alignas(ALIGNMENT) unsigned char data[];
};

void arena_init(struct arena *arena, struct context *ctx)
{
	*arena = (struct arena){.ctx = ctx};
}

void arena_deinit(struct arena *arena)
{
	struct arena_block *block = arena->blocks;

	while (block) {
		struct arena_block *next = block->next;

		free(block);
		block = next;
	}
	arena->blocks = NULL;
}

static struct arena_block *block_new(struct arena *arena, size_t size)
{
	struct arena_block *block = calloc(1, sizeof(*block) + size);

	if (!block)
		return NULL;
	block->size = size;
	/* A block made for one large object goes behind the head, which still has room. */
	if (arena->blocks && size > BLOCK_SIZE) {
		block->next = arena->blocks->next;
		arena->blocks->next = block;
	} else {
		block->next = arena->blocks;
		arena->blocks = block;
	}
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->blocks;
	void *p;

	if (arena->ctx && fault_point(arena->ctx, "allocation") < 0)
		return NULL;
	if (size > SIZE_MAX / 2)
		return NULL;
	size = ALIGN_UP(MAX(size, (size_t)1), ALIGNMENT);
	if (!block || block->size - block->used < size) {
		block = block_new(arena, MAX(size, (size_t)BLOCK_SIZE));
		if (!block)
			return NULL;
	}
	p = block->data + block->used;
	block->used += size;
	arena->used += size;
	return p;
}

void *arena_memdup(struct arena *arena, const void *src, size_t size)
{
	void *p = arena_alloc(arena, size);

	if (p && size > 0)
		memcpy(p, src, size);
	return p;
}

char *arena_strdup(struct arena *arena, const char *s)
{
	return arena_memdup(arena, s, strlen(s) + 1);
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	s = arena_alloc(arena, (size_t)n + 1);
	if (!s)
		return NULL;
	va_start(ap, fmt);
	(void)vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

void *arena_append(struct arena *arena, void *vec, size_t *n, size_t size)
{
	char **slot = vec;
	size_t have = *n;

	/* Full exactly at 0 and at the powers of two from 4 on. */
	if (have == 0 || (have >= 4 && (have & (have - 1)) == 0)) {
		size_t room = have == 0 ? 4 : have * 2;
		char *bigger = arena_alloc(arena, room * size);

		if (!bigger)
			return NULL;
		if (have > 0)
			memcpy(bigger, *slot, have * size);
		*slot = bigger;
	}
	(*n)++;
	return *slot + have * size;
}
