/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of addresses: where there is room. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct address_range {
	uint64_t start;
	uint64_t end;
};

/*
 * The lowest multiple of @align at or above @from where @size bytes touch none of the @n @used
 * ranges (any order, may overlap; sorted here in place) and end at or below @limit, with at least
 * @gap bytes to the next range above: a stack there needs room to grow. Returns 0: there is none.
 */
uint64_t layout_find_gap(struct address_range *used, size_t n, uint64_t size, uint64_t align,
			 uint64_t gap, uint64_t from, uint64_t limit);
