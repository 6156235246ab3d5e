/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata files (format.h): a head and checksummed records, written as a stream, read from memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

struct XXH3_state_s;
struct context;

/* ---- writing -------------------------------------------------------------------------------- */

struct record_out {
	const char *name;	   /* of the file, for messages; not owned */
	int fd;			   /* owned */
	struct XXH3_state_s *hash; /* of the whole file; owned */
	uint64_t size;		   /* bytes put so far */
	uint8_t *buf;		   /* not yet written; owned */
	size_t len;
	size_t room;
};

/* Writes the head. Takes over @fd, also on failure. @number: field of Checkpoint, 0: manifest. */
int record_out_init(struct context *ctx, struct record_out *out, const char *name, int fd,
		    uint32_t number);
void record_out_deinit(struct record_out *out);
int record_out_put(struct context *ctx, struct record_out *out, const ProtobufCMessage *msg);
/* Writes what is left; out->fd stays open until deinit. */
int record_out_end(struct context *ctx, struct record_out *out, uint64_t *ret_size,
		   uint64_t *ret_xxh3);

/* ---- reading -------------------------------------------------------------------------------- */

struct record_in {
	const char *name;
	const uint8_t *bytes; /* the whole file; not owned */
	size_t len;
	size_t at;    /* where the next record begins */
	size_t index; /* number of the record read last, from 1 */
};

/* Checks the head. -EOPNOTSUPP: a newer format; -EBADMSG: damaged. */
int record_in_init(struct context *ctx, struct record_in *in, const char *name,
		   const uint8_t *bytes, size_t len, uint32_t number);
/* 1 and a record; 0 at the end; -EBADMSG where it is cut short or does not match its checksum. */
int record_in_next(struct context *ctx, struct record_in *in, const uint8_t **ret_msg,
		   size_t *ret_len);
