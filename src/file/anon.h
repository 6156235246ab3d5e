/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are on no file system: all share one inode, and the link's text tells what they are. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kind/file.h"

/* Is it the kernel's "anon_inode:" + @name? */
static inline bool file_is_anon(const struct file_probe *probe, const char *name)
{
	static const char prefix[] = "anon_inode:";
	size_t len = strlen(prefix);

	return !(probe->info.flags & O_PATH) && strncmp(probe->link, prefix, len) == 0 &&
	       strcmp(probe->link + len, name) == 0;
}
