/* SPDX-License-Identifier: Apache-2.0 */
#include "image/unpack.h"

#include <errno.h>
#include <stdbool.h>

#include "image/format.h"
#include "image/text.h"
#include "image/walk.h"
#include "util/arena.h"
#include "util/context.h"
#include "util/macro.h"

/*
 * protobuf-c keeps notes while it scans a message with many fields, in blocks of 1280 bytes and
 * powers of two of it, which it frees at once. An arena cannot take them back: they are kept
 * here for the next message instead.
 */
enum { SCRATCH_MIN = 1024, SCRATCH_SLOTS = 16 };

struct scratch {
	void *block;
	size_t size;
	bool spare;
};

struct unpacker {
	ProtobufCAllocator base;
	struct arena *arena;
	uint64_t *budget;
	bool failed; /* NULL was returned: no memory, as opposed to a bad message */
	bool over;   /* the budget is used up */
	struct scratch scratch[SCRATCH_SLOTS];
	unsigned int n_scratch;
};

static void *scratch_take(struct unpacker *u, size_t size)
{
	for (unsigned int i = 0; i < MIN(u->n_scratch, (unsigned int)SCRATCH_SLOTS); i++) {
		struct scratch *s = &u->scratch[i];

		if (s->spare && s->size == size) {
			s->spare = false;
			return s->block;
		}
	}
	return NULL;
}

static void *unpacker_alloc(void *data, size_t size)
{
	struct unpacker *u = data;
	void *block = size >= SCRATCH_MIN ? scratch_take(u, size) : NULL;

	if (block)
		return block;
	u->over = u->over || size > *u->budget;
	block = u->over ? NULL : arena_alloc(u->arena, size);
	if (!block) {
		u->failed = true;
		return NULL;
	}
	*u->budget -= size;
	/* The oldest is forgotten: it stays in the arena, unused. */
	if (size >= SCRATCH_MIN)
		u->scratch[u->n_scratch++ % SCRATCH_SLOTS] =
			(struct scratch){.block = block, .size = size};
	return block;
}

static void unpacker_free(void *data, void *block)
{
	struct unpacker *u = data;

	for (unsigned int i = 0; i < MIN(u->n_scratch, (unsigned int)SCRATCH_SLOTS); i++)
		if (u->scratch[i].block == block)
			u->scratch[i].spare = true;
}

uint64_t unpack_budget(uint64_t size)
{
	/* The worst that we write ourselves, lists of disarmed timers, grows by less than 64. */
	return MIN(size * 64 + (1 << 20), IMAGE_UNPACKED_MAX);
}

static int refuse_unknown(void *data, const struct walk_path *path, const ProtobufCMessage *msg)
{
	struct context *ctx = data;

	for (unsigned int i = 0; i < msg->n_unknown_fields; i++) {
		uint32_t number = msg->unknown_fields[i].tag;
		char where[WALK_PATH_MAX];
		int r;

		if (number >= IMAGE_FIELD_OPTIONAL)
			continue;
		walk_path_format(path, where, sizeof(where));
		r = err_msg(ctx, -EOPNOTSUPP,
			    "%s%s%s has field %u, which this coppice does not know",
			    msg->descriptor->short_name, path ? " " : "", where, number);
		return err_hint(ctx, r, "use the version of coppice that wrote the image");
	}
	return 0;
}

int message_unpack(struct context *ctx, struct arena *arena, uint64_t *budget,
		   const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len,
		   ProtobufCMessage **ret_msg)
{
	struct unpacker u = {.arena = arena, .budget = budget};
	ProtobufCMessage *msg;
	int r;

	u.base = (ProtobufCAllocator){
		.alloc = unpacker_alloc, .free = unpacker_free, .allocator_data = &u};
	msg = protobuf_c_message_unpack(type, &u.base, len, bytes);
	if (!msg && u.over)
		return err_msg(ctx, -EBADMSG,
			       "%s takes far more memory than an image of this size can",
			       type->short_name);
	if (!msg && u.failed)
		return err_oom(ctx);
	if (!msg)
		return err_msg(ctx, -EBADMSG, "not a valid %s message", type->short_name);
	r = walk_messages(msg, NULL, refuse_unknown, ctx);
	if (r < 0)
		return r;
	if (protobuf_c_message_get_packed_size(msg) != len)
		return err_msg(ctx, -EBADMSG,
			       "this %s was not written by coppice: a field is given twice, or "
			       "a string holds a NUL byte",
			       type->short_name);
	*ret_msg = msg;
	return 0;
}
