/* SPDX-License-Identifier: Apache-2.0 */
#include "image/walk.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "util/macro.h"

/* The schema keeps to proto3 fields without `optional`, so that no has_ member exists. */
size_t walk_count(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	const char *base = (const char *)msg;

	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)(base + field->quantifier_offset);
	if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
	    *(const uint32_t *)(base + field->quantifier_offset) != field->id)
		return 0;
	if (walk_is_message(field))
		return *(void *const *)(base + field->offset) ? 1 : 0;
	return 1;
}

size_t walk_size(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return sizeof(uint32_t);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	}
	assert(!"a field type that protobuf-c does not have");
	return 0;
}

void *walk_value(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field, size_t i)
{
	char *member = (char *)msg + field->offset;

	assert(i < walk_count(msg, field));
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return *(char **)member + i * walk_size(field);
	return member;
}

const ProtobufCMessage *walk_message(const void *value)
{
	return *(const ProtobufCMessage *const *)value;
}

static const char *string_of(const void *value)
{
	const char *s = *(const char *const *)value;

	return s ? s : "";
}

bool walk_leaf_equal(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
	const ProtobufCBinaryData *left = a;
	const ProtobufCBinaryData *right = b;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return strcmp(string_of(a), string_of(b)) == 0;
	case PROTOBUF_C_TYPE_BYTES:
		return left->len == right->len &&
		       (left->len == 0 || memcmp(left->data, right->data, left->len) == 0);
	case PROTOBUF_C_TYPE_BOOL:
		return !*(const protobuf_c_boolean *)a == !*(const protobuf_c_boolean *)b;
	default:
		return memcmp(a, b, walk_size(field)) == 0;
	}
}

bool walk_leaf_is_zero(const ProtobufCFieldDescriptor *field, const void *value)
{
	static const uint64_t zero;

	if (field->type == PROTOBUF_C_TYPE_STRING)
		return string_of(value)[0] == '\0';
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		return ((const ProtobufCBinaryData *)value)->len == 0;
	return memcmp(value, &zero, walk_size(field)) == 0;
}

/* The length that the whole path has, as snprintf counts. */
static size_t path_put(const struct walk_path *path, char *buf, size_t size)
{
	size_t at = path->up ? path_put(path->up, buf, size) : 0;
	const char *dot = path->up ? "." : "";
	char *rest = buf + MIN(at, size);
	size_t room = size - MIN(at, size);
	int n;

	if (path->index == WALK_NO_INDEX)
		n = snprintf(rest, room, "%s%s", dot, path->field->name);
	else
		n = snprintf(rest, room, "%s%s[%zu]", dot, path->field->name, path->index);
	return at + (size_t)MAX(n, 0);
}

void walk_path_format(const struct walk_path *path, char *buf, size_t size)
{
	assert(size > 0);
	buf[0] = '\0';
	if (path)
		(void)path_put(path, buf, size);
}

static bool is_end(const char *pattern)
{
	return *pattern == '\0' || strcmp(pattern, ".*") == 0;
}

/* What is left of the pattern behind the path, NULL: they differ. */
static const char *path_match(const struct walk_path *path, const char *pattern)
{
	size_t len = strlen(path->field->name);

	if (path->up) {
		pattern = path_match(path->up, pattern);
		if (!pattern || strcmp(pattern, ".*") == 0)
			return pattern;
		if (*pattern++ != '.')
			return NULL;
	}
	if (strncmp(pattern, path->field->name, len) != 0)
		return NULL;
	pattern += len;
	if (path->field->label != PROTOBUF_C_LABEL_REPEATED || is_end(pattern))
		return pattern;
	return strncmp(pattern, "[]", 2) == 0 ? pattern + 2 : NULL;
}

bool walk_path_matches(const struct walk_path *path, const char *pattern)
{
	const char *rest = path_match(path, pattern);

	return rest && is_end(rest);
}

int walk_messages(const ProtobufCMessage *msg, const struct walk_path *path, walk_visit visit,
		  void *data)
{
	int r = visit(data, path, msg);

	if (r != 0)
		return r;
	for (unsigned int f = 0; f < msg->descriptor->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[f];
		struct walk_path here = {.up = path, .field = field, .index = WALK_NO_INDEX};
		size_t n = walk_is_message(field) ? walk_count(msg, field) : 0;

		for (size_t i = 0; i < n; i++) {
			if (field->label == PROTOBUF_C_LABEL_REPEATED)
				here.index = i;
			r = walk_messages(walk_message(walk_value(msg, field, i)), &here, visit,
					  data);
			if (r != 0)
				return r;
		}
	}
	return 0;
}
