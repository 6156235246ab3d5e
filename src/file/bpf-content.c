/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of arrays and hashes, one by one: every key of a hash, and those of an array whose
 * value is not zero, since all of its entries exist from the start.
 *
 * A hash hands out its keys in an order that depends on a random seed of its own; here they are
 * sorted, so that the same content is the same image. (The seed is not kept: who iterates over the
 * restored map sees the same keys in another order, as after any insertion.)
 */
#include "file/bpf-content.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/macro.h"

enum {
	VALUE_ALIGN = 8,     /* values per CPU (bpf_percpu_array_copy()) */
	CANCEL_EVERY = 4096, /* entries */
};

uint64_t bpf_map_value_len(const Coppice__BpfMapContent *content)
{
	uint64_t len = content->value_size;

	return content->cpus == 0 ? len : ALIGN_UP(len, (uint64_t)VALUE_ALIGN) * content->cpus;
}

static bool is_array(const Coppice__BpfMapContent *content)
{
	return content->type == BPF_MAP_TYPE_ARRAY || content->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* ---- out ------------------------------------------------------------------------------------ */

/* Entries under way: each is a key and its value, next to each other. */
struct entries {
	unsigned char *bytes; /* owned */
	size_t n;
	size_t room;
	size_t key_len;
	size_t value_len;
};

static size_t entry_len(const struct entries *e)
{
	return e->key_len + e->value_len;
}

static unsigned char *entry_at(const struct entries *e, size_t i)
{
	return e->bytes + i * entry_len(e);
}

static void entries_deinit(struct entries *e)
{
	free(e->bytes);
}

/* Room for one more behind the last. */
static int entries_reserve(struct context *ctx, struct entries *e)
{
	size_t room = e->room ? 2 * e->room : 64;
	unsigned char *bytes;

	if (e->n < e->room)
		return 0;
	bytes = reallocarray(e->bytes, room, entry_len(e));
	if (!bytes)
		return err_oom(ctx);
	e->bytes = bytes;
	e->room = room;
	return 0;
}

static bool is_zero(const unsigned char *bytes, size_t len)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

static int read_entries(struct context *ctx, int fd, const Coppice__BpfMapContent *content,
			struct entries *e)
{
	const void *last = NULL;
	_cleanup_free_ unsigned char *key = malloc(e->key_len);

	if (!key)
		return err_oom(ctx);
	for (size_t seen = 0;; seen++) {
		unsigned char *entry;
		int r = entries_reserve(ctx, e);

		if (r == 0 && seen % CANCEL_EVERY == 0)
			r = cancel_point(ctx);
		if (r < 0)
			return r;
		entry = entry_at(e, e->n);
		r = bpf_map_get_next_key(fd, last, entry);
		if (r == -ENOENT)
			return 0;
		if (r == 0)
			r = bpf_map_lookup_elem(fd, entry, entry + e->key_len);
		if (r < 0)
			return err_sys(ctx, r, "reading entry %zu of a BPF map", seen);
		memcpy(key, entry, e->key_len);
		last = key;
		if (!is_array(content) || !is_zero(entry + e->key_len, e->value_len))
			e->n++;
	}
}

static int by_key(const void *a, const void *b, void *data)
{
	const struct entries *e = data;

	return memcmp(a, b, e->key_len);
}

static int store(struct context *ctx, struct arena *arena, const struct entries *e,
		 Coppice__BpfMapContent *content)
{
	content->keys.len = e->n * e->key_len;
	content->keys.data = arena_alloc(arena, content->keys.len);
	content->values.len = e->n * e->value_len;
	content->values.data = arena_alloc(arena, content->values.len);
	if (!content->keys.data || !content->values.data)
		return err_oom(ctx);
	for (size_t i = 0; i < e->n; i++) {
		memcpy(content->keys.data + i * e->key_len, entry_at(e, i), e->key_len);
		memcpy(content->values.data + i * e->value_len, entry_at(e, i) + e->key_len,
		       e->value_len);
	}
	return 0;
}

int bpf_map_content_take(struct context *ctx, struct arena *arena, int fd,
			 Coppice__BpfMapContent *content)
{
	_cleanup_(entries_deinit) struct entries e = {
		.key_len = content->key_size,
		.value_len = bpf_map_value_len(content),
	};
	int r = read_entries(ctx, fd, content, &e);

	if (r < 0)
		return r;
	if (e.n > 0)
		qsort_r(e.bytes, e.n, entry_len(&e), by_key, &e);
	return store(ctx, arena, &e, content);
}

/* ---- in ------------------------------------------------------------------------------------- */

int bpf_map_content_put(struct context *ctx, const Coppice__BpfMapContent *content, int fd)
{
	size_t n = content->keys.len / content->key_size;
	uint64_t value_len = bpf_map_value_len(content);

	for (size_t i = 0; i < n; i++) {
		int r = i % CANCEL_EVERY == 0 ? cancel_point(ctx) : 0;

		if (r < 0)
			return r;
		r = bpf_map_update_elem(fd, content->keys.data + i * content->key_size,
					content->values.data + i * value_len, BPF_ANY);
		if (r < 0)
			return err_sys(ctx, r, "putting entry %zu into a BPF map", i);
	}
	return 0;
}
