/* SPDX-License-Identifier: Apache-2.0 */
#include "image/show.h"

#include <errno.h>

#include "image/text.h"
#include "image/walk.h"
#include "util/context.h"
#include "util/strbuf.h"

enum {
	SHOWN_BYTES = 32, /* of a byte string in text */
	LINE_WIDTH = 96,  /* a message that fits is shown in one line */
};

struct show {
	struct context *ctx;
	FILE *out;
	bool oom;
};

static void put(struct show *s, struct strbuf *sb)
{
	const char *text = strbuf_text(sb);

	if (text)
		(void)fputs(text, s->out); /* looked at once, by show_end */
	else
		s->oom = true;
}

static void indent(struct show *s, int depth)
{
	(void)fprintf(s->out, "%*s", depth * 2, "");
}

static int show_end(struct show *s)
{
	if (s->oom)
		return err_oom(s->ctx);
	errno = EIO;
	if (fflush(s->out) != 0 || ferror(s->out))
		return err_sys(s->ctx, -errno, "writing the output");
	return 0;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void text_message(struct show *s, const ProtobufCMessage *msg, int depth);

static bool has_messages(const ProtobufCMessage *msg)
{
	for (unsigned int f = 0; f < msg->descriptor->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[f];

		if (walk_is_message(field) && walk_count(msg, field) > 0)
			return true;
	}
	return false;
}

static bool text_one_line(struct show *s, const ProtobufCMessage *msg)
{
	_cleanup_strbuf_ struct strbuf line = {0};

	if (has_messages(msg))
		return false;
	text_line(&line, msg);
	if (line.len > LINE_WIDTH)
		return false;
	if (line.len == 0)
		strbuf_puts(&line, "{}"); /* it exists, though all in it is zero */
	(void)fputc(' ', s->out);
	put(s, &line);
	(void)fputc('\n', s->out);
	return true;
}

static void text_messages(struct show *s, const ProtobufCMessage *msg,
			  const ProtobufCFieldDescriptor *field, int depth)
{
	for (size_t i = 0; i < walk_count(msg, field); i++) {
		const ProtobufCMessage *below = walk_message(walk_value(msg, field, i));

		indent(s, depth);
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			(void)fprintf(s->out, "%s[%zu]:", field->name, i);
		else
			(void)fprintf(s->out, "%s:", field->name);
		if (text_one_line(s, below))
			continue;
		(void)fputc('\n', s->out);
		text_message(s, below, depth + 1);
	}
}

static void text_leaves(struct show *s, const ProtobufCMessage *msg,
			const ProtobufCFieldDescriptor *field, int depth)
{
	_cleanup_strbuf_ struct strbuf sb = {0};
	size_t n = walk_count(msg, field);

	if (n == 0 || (field->label != PROTOBUF_C_LABEL_REPEATED &&
		       walk_leaf_is_zero(field, walk_value(msg, field, 0))))
		return;
	indent(s, depth);
	strbuf_printf(&sb, "%s:", field->name);
	for (size_t i = 0; i < n; i++) {
		strbuf_puts(&sb, " ");
		text_leaf(&sb, field, walk_value(msg, field, i), SHOWN_BYTES);
	}
	strbuf_puts(&sb, "\n");
	put(s, &sb);
}

static void text_message(struct show *s, const ProtobufCMessage *msg, int depth)
{
	for (unsigned int f = 0; f < msg->descriptor->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[f];

		if (walk_is_message(field))
			text_messages(s, msg, field, depth);
		else
			text_leaves(s, msg, field, depth);
	}
}

int show_text(struct context *ctx, FILE *out, const ProtobufCMessage *msg)
{
	struct show s = {.ctx = ctx, .out = out};

	text_message(&s, msg, 0);
	return show_end(&s);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void json_message(struct show *s, const ProtobufCMessage *msg, int depth);

static void json_leaf(struct show *s, const ProtobufCFieldDescriptor *field, const void *value)
{
	_cleanup_strbuf_ struct strbuf sb = {0};
	const ProtobufCBinaryData *bytes = value;
	const char *text;
	bool quoted = false;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		text = *(const char *const *)value;
		text_quote_json(&sb, text ? text : "");
		put(s, &sb);
		return;
	case PROTOBUF_C_TYPE_BYTES:
		strbuf_puts(&sb, "\"");
		text_hex(&sb, bytes->data, bytes->len);
		strbuf_puts(&sb, "\"");
		put(s, &sb);
		return;
	case PROTOBUF_C_TYPE_ENUM:
		quoted = text_enum(field, value) != NULL;
		break;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FIXED64:
		quoted = true;
		break;
	default:
		break;
	}
	if (quoted)
		strbuf_puts(&sb, "\"");
	text_leaf(&sb, field, value, 0);
	if (quoted)
		strbuf_puts(&sb, "\"");
	put(s, &sb);
}

static void json_value(struct show *s, const ProtobufCFieldDescriptor *field, const void *value,
		       int depth)
{
	if (walk_is_message(field))
		json_message(s, walk_message(value), depth);
	else
		json_leaf(s, field, value);
}

static void json_list(struct show *s, const ProtobufCMessage *msg,
		      const ProtobufCFieldDescriptor *field, int depth)
{
	size_t n = walk_count(msg, field);

	(void)fputc('[', s->out);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			(void)fputc(',', s->out);
		if (walk_is_message(field)) {
			(void)fputc('\n', s->out);
			indent(s, depth + 1);
		} else if (i > 0) {
			(void)fputc(' ', s->out);
		}
		json_value(s, field, walk_value(msg, field, i), depth + 1);
	}
	if (n > 0 && walk_is_message(field)) {
		(void)fputc('\n', s->out);
		indent(s, depth);
	}
	(void)fputc(']', s->out);
}

static void json_message(struct show *s, const ProtobufCMessage *msg, int depth)
{
	const char *separator = "\n";

	(void)fputc('{', s->out);
	for (unsigned int f = 0; f < msg->descriptor->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[f];
		bool list = field->label == PROTOBUF_C_LABEL_REPEATED;

		if (!list && walk_count(msg, field) == 0)
			continue;
		(void)fputs(separator, s->out);
		indent(s, depth + 1);
		(void)fprintf(s->out, "\"%s\": ", field->name);
		if (list)
			json_list(s, msg, field, depth + 1);
		else
			json_value(s, field, walk_value(msg, field, 0), depth + 1);
		separator = ",\n";
	}
	(void)fputc('\n', s->out);
	indent(s, depth);
	(void)fputc('}', s->out);
}

int show_json(struct context *ctx, FILE *out, const ProtobufCMessage *msg)
{
	struct show s = {.ctx = ctx, .out = out};

	json_message(&s, msg, 0);
	(void)fputc('\n', out);
	return show_end(&s);
}
