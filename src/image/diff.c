/* SPDX-License-Identifier: Apache-2.0 */
#include "image/diff.h"

#include <errno.h>
#include <string.h>

#include "image/text.h"
#include "image/walk.h"
#include "util/context.h"
#include "util/macro.h"
#include "util/strbuf.h"

enum { SHORT_BYTES = 16 }; /* byte strings up to this length are shown whole */

struct comparison {
	struct context *ctx;
	const struct diff *diff;
	int count;
};

/* ---- equality ------------------------------------------------------------------------------- */

/* Lists of plain numbers lie in memory as one block. */
static bool is_number(const ProtobufCFieldDescriptor *field)
{
	return field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_BYTES &&
	       field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_BOOL;
}

static bool value_equal(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
	if (walk_is_message(field))
		return message_equal(walk_message(a), walk_message(b));
	return walk_leaf_equal(field, a, b);
}

static bool field_equal(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *a,
			const ProtobufCMessage *b)
{
	size_t n = walk_count(a, field);

	if (n != walk_count(b, field))
		return false;
	if (n > 0 && is_number(field))
		return memcmp(walk_value(a, field, 0), walk_value(b, field, 0),
			      n * walk_size(field)) == 0;
	for (size_t i = 0; i < n; i++)
		if (!value_equal(field, walk_value(a, field, i), walk_value(b, field, i)))
			return false;
	return true;
}

bool message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	for (unsigned int f = 0; f < a->descriptor->n_fields; f++)
		if (!field_equal(&a->descriptor->fields[f], a, b))
			return false;
	return true;
}

/* ---- one difference ------------------------------------------------------------------------- */

static void side_text(struct strbuf *out, const ProtobufCFieldDescriptor *field, const void *value)
{
	if (!value) {
		strbuf_puts(out, "nothing");
	} else if (walk_is_message(field)) {
		strbuf_puts(out, "{");
		text_line(out, walk_message(value));
		strbuf_puts(out, "}");
	} else {
		text_leaf(out, field, value, SHORT_BYTES);
	}
}

/* Long byte strings (registers, xstate): where they part, instead of all of them. */
static bool bytes_text(struct strbuf *out, const struct difference *d)
{
	const ProtobufCBinaryData *a = d->a;
	const ProtobufCBinaryData *b = d->b;
	size_t i = 0;

	if (d->path->field->type != PROTOBUF_C_TYPE_BYTES || !a || !b || a->len != b->len ||
	    a->len <= SHORT_BYTES)
		return false;
	while (i < a->len && a->data[i] == b->data[i])
		i++;
	strbuf_printf(out, "byte %zu of %zu: 0x%02x != 0x%02x", i, a->len, a->data[i], b->data[i]);
	return true;
}

static bool ignored(const struct comparison *c, const struct difference *d)
{
	return c->diff->ignore && c->diff->ignore(c->diff->data, d);
}

static int report(struct comparison *c, const struct walk_path *path, const void *a, const void *b)
{
	_cleanup_strbuf_ struct strbuf text = {0};
	struct difference d = {.path = path, .a = a, .b = b};
	char where[WALK_PATH_MAX];

	if (ignored(c, &d))
		return 0;
	c->count++;
	if (!c->diff->found)
		return 0;
	walk_path_format(path, where, sizeof(where));
	strbuf_printf(&text, "%s: ", where);
	if (!bytes_text(&text, &d)) {
		side_text(&text, path->field, a);
		strbuf_puts(&text, " != ");
		side_text(&text, path->field, b);
	}
	d.text = strbuf_text(&text);
	if (!d.text)
		return err_oom(c->ctx);
	return c->diff->found(c->diff->data, &d);
}

/* ---- going down ----------------------------------------------------------------------------- */

static int compare_messages(struct comparison *c, const struct walk_path *path,
			    const ProtobufCMessage *a, const ProtobufCMessage *b);

static int compare_values(struct comparison *c, const struct walk_path *path, const void *a,
			  const void *b)
{
	if (!a || !b)
		return report(c, path, a, b);
	if (walk_is_message(path->field))
		return compare_messages(c, path, walk_message(a), walk_message(b));
	return walk_leaf_equal(path->field, a, b) ? 0 : report(c, path, a, b);
}

/*
 * Values that are equal at the end of both lists: with one inserted in the middle, what follows
 * must not be compared with its neighbour. 0 when the lengths are equal, since then a changed
 * value is likelier than a moved one.
 */
static size_t equal_tail(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *a,
			 const ProtobufCMessage *b)
{
	size_t n_a = walk_count(a, field);
	size_t n_b = walk_count(b, field);
	size_t max = MIN(n_a, n_b);
	size_t head = 0;
	size_t tail = 0;

	if (n_a == n_b)
		return 0;
	while (head < max &&
	       value_equal(field, walk_value(a, field, head), walk_value(b, field, head)))
		head++;
	while (tail < max - head && value_equal(field, walk_value(a, field, n_a - tail - 1),
						walk_value(b, field, n_b - tail - 1)))
		tail++;
	return tail;
}

static int compare_field(struct comparison *c, const struct walk_path *up,
			 const ProtobufCFieldDescriptor *field, const ProtobufCMessage *a,
			 const ProtobufCMessage *b)
{
	struct walk_path path = {.up = up, .field = field, .index = WALK_NO_INDEX};
	const struct difference whole = {.path = &path};
	size_t tail;
	size_t n_a;
	size_t n_b;

	if ((field->label == PROTOBUF_C_LABEL_REPEATED || walk_is_message(field)) &&
	    ignored(c, &whole))
		return 0;
	tail = equal_tail(field, a, b);
	n_a = walk_count(a, field) - tail;
	n_b = walk_count(b, field) - tail;
	for (size_t i = 0; i < MAX(n_a, n_b); i++) {
		int r;

		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			path.index = i;
		r = compare_values(c, &path, i < n_a ? walk_value(a, field, i) : NULL,
				   i < n_b ? walk_value(b, field, i) : NULL);
		if (r != 0)
			return r;
	}
	return 0;
}

static int compare_messages(struct comparison *c, const struct walk_path *path,
			    const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	for (unsigned int f = 0; f < a->descriptor->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &a->descriptor->fields[f];
		int r;

		if (field_equal(field, a, b))
			continue;
		r = compare_field(c, path, field, a, b);
		if (r != 0)
			return r;
	}
	return 0;
}

int message_diff(struct context *ctx, const struct diff *diff, const ProtobufCMessage *a,
		 const ProtobufCMessage *b)
{
	struct comparison c = {.ctx = ctx, .diff = diff};
	int r = compare_messages(&c, NULL, a, b);

	return r != 0 ? r : c.count;
}
