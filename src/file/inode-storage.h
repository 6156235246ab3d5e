/* SPDX-License-Identifier: Apache-2.0 */
/* The message of an inode from what one sees of it; private to src/file. */
#pragma once

#include <sys/stat.h>

#include "kind/collect.h"

/* A way to an inode: a magic link, which leads to the thing itself and not to what its name is now. */
struct inode_sight {
	const char *magic; /* "/proc/812/fd/7", "/proc/812/map_files/..."; arena */
	const char *text;  /* the link's text; arena */
	struct stat st;	   /* of what it leads to */
	bool leased;	   /* opening it would break a lease of the tree's own */
};

/* Why an inode cannot be kept, for collect_refuse. */
struct inode_refusal {
	const char *why; /* NULL: it can */
	const char *hint;
};

/* Does the text lead to the same file now? */
bool inode_path_leads_to(const struct inode_sight *sight);
/* Is the text that of a name which was removed? */
bool inode_name_unlinked(const struct inode_sight *sight);
/* The path in the text, without the kernel's remark that it was removed; arena. */
char *inode_name(struct arena *arena, const struct inode_sight *sight);

/* A file of which no name was known (INODE_STORAGE_HANDLE) was seen by one that leads to it. */
int inode_found_by(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg);

/* Fills @msg but for its id, or says in @refusal why it is not to be used. */
int inode_describe(struct collect *c, const struct inode_sight *sight, Coppice__Inode *msg,
		   struct inode_refusal *refusal);
