/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who outside the tree has a side of its pseudo terminals open. The kernel does not say; the links of
 * every process do, by device number, and kcmp() for masters, which all have the same. Their death
 * would hang up the others.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "file/ptys.h"
#include "file/state.h"
#include "kernel/scan.h"
#include "kernel/sys.h"
#include "util/cleanup.h"

enum { TTYAUX_MAJOR = 5, PTMX_MINOR = 2 };

static bool in_tree(const struct collect *c, pid_t pid)
{
	for (size_t i = 0; i < c->n_processes; i++)
		if (c->processes[i].pid == pid)
			return true;
	return pid == getpid();
}

static int note(struct collect *c, pid_t pid, int fd, const struct stat *st)
{
	struct collect_files *files = c->files;
	struct outside_tty *slot;

	slot = arena_append(c->arena, &files->outside_ttys, &files->n_outside_ttys, sizeof(*slot));
	if (!slot)
		return err_oom(c->ctx);
	*slot = (struct outside_tty){.pid = pid, .fd = fd, .dev = st->st_dev, .rdev = st->st_rdev};
	return 0;
}

/* What a process that dies meanwhile had is of no interest. */
static int look_at(struct collect *c, pid_t pid)
{
	_cleanup_close_ int proc_fd = -EBADF;
	int *numbers;
	size_t n;
	int r = 0;

	if (proc_open(pid, &proc_fd) < 0 ||
	    proc_read_numbers(proc_fd, "fd", c->arena, &numbers, &n) < 0)
		return 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		char name[32];
		struct stat st;

		(void)snprintf(name, sizeof(name), "fd/%d", numbers[i]);
		if (fstatat(proc_fd, name, &st, 0) < 0 || !S_ISCHR(st.st_mode))
			continue;
		if (pty_is_slave(st.st_rdev) || st.st_rdev == makedev(TTYAUX_MAJOR, PTMX_MINOR))
			r = note(c, pid, numbers[i], &st);
	}
	return r;
}

static int look_at_all(struct collect *c)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return err_sys(c->ctx, -errno, "opendir(/proc)");
	while (r == 0 && (entry = readdir(dir))) {
		const char *at = entry->d_name;
		uint64_t pid;

		if (scan_u64(&at, 10, &pid) && *at == '\0' && !in_tree(c, (pid_t)pid))
			r = look_at(c, (pid_t)pid);
	}
	c->files->outside_ttys_read = r == 0;
	return r;
}

static bool is_side(const struct outside_tty *tty, const struct pty_node *node)
{
	if (pty_is_slave(tty->rdev))
		return tty->dev == node->dev && tty->rdev == node->st.st_rdev;
	return sys_kcmp(tty->pid, node->master->process->puppet->tid, KCMP_FILE,
			(unsigned long)tty->fd, (unsigned long)node->master->number) == 0;
}

int pty_is_open_outside(struct collect *c, const struct pty_node *node, pid_t *ret_pid)
{
	struct collect_files *files = c->files;
	int r = files->outside_ttys_read ? 0 : look_at_all(c);

	for (size_t i = 0; r == 0 && i < files->n_outside_ttys; i++) {
		if (!is_side(&files->outside_ttys[i], node))
			continue;
		*ret_pid = files->outside_ttys[i].pid;
		return 1;
	}
	return r;
}
