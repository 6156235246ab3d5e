/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of metadata files. The first byte says which file it is: a field of
 * Checkpoint, or the manifest. Checksums are made right first, since no fuzzer gets past them.
 */
#include <endian.h>
#include <xxhash.h>

#include "fuzz.h"
#include "image/format.h"
#include "image/reader-internal.h"
#include "image/unpack.h"
#include "util/cleanup.h"
#include "util/context.h"

static void repair(uint8_t *bytes, size_t len)
{
	size_t at = IMAGE_HEAD_LEN;

	while (at < len && len - at >= IMAGE_RECORD_HEAD_LEN) {
		uint8_t *body = bytes + at + IMAGE_RECORD_HEAD_LEN;
		uint32_t size;
		uint64_t xxh3;

		memcpy(&size, bytes + at, sizeof(size));
		size = le32toh(size);
		if (size > len - at - IMAGE_RECORD_HEAD_LEN)
			return;
		xxh3 = htole64(XXH3_64bits(body, size));
		memcpy(bytes + at + sizeof(size), &xxh3, sizeof(xxh3));
		at += IMAGE_RECORD_HEAD_LEN + size;
	}
}

static void read_file(struct context *ctx, struct arena *arena, uint8_t which, const uint8_t *bytes,
		      size_t len)
{
	const ProtobufCMessageDescriptor *type = &coppice__checkpoint__descriptor;
	Coppice__Checkpoint cp = COPPICE__CHECKPOINT__INIT;
	uint64_t budget = unpack_budget(len);
	Coppice__Manifest *manifest;

	/* Refusals are as good as success: the sanitizers judge. */
	if (which < type->n_fields)
		(void)reader_unpack_field(ctx, arena, &budget, &cp, &type->fields[which],
					  "fuzz.img", bytes, len);
	else
		(void)reader_unpack_manifest(ctx, arena, bytes, len, &manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_deinit) struct arena arena;
	_cleanup_free_ uint8_t *bytes = NULL;
	static struct context ctx;

	arena_init(&arena, NULL);
	if (size == 0)
		return 0;
	bytes = (uint8_t *)fuzz_text(data + 1, size - 1);
	repair(bytes, size - 1);
	read_file(&ctx, &arena, data[0], bytes, size - 1);
	return 0;
}
