/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead. What the files of /proc say is made up when they are read, by whoever reads them,
 * and of a stopped task it stays the same. So while the coordinator works on one process, a thread
 * reads those files of the next ones that it will want.
 *
 * The thread does nothing else: it decides nothing, changes nothing, and no result depends on it.
 * What it has not come to yet, or could not read, the coordinator reads by itself.
 *
 *	dirs.ahead = proc_ahead_start(fds, n, wanted);
 *	for each process, in the order of @fds:
 *		struct proc_dir dir = {.fd = fds[i], .ahead = ahead, .place = i};
 *		r = proc_dir_read(&dir, "status", &text, &len);
 *	ahead = proc_ahead_end(ahead);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct proc_ahead;

struct proc_wanted {
	const char *name; /* below /proc/PID */
	bool link;	  /* where it points to, instead of its content */
};

/* A directory /proc/PID, and whoever reads it ahead. Owns nothing. */
struct proc_dir {
	int fd;
	struct proc_ahead *ahead; /* NULL: nobody does */
	size_t place;		  /* the directory's index there */
};

/*
 * Starts reading the files of @wanted (ended by a NULL name) below each of the @n directories @fds
 * (-EBADF: none). Both must stay until the end. NULL if it is not worth it, or not possible.
 */
struct proc_ahead *proc_ahead_start(const int *fds, size_t n, const struct proc_wanted *wanted);
/* Ends it. Returns NULL; takes NULL. */
struct proc_ahead *proc_ahead_end(struct proc_ahead *ahead);

/*
 * What was read of @name: true, and the text is the caller's (malloc'ed, NUL-terminated). Going to
 * the next directory drops what was read of those before.
 */
bool proc_dir_take(const struct proc_dir *dir, const char *name, char **ret_text, size_t *ret_len);
/* As proc_read_file() and readlinkat(), but for what was read ahead. 0 or -errno, as those. */
int proc_dir_read(const struct proc_dir *dir, const char *name, char **ret_text, size_t *ret_len);
int proc_dir_link(const struct proc_dir *dir, const char *name, char **ret_target);
