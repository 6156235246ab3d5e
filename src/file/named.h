/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file without a name while it has one, so that it can be opened as it was: with the text that
 * /proc/PID/fd/N shows, and with O_NOFOLLOW. Private to src/file.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct rebuild;

struct named {
	int dir; /* owned; -EBADF */
	char name[NAME_MAX + 1];
	bool there;
	bool directory;
};

/* The directory of @path, or the nearest one above that still exists; O_PATH, owned by the caller. */
int named_directory(struct rebuild *r, const char *path, int *ret_fd);

/* An empty regular file, FIFO or directory (@mode) at @path, under another name if that is taken. */
int named_make(struct rebuild *r, const char *path, mode_t mode, struct named *ret);
/* One more name, @path or another if that is taken, for the file that @fd refers to. */
int named_link(struct rebuild *r, int fd, const char *path, struct named *ret);
/* Opens it with the open-time part of @flags. */
int named_open(struct rebuild *r, const struct named *named, uint32_t flags, int *ret_fd);
/* Takes the name away. Keeps errno. */
void named_deinit(struct named *named);
