/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One way to go through any message by its protobuf-c descriptor. A field is a list of values:
 * of n for a repeated field, of one for a scalar, of none or one for a message and for a member
 * of a oneof. show, diff, mutate and validate are built on it and know no field by name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

/* Where a value is: a list from the value outwards, kept on the stack of whoever walks. */
struct walk_path {
	const struct walk_path *up; /* NULL: directly below the root message */
	const ProtobufCFieldDescriptor *field;
	size_t index; /* WALK_NO_INDEX: the field as a whole, or not repeated */
};

#define WALK_NO_INDEX SIZE_MAX
enum { WALK_PATH_MAX = 256 };

static inline bool walk_is_message(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_MESSAGE;
}

/* Number of values that @msg has in @field, and the address of one of them. */
size_t walk_count(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field);
void *walk_value(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field, size_t i);
/* The message that a value of a message field points to. */
const ProtobufCMessage *walk_message(const void *value);
/* The size of one value, as it lies in a struct or in the array of a repeated field. */
size_t walk_size(const ProtobufCFieldDescriptor *field);

/* For values that are no messages. Equal as stored in an image: NULL and "" are one string. */
bool walk_leaf_equal(const ProtobufCFieldDescriptor *field, const void *a, const void *b);
/* Zero, "", no bytes: what proto3 does not write. */
bool walk_leaf_is_zero(const ProtobufCFieldDescriptor *field, const void *value);

/* "processes[3].threads[0].creds.uid"; cut short where @buf is. */
void walk_path_format(const struct walk_path *path, char *buf, size_t size);
/*
 * Does the path match a pattern such as "processes[].threads[].sched.runtime_ns"? "[]" stands
 * for any index; the last one may be left out. A pattern that ends in ".*" matches what it
 * begins with and everything below.
 */
bool walk_path_matches(const struct walk_path *path, const char *pattern);

typedef int (*walk_visit)(void *data, const struct walk_path *path, const ProtobufCMessage *msg);

/*
 * Calls @visit for @msg and every message below it, outer ones first; stops at the first result
 * other than 0 and returns it. @path is where @msg is: NULL for the root.
 */
int walk_messages(const ProtobufCMessage *msg, const struct walk_path *path, walk_visit visit,
		  void *data);
