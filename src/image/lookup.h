/* SPDX-License-Identifier: Apache-2.0 */
/* Finding records in lists that are sorted. */
#pragma once

#include <stdlib.h>

#include "image/checkpoint.pb-c.h"

static inline int lookup_compare_fd(const void *key, const void *element)
{
	uint32_t number = *(const uint32_t *)key;
	const Coppice__Fd *fd = *(Coppice__Fd *const *)element;

	return (number > fd->number) - (number < fd->number);
}

/* What a table has by a number, or NULL. */
static inline const Coppice__Fd *lookup_fd(const Coppice__FdTable *table, uint32_t number)
{
	Coppice__Fd *const *fd = NULL;

	if (table->n_fds > 0)
		fd = bsearch(&number, table->fds, table->n_fds, sizeof(*table->fds),
			     lookup_compare_fd);
	return fd ? *fd : NULL;
}
