/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers share. Each fuzz-<parser>.c is linked twice: with libFuzzer (meson option
 * fuzzers, clang), and with replay.c, which feeds it its corpus as a unit test. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as text, in a block of its exact size so that a sanitizer sees any overrun. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		abort();
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}
