/* SPDX-License-Identifier: Apache-2.0 */
#include "util/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void strbuf_deinit(struct strbuf *sb)
{
	free(sb->text);
	*sb = (struct strbuf){0};
}

static bool strbuf_reserve(struct strbuf *sb, size_t more)
{
	size_t need = sb->len + more + 1;
	size_t room = MAX(sb->room, (size_t)128);
	char *text;

	if (sb->failed)
		return false;
	if (need <= sb->room)
		return true;
	while (room < need)
		room *= 2;
	text = realloc(sb->text, room);
	if (!text) {
		sb->failed = true;
		return false;
	}
	sb->text = text;
	sb->room = room;
	return true;
}

void strbuf_add(struct strbuf *sb, const void *bytes, size_t len)
{
	if (!strbuf_reserve(sb, len))
		return;
	memcpy(sb->text + sb->len, bytes, len);
	sb->len += len;
	sb->text[sb->len] = '\0';
}

void strbuf_puts(struct strbuf *sb, const char *s)
{
	strbuf_add(sb, s, strlen(s));
}

void strbuf_printf(struct strbuf *sb, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !strbuf_reserve(sb, (size_t)n))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(sb->text + sb->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	sb->len += (size_t)n;
}

const char *strbuf_text(struct strbuf *sb)
{
	if (sb->failed)
		return NULL;
	return sb->text ? sb->text : "";
}
