/* SPDX-License-Identifier: Apache-2.0 */
/* The reader as its own sources see it: reader.c and load.c. */
#pragma once

#include "image/reader.h"
#include "util/arena.h"

struct image_reader {
	enum image_use use;
	char *path; /* as the user gave it, for messages; arena */
	int dir;    /* owned */
	struct arena arena;
	Coppice__Manifest *manifest; /* arena */
};

/* Opens a file of the image and checks whether it can be trusted; owned by the caller. */
int reader_open_file(struct context *ctx, const struct image_reader *rd, const char *name,
		     int *ret_fd, uint64_t *ret_size);
/* A whole metadata file; malloc'ed, owned by the caller. */
int reader_read_file(struct context *ctx, const struct image_reader *rd, const char *name,
		     uint8_t **ret_bytes, size_t *ret_len);

/* These work on bytes alone: they are what the fuzzers call. */
int reader_unpack_manifest(struct context *ctx, struct arena *arena, const uint8_t *bytes,
			   size_t len, Coppice__Manifest **ret_manifest);
/* All records of one file into the field of @cp that it is named after. */
int reader_unpack_field(struct context *ctx, struct arena *arena, uint64_t *budget,
			Coppice__Checkpoint *cp, const ProtobufCFieldDescriptor *field,
			const char *name, const uint8_t *bytes, size_t len);
