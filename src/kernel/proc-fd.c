/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/fdinfo/N: the lines that every open file has, then those of its kind ("eventfd-count",
 * "tfd", "lock", ...), which are kept as text for the module that knows the kind.
 */
#include "kernel/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/proc-ahead.h"
#include "kernel/proc-read.h"
#include "kernel/scan.h"
#include "util/cleanup.h"

int parse_fdinfo(const char *text, struct arena *arena, struct proc_fdinfo *ret)
{
	struct proc_fdinfo info = {};
	const char *at = text;

	if (!scan_literal(&at, "pos:\t") || !scan_i64(&at, &info.pos) ||
	    !scan_literal(&at, "\nflags:\t") || !scan_u32(&at, 8, &info.flags) ||
	    !scan_literal(&at, "\nmnt_id:\t") || !scan_u32(&at, 10, &info.mnt_id))
		return -EBADMSG;
	/* since 5.14 */
	if (scan_literal(&at, "\nino:\t") && !scan_u64(&at, 10, &info.ino))
		return -EBADMSG;
	if (!scan_char(&at, '\n') && *at != '\0')
		return -EBADMSG;
	info.rest = arena_strdup(arena, at);
	if (!info.rest)
		return -ENOMEM;
	*ret = info;
	return 0;
}

int proc_read_fdinfo(const struct proc_dir *dir, int number, struct arena *arena,
		     struct proc_fdinfo *ret)
{
	_cleanup_free_ char *text = NULL;
	char name[32];
	int r;

	(void)snprintf(name, sizeof(name), "fdinfo/%d", number);
	r = proc_dir_read(dir, name, &text, NULL);
	return r < 0 ? r : parse_fdinfo(text, arena, ret);
}

int proc_read_own_fdinfo(int fd, struct arena *arena, struct proc_fdinfo *ret)
{
	_cleanup_free_ char *text = NULL;
	char path[48];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	r = proc_read_file(AT_FDCWD, path, &text, NULL);
	return r < 0 ? r : parse_fdinfo(text, arena, ret);
}
