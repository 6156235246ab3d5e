/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of open files that belong to the outside, as users write them (--external, --inherit-fd), in
 * CRIU's syntax:
 *	pipe:[INODE], pipe[INODE] ........ an end of a pipe, as /proc/PID/fd shows it
 *	socket:[INODE], unix[INODE] ...... a socket
 *	tty[RDEV:DEV] .................... a terminal: st_rdev and st_dev, hexadecimal
 *	file[MNT_ID:INODE] ............... any other file: of /proc/PID/fdinfo, hexadecimal
 *	path/to/file, /path/to/file ...... a regular file of the image (--inherit-fd alone)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum resource_type {
	RESOURCE_PIPE,
	RESOURCE_SOCKET,
	RESOURCE_TTY,
	RESOURCE_FILE,
	RESOURCE_PATH,
};

struct resource {
	enum resource_type type;
	uint64_t first;	  /* RDEV or MNT_ID; 0 */
	uint64_t inode;	  /* or DEV */
	const char *path; /* RESOURCE_PATH: without leading slashes; borrowed from the text */
};

/* A descriptor of coppice's own that takes the place of a resource. */
struct inherited_fd {
	int fd;
	struct resource resource;
	const char *text; /* of the resource, as it was given; borrowed */
};

enum { RESOURCE_TEXT = 64 };

/* Reads the whole of @text. -EINVAL: it is no such name. */
int resource_parse(const char *text, struct resource *ret);
/* "fd[N]:RESOURCE". -EINVAL: it is none. */
int inherited_fd_parse(const char *text, struct inherited_fd *ret);
/* The one way to write a name that is no path. */
void resource_format(const struct resource *resource, char buf[RESOURCE_TEXT]);
bool resource_equal(const struct resource *a, const struct resource *b);
