/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An arena: memory that is given back all at once. A checkpoint with its thousands of small
 * messages lives in one, so that nobody frees a half-built tree by hand.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "util/macro.h"

struct arena_block;
struct context;

struct arena {
	struct context *ctx; /* for fault injection; may be NULL */
	struct arena_block *blocks;
	size_t used; /* bytes handed out, for statistics */
};

/* @ctx (may be NULL) decides whether an allocation is made to fail in a test. */
void arena_init(struct arena *arena, struct context *ctx);
void arena_deinit(struct arena *arena);

/* Zeroed memory, aligned for any type, or NULL. */
void *arena_alloc(struct arena *arena, size_t size) _must_check_;
void *arena_memdup(struct arena *arena, const void *src, size_t size) _must_check_;
char *arena_strdup(struct arena *arena, const char *s) _must_check_;
char *arena_printf(struct arena *arena, const char *fmt, ...) _printf_(2, 3) _must_check_;

/*
 * Appends room for one more element to a vector of @size-byte elements kept in the arena.
 * *@vec holds *@n elements; capacity is implied (powers of two from 4 on), so a vector must
 * only ever grow through this function. Returns the new, zeroed element, or NULL.
 */
void *arena_append(struct arena *arena, void *vec, size_t *n, size_t size) _must_check_;

#define arena_new(arena, type)	    ((type *)arena_alloc(arena, sizeof(type)))
#define arena_new_n(arena, type, n) ((type *)arena_alloc(arena, sizeof(type) * (n)))
