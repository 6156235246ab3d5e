/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scanner over NUL-terminated text, for the /proc parsers: no allocation, no locale, no copy.
 * Each function moves the cursor past what it recognised and says whether there was any; a number
 * that does not fit is not recognised. On false the cursor may have moved: the text is then refused
 * as a whole.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* Blanks inside a line; never moves past its end. */
static inline void scan_blanks(const char **at)
{
	while (**at == ' ' || **at == '\t')
		(*at)++;
}

static inline bool scan_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static inline bool scan_literal(const char **at, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(*at, word, len) != 0)
		return false;
	*at += len;
	return true;
}

/* The value of a lower-case hexadecimal digit, or 16: greater than any base. */
static inline unsigned int scan_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned int)(c - 'a') + 10;
	return 16;
}

/* Unsigned digits, without sign, prefix or blanks before them. */
static inline bool scan_u64(const char **at, unsigned int base, uint64_t *ret)
{
	const char *p = *at;
	uint64_t value = 0;
	unsigned int digit;

	while ((digit = scan_digit(*p)) < base) {
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			return false;
		p++;
	}
	if (p == *at)
		return false;
	*at = p;
	*ret = value;
	return true;
}

static inline bool scan_u32(const char **at, unsigned int base, uint32_t *ret)
{
	uint64_t value;

	if (!scan_u64(at, base, &value) || value > UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* Decimal with an optional minus sign. */
static inline bool scan_i64(const char **at, int64_t *ret)
{
	bool negative = scan_char(at, '-');
	uint64_t value;

	if (!scan_u64(at, 10, &value) || value > (uint64_t)INT64_MAX + negative)
		return false;
	*ret = (int64_t)(negative ? -value : value);
	return true;
}

static inline bool scan_int(const char **at, int *ret)
{
	int64_t value;

	if (!scan_i64(at, &value) || value < INT_MIN || value > INT_MAX)
		return false;
	*ret = (int)value;
	return true;
}

static inline const char *scan_line_end(const char *at)
{
	return strchrnul(at, '\n');
}

/* The start of the next line, or the end of the text. */
static inline const char *scan_next_line(const char *at)
{
	at = scan_line_end(at);
	return *at == '\n' ? at + 1 : at;
}
