/* SPDX-License-Identifier: Apache-2.0 */
#include "image/text.h"

#include <inttypes.h>
#include <stdint.h>

#include "image/walk.h"
#include "util/macro.h"
#include "util/strbuf.h"

enum { LINE_BYTES = 16 }; /* of a byte string in text_line */

/* ---- strings -------------------------------------------------------------------------------- */

/* The length of the well-formed UTF-8 sequence at @s (NUL-terminated), 0: there is none. */
static size_t utf8_len(const unsigned char *s, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
	uint32_t code;

	if (n == 0 || s[0] >= 0xf8)
		return 0;
	code = n == 1 ? s[0] : s[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return n;
}

/* C0 and C1 controls, DEL, and the characters that change the direction of text. */
static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200e && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

void text_quote(struct strbuf *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	strbuf_puts(out, "\"");
	while (*p != '\0') {
		uint32_t code = 0;
		size_t n = utf8_len(p, &code);

		if (n == 0 || is_control(code)) {
			n = MAX(n, (size_t)1);
			for (size_t i = 0; i < n; i++)
				strbuf_printf(out, "\\x%02x", p[i]);
		} else {
			if (code == '"' || code == '\\')
				strbuf_puts(out, "\\");
			strbuf_add(out, p, n);
		}
		p += n;
	}
	strbuf_puts(out, "\"");
}

void text_quote_json(struct strbuf *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	strbuf_puts(out, "\"");
	while (*p != '\0') {
		uint32_t code = 0;
		size_t n = utf8_len(p, &code);

		if (n == 0) {
			strbuf_printf(out, "\\udc%02x", *p);
			n = 1;
		} else if (is_control(code)) {
			strbuf_printf(out, "\\u%04" PRIx32, code);
		} else {
			if (code == '"' || code == '\\')
				strbuf_puts(out, "\\");
			strbuf_add(out, p, n);
		}
		p += n;
	}
	strbuf_puts(out, "\"");
}

void text_hex(struct strbuf *out, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = bytes;
	char chunk[128];

	while (len > 0) {
		size_t n = MIN(len, sizeof(chunk) / 2);

		for (size_t i = 0; i < n; i++) {
			chunk[2 * i] = digits[p[i] >> 4];
			chunk[2 * i + 1] = digits[p[i] & 15];
		}
		strbuf_add(out, chunk, 2 * n);
		p += n;
		len -= n;
	}
}

/* ---- values --------------------------------------------------------------------------------- */

const char *text_enum(const ProtobufCFieldDescriptor *field, const void *value)
{
	const ProtobufCEnumValue *known =
		protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)value);

	return known ? known->name : NULL;
}

static void text_bytes(struct strbuf *out, const ProtobufCBinaryData *bytes, size_t max_bytes)
{
	text_hex(out, bytes->data, MIN(bytes->len, max_bytes));
	if (bytes->len > max_bytes)
		strbuf_printf(out, "... (%zu bytes)", bytes->len);
	else if (bytes->len == 0)
		strbuf_puts(out, "(no bytes)");
}

void text_leaf(struct strbuf *out, const ProtobufCFieldDescriptor *field, const void *value,
	       size_t max_bytes)
{
	const char *name;
	const char *s;

	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		strbuf_printf(out, "%" PRId32, *(const int32_t *)value);
		break;
	case PROTOBUF_C_TYPE_UINT32:
		strbuf_printf(out, "%" PRIu32, *(const uint32_t *)value);
		break;
	case PROTOBUF_C_TYPE_FIXED32:
		strbuf_printf(out, "0x%" PRIx32, *(const uint32_t *)value);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		strbuf_printf(out, "%" PRId64, *(const int64_t *)value);
		break;
	case PROTOBUF_C_TYPE_UINT64:
		strbuf_printf(out, "%" PRIu64, *(const uint64_t *)value);
		break;
	case PROTOBUF_C_TYPE_FIXED64:
		strbuf_printf(out, "0x%" PRIx64, *(const uint64_t *)value);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		strbuf_printf(out, "%.9g", (double)*(const float *)value);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		strbuf_printf(out, "%.17g", *(const double *)value);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		strbuf_puts(out, *(const protobuf_c_boolean *)value ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		name = text_enum(field, value);
		if (name)
			strbuf_puts(out, name);
		else
			strbuf_printf(out, "%d", *(const int *)value);
		break;
	case PROTOBUF_C_TYPE_STRING:
		s = *(const char *const *)value;
		text_quote(out, s ? s : "");
		break;
	case PROTOBUF_C_TYPE_BYTES:
		text_bytes(out, value, max_bytes);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		break;
	}
}

static void line_field(struct strbuf *out, size_t start, const ProtobufCMessage *msg,
		       const ProtobufCFieldDescriptor *field)
{
	size_t n = walk_count(msg, field);

	if (n == 0)
		return;
	if (field->label != PROTOBUF_C_LABEL_REPEATED &&
	    walk_leaf_is_zero(field, walk_value(msg, field, 0)))
		return;
	strbuf_printf(out, "%s%s=", out->len > start ? " " : "", field->name);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_puts(out, ",");
		text_leaf(out, field, walk_value(msg, field, i), LINE_BYTES);
	}
}

void text_line(struct strbuf *out, const ProtobufCMessage *msg)
{
	size_t start = out->len;

	for (unsigned int f = 0; f < msg->descriptor->n_fields; f++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[f];

		if (!walk_is_message(field))
			line_field(out, start, msg, field);
	}
}
