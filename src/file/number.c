/* SPDX-License-Identifier: Apache-2.0 */
#include "file/number.h"

#include "kernel/proc.h"
#include "util/cleanup.h"

pid_t number_in_tree(const struct collect *c, int type, pid_t pid)
{
	for (size_t i = 0; i < c->n_processes; i++) {
		const struct collect_process *p = &c->processes[i];

		if (type == F_OWNER_PID && p->pid == pid)
			return p->msg->pid[0];
		if (type == F_OWNER_PGRP && p->stat.pgrp == pid)
			return p->msg->pgid[0];
		for (size_t k = 0; type == F_OWNER_TID && k < p->n_threads; k++)
			if (p->threads[k].tid == pid)
				return p->threads[k].msg->tid[0];
	}
	return 0;
}

/* The group of a process that is there, as the coordinator sees it. */
static pid_t group_of(pid_t pid)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_stat stat;

	return proc_open(pid, &fd) < 0 || proc_read_stat(fd, &stat) < 0 ? 0 : stat.pgrp;
}

pid_t number_here(const struct rebuild *r, int type, pid_t number)
{
	for (size_t i = 0; i < r->n_processes; i++) {
		const struct rebuild_process *p = &r->processes[i];

		if (type == F_OWNER_PID && p->msg->pid[0] == number)
			return p->pid;
		if (type == F_OWNER_PGRP && p->msg->pgid[0] == number)
			return group_of(p->pid);
		for (size_t k = 0; type == F_OWNER_TID && k < p->n_threads; k++)
			if (p->threads[k].msg->tid[0] == number)
				return p->threads[k].puppet->tid;
	}
	return 0;
}
