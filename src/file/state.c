/* SPDX-License-Identifier: Apache-2.0 */
#include "file/state.h"

struct collect_files *collect_files_get(struct collect *c)
{
	struct collect_files *files = c->files;

	if (files)
		return files;
	files = arena_new(c->arena, struct collect_files);
	if (!files)
		return NULL;
	chains_init(&files->inodes, c->arena);
	chains_init(&files->mappings, c->arena);
	chains_init(&files->buckets, c->arena);
	chains_init(&files->pipes, c->arena);
	c->files = files;
	return files;
}
