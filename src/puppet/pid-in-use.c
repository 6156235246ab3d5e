/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has a number that clone3(set_tid) refused: a process, a thread of one, or a process group
 * or session whose leader has died (the kernel keeps a struct pid while anybody refers to it).
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "kernel/proc.h"
#include "puppet/made.h"
#include "util/cleanup.h"
#include "util/context.h"

static int read_stat(pid_t pid, struct proc_stat *ret_stat)
{
	_cleanup_close_ int fd = -EBADF;
	int r = proc_open(pid, &fd);

	return r < 0 ? r : proc_read_stat(fd, ret_stat);
}

/* A process whose group or session has the number. */
static bool find_member(pid_t id, struct proc_stat *ret_stat)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 && read_stat(pid, ret_stat) == 0 &&
		    (ret_stat->pgrp == id || ret_stat->session == id))
			return true;
	}
	return false;
}

int made_pid_in_use(struct context *ctx, pid_t pid)
{
	struct proc_stat stat;

	if (read_stat(pid, &stat) == 0) {
		(void)err_sys(ctx, -EEXIST, "clone3: PID %d is in use by process or thread %d (%s)",
			      pid, pid, stat.comm);
		return err_hint(ctx, -EEXIST,
				"end it, or restore into a new PID namespace (--new-pidns)");
	}
	if (find_member(pid, &stat)) {
		(void)err_sys(
			ctx, -EEXIST,
			"clone3: PID %d is in use as %s of process %d (%s), whose leader has died",
			pid, stat.session == pid ? "session" : "process group", stat.pid,
			stat.comm);
		return err_hint(
			ctx, -EEXIST,
			"end that process, or restore into a new PID namespace (--new-pidns)");
	}
	(void)err_sys(ctx, -EEXIST, "clone3: PID %d is in use", pid);
	return err_hint(ctx, -EEXIST,
			"try again, or restore into a new PID namespace (--new-pidns)");
}
