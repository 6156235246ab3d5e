/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to messages, whatever the bytes are. protobuf-c is lenient: it keeps fields it does
 * not know, merges fields that are given twice, and cuts strings at a NUL. Here each of these is
 * an error, since what is lost on the way could be what protects somebody.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

struct arena;
struct context;

/*
 * Unpacks into @arena. *@budget is what the messages of one image may still take, counted down:
 * a few bytes in a file can ask for many in memory.
 */
int message_unpack(struct context *ctx, struct arena *arena, uint64_t *budget,
		   const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len,
		   ProtobufCMessage **ret_msg);
/* The budget for files of @size bytes in all. */
uint64_t unpack_budget(uint64_t size);
