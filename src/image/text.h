/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of messages as text. Strings in an image may hold any bytes: whatever could
 * move a terminal's cursor or is no UTF-8 is written as an escape.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

struct strbuf;

/* In double quotes; bytes that cannot be shown as \x7f. */
void text_quote(struct strbuf *out, const char *s);
/* A JSON string; a byte that is no UTF-8 becomes U+DC80..U+DCFF, as Python's surrogateescape. */
void text_quote_json(struct strbuf *out, const char *s);
void text_hex(struct strbuf *out, const void *bytes, size_t len);

/*
 * A value that is no message: numbers in decimal, fixed64 in hex (addresses and masks), enums by
 * name, strings quoted, byte strings in hex, cut after @max_bytes.
 */
void text_leaf(struct strbuf *out, const ProtobufCFieldDescriptor *field, const void *value,
	       size_t max_bytes);
/* "start=0x1000 end=0x2000 prot=5": the values of @msg that are no messages and not zero. */
void text_line(struct strbuf *out, const ProtobufCMessage *msg);
/* The name of an enum's value, or NULL. */
const char *text_enum(const ProtobufCFieldDescriptor *field, const void *value);
