/* SPDX-License-Identifier: Apache-2.0 */
/* A growing string. An allocation failure is remembered and reported once, at the end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/cleanup.h"
#include "util/macro.h"

struct strbuf {
	char *text; /* always terminated, or NULL while nothing was added */
	size_t len;
	size_t room;
	bool failed;
};

void strbuf_deinit(struct strbuf *sb);
#define _cleanup_strbuf_ _cleanup_(strbuf_deinit)

void strbuf_add(struct strbuf *sb, const void *bytes, size_t len);
void strbuf_puts(struct strbuf *sb, const char *s);
void strbuf_printf(struct strbuf *sb, const char *fmt, ...) _printf_(2, 3);
/* The text ("" when nothing was added), or NULL if any addition failed. Owned by @sb. */
const char *strbuf_text(struct strbuf *sb);
