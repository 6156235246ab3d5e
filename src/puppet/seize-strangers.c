/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that joined a PID namespace of the tree from outside (setns(), as nsenter and `docker
 * exec` do): no descendants of the root, but killed with the namespace's init, and its own. So
 * each process of a PID namespace whose init is in the tree, or of one below it, belongs to the
 * tree. Where all processes are in the coordinator's own namespace this costs a stat() for each
 * one of the machine.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "kernel/sys.h"
#include "puppet/seize.h"
#include "util/cleanup.h"
#include "util/context.h"

struct ns_id {
	dev_t dev;
	ino_t ino;
};

struct strangers {
	struct seizure *s;
	int proc;	     /* /proc */
	struct ns_id own;    /* the coordinator's PID namespace */
	bool listed;	     /* @inner is complete */
	struct ns_id *inner; /* PID namespaces whose init is in the tree */
	size_t n_inner;
};

static bool same(const struct ns_id *a, const struct ns_id *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* False: it is gone, or not for us to see. */
static bool ns_of(const struct strangers *st, const char *pid, struct ns_id *ret)
{
	char path[32];
	struct stat sb;

	(void)snprintf(path, sizeof(path), "%.16s/ns/pid", pid);
	if (fstatat(st->proc, path, &sb, 0) < 0)
		return false;
	*ret = (struct ns_id){sb.st_dev, sb.st_ino};
	return true;
}

/* The number that a process has in its own namespace; 0: it is gone. */
static pid_t innermost_number(struct strangers *st, pid_t pid)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_status status;

	if (proc_open(pid, &fd) < 0 || proc_read_status(fd, &st->s->scratch, &status) < 0)
		return 0;
	return status.ns_tgid.id[status.ns_tgid.n - 1];
}

static int list_inner(struct strangers *st)
{
	if (st->listed)
		return 0;
	st->listed = true;
	for (size_t i = 0; i < st->s->n_processes; i++) {
		pid_t pid = st->s->processes[i].pid;
		struct ns_id id, *slot;
		char name[16];

		(void)snprintf(name, sizeof(name), "%d", pid);
		if (!ns_of(st, name, &id) || same(&id, &st->own) || innermost_number(st, pid) != 1)
			continue;
		slot = arena_append(&st->s->scratch, &st->inner, &st->n_inner, sizeof(*slot));
		if (!slot)
			return err_oom(st->s->ctx);
		*slot = id;
	}
	return 0;
}

static bool is_inner(const struct strangers *st, const struct ns_id *id)
{
	for (size_t i = 0; i < st->n_inner; i++)
		if (same(&st->inner[i], id))
			return true;
	return false;
}

/* Is the namespace, or one above it, one of the tree's? */
static bool is_below_inner(const struct strangers *st, const char *pid)
{
	_cleanup_close_ int fd = -EBADF;
	char path[32];
	struct stat sb;

	(void)snprintf(path, sizeof(path), "%.16s/ns/pid", pid);
	fd = openat(st->proc, path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fstat(fd, &sb) == 0) {
		const struct ns_id id = {sb.st_dev, sb.st_ino};
		int parent;

		if (is_inner(st, &id))
			return true;
		parent = sys_ns_parent(fd); /* EPERM: above our own */
		close_guard(&fd);
		fd = parent;
	}
	return false;
}

static int look_at(struct strangers *st, const char *name, size_t *ret_n)
{
	pid_t pid = (pid_t)atoi(name);
	struct seized *process;
	struct ns_id id;
	int r;

	if (seizure_find(st->s, pid) || !ns_of(st, name, &id) || same(&id, &st->own))
		return 0;
	r = list_inner(st);
	if (r < 0 || !is_below_inner(st, name))
		return r;
	r = seizure_add(st->s, pid, &process);
	if (r == 0) {
		process->stranger = true;
		++*ret_n;
	}
	return r;
}

int seizure_add_strangers(struct seizure *s, size_t *ret_n)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	struct strangers st = {.s = s};
	struct dirent *entry;
	size_t n = 0;
	int r = 0;

	if (!dir)
		return err_sys(s->ctx, -errno, "opendir(/proc)");
	st.proc = dirfd(dir);
	if (!ns_of(&st, "self", &st.own))
		return err_sys(s->ctx, -errno, "stat(/proc/self/ns/pid)");
	while (r == 0 && (entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			r = look_at(&st, entry->d_name, &n);
	*ret_n = n;
	return r;
}
