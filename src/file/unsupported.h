/* SPDX-License-Identifier: Apache-2.0 */
/* Open files that are refused although the kernel's name for them is known, each with its reason. */
#pragma once

#include <stdint.h>

struct file_unsupported {
	const char *link; /* what /proc/PID/fd/N begins with */
	uint64_t fs_type; /* statfs f_type, where a file could have a path like that; else 0 */
	const char *what; /* "a userfaultfd" */
	const char *why;
};

/* NULL: it is none of these. */
const struct file_unsupported *file_unsupported_find(const char *link, uint64_t fs_type);
