/* SPDX-License-Identifier: Apache-2.0 */
#include "image/mutate.h"

#include <stdlib.h>
#include <string.h>

#include "image/text.h"
#include "image/walk.h"
#include "util/cleanup.h"
#include "util/context.h"

struct mutation {
	struct context *ctx;
	int (*visit)(void *data, const char *path);
	void *data;
};

static int visit_changed(const struct mutation *m, const struct walk_path *path)
{
	char where[WALK_PATH_MAX];

	walk_path_format(path, where, sizeof(where));
	return m->visit(m->data, where);
}

/* One letter becomes another; an empty string gets one. */
static int mutate_string(const struct mutation *m, const struct walk_path *path, char **value)
{
	const char *old = *value ? *value : "";
	_cleanup_free_ char *changed = calloc(1, strlen(old) + 2);
	char *kept = *value;
	int r;

	if (!changed)
		return err_oom(m->ctx);
	memcpy(changed, old, strlen(old) + 1);
	changed[0] = changed[0] == 'x' ? 'y' : 'x';
	*value = changed;
	r = visit_changed(m, path);
	*value = kept;
	return r;
}

static int mutate_bytes(const struct mutation *m, const struct walk_path *path,
			ProtobufCBinaryData *value)
{
	uint8_t one = 1;
	ProtobufCBinaryData kept = *value;
	int r;

	if (value->len > 0)
		value->data[value->len / 2] ^= 1;
	else
		*value = (ProtobufCBinaryData){.len = 1, .data = &one};
	r = visit_changed(m, path);
	if (kept.len > 0)
		kept.data[kept.len / 2] ^= 1;
	*value = kept;
	return r;
}

static int mutate_enum(const struct mutation *m, const struct walk_path *path, int *value)
{
	const ProtobufCEnumDescriptor *type = path->field->descriptor;
	int kept = *value;
	unsigned int i = 0;
	int r;

	while (i < type->n_values && type->values[i].value == kept)
		i++;
	*value = i < type->n_values ? type->values[i].value : kept + 1;
	r = visit_changed(m, path);
	*value = kept;
	return r;
}

static int mutate_number(const struct mutation *m, const struct walk_path *path, void *value)
{
	int r;

	/* The lowest bit: little-endian numbers of any width, and booleans. */
	*(uint8_t *)value ^= 1;
	r = visit_changed(m, path);
	*(uint8_t *)value ^= 1;
	return r;
}

static int mutate_leaf(const struct mutation *m, const struct walk_path *path, void *value)
{
	switch (path->field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return mutate_string(m, path, value);
	case PROTOBUF_C_TYPE_BYTES:
		return mutate_bytes(m, path, value);
	case PROTOBUF_C_TYPE_ENUM:
		return mutate_enum(m, path, value);
	default:
		return mutate_number(m, path, value);
	}
}

static int drop_last(const struct mutation *m, const struct walk_path *path, ProtobufCMessage *msg)
{
	size_t *n = (size_t *)((char *)msg + path->field->quantifier_offset);
	int r;

	if (path->field->label != PROTOBUF_C_LABEL_REPEATED || *n == 0)
		return 0;
	(*n)--;
	r = visit_changed(m, path);
	(*n)++;
	return r;
}

static int mutate_message(const struct mutation *m, const struct walk_path *up,
			  ProtobufCMessage *msg)
{
	for (unsigned int f = 0; f < msg->descriptor->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[f];
		struct walk_path path = {.up = up, .field = field, .index = WALK_NO_INDEX};
		int r = drop_last(m, &path, msg);

		for (size_t i = 0; r == 0 && i < walk_count(msg, field); i++) {
			void *value = walk_value(msg, field, i);

			if (field->label == PROTOBUF_C_LABEL_REPEATED)
				path.index = i;
			r = walk_is_message(field)
				    ? mutate_message(m, &path, *(ProtobufCMessage **)value)
				    : mutate_leaf(m, &path, value);
		}
		if (r != 0)
			return r;
	}
	return 0;
}

int mutate_each(struct context *ctx, ProtobufCMessage *msg,
		int (*visit)(void *data, const char *path), void *data)
{
	struct mutation m = {.ctx = ctx, .visit = visit, .data = data};

	return mutate_message(&m, NULL, msg);
}
