/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user namespace shows to those inside. A map read from within names the parent's ids
 * (map_show functions of kernel/user_namespace.c), which is what they are written as again; and
 * some namespaces have no process at all. So a child of the coordinator joins, reads its own
 * files, and is gone. It runs nothing of the tree, and the tree does not see it.
 */
#include "ns/user-read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/scan.h"
#include "kernel/sys.h"
#include "ns/ns.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { MAP_TEXT = 16384 }; /* 340 lines, the most that there can be (UID_GID_MAP_MAX_EXTENTS) */

/* What the child has read. */
struct report {
	int error; /* 0, or -errno of @what */
	char what[64];
	uid_t owner;
	char uid_map[MAP_TEXT];
	char gid_map[MAP_TEXT];
	char setgroups[16];
	char special[64]; /* something that a new namespace has otherwise, and that is not kept */
};

/* ---- in the child ---------------------------------------------------------------------------- */

static void fail(struct report *report, int error, const char *what)
{
	report->error = error;
	(void)snprintf(report->what, sizeof(report->what), "%s", what);
}

static void read_text(struct report *report, const char *path, char *to, size_t size)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = io_read_file(AT_FDCWD, path, &text, &len);

	if (r >= 0 && len >= size)
		r = -E2BIG;
	if (r < 0)
		fail(report, r, path);
	else
		memcpy(to, text, len + 1);
}

/* The limits of a new user namespace are all INT_MAX (create_user_ns()). */
static void read_limits(struct report *report)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc/sys/user");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *text = NULL;
		const char *at;
		int value;

		if (entry->d_name[0] == '.' ||
		    io_read_file(dirfd(dir), entry->d_name, &text, NULL) < 0)
			continue;
		at = text;
		if (!scan_int(&at, &value) || value != INT_MAX)
			(void)snprintf(report->special, sizeof(report->special),
				       "a limit of its own, user.%.30s", entry->d_name);
	}
}

/* Projects are for the quotas of some filesystems; a map for them is hardly ever written. */
static void read_projects(struct report *report)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (io_read_file(AT_FDCWD, "/proc/self/projid_map", &text, &len) >= 0 && len > 0)
		(void)snprintf(report->special, sizeof(report->special), "a map of project ids");
}

static void read_inside(struct report *report, int fd _unused_)
{
	read_text(report, "/proc/self/uid_map", report->uid_map, sizeof(report->uid_map));
	read_text(report, "/proc/self/gid_map", report->gid_map, sizeof(report->gid_map));
	read_text(report, "/proc/self/setgroups", report->setgroups, sizeof(report->setgroups));
	read_limits(report);
	read_projects(report);
}

static void read_owner(struct report *report, int fd)
{
	int r = sys_ns_owner_uid(fd, &report->owner);

	if (r < 0)
		fail(report, r, "ioctl(NS_GET_OWNER_UID)");
}

/* ---- the child itself ------------------------------------------------------------------------ */

static int await(struct context *ctx, pid_t pid, int socket, struct report *report)
{
	ssize_t n = 0;
	size_t got = 0;

	while (got < sizeof(*report)) {
		n = read(socket, (char *)report + got, sizeof(*report) - got);
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (got < sizeof(*report))
		return err_msg(ctx, -EIO, "a process of coppice's own died at its start");
	return report->error < 0 ? err_sys(ctx, report->error, "%s", report->what) : 0;
}

/* Has a child that is in user namespace @ns (-EBADF: our own) fill in the report. */
static int report_from(struct context *ctx, int ns, void (*fill)(struct report *report, int fd),
		       int fd, struct report *ret)
{
	_cleanup_close_ int near = -EBADF, far = -EBADF;
	int ends[2];
	pid_t pid;

	*ret = (struct report){.error = 0};
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(ctx, -errno, "pipe2()");
	near = ends[0];
	far = ends[1];
	pid = fork();
	if (pid < 0)
		return err_sys(ctx, -errno, "fork()");
	if (pid == 0) {
		if (ns >= 0 && setns(ns, CLONE_NEWUSER) < 0)
			fail(ret, -errno, "setns(CLONE_NEWUSER)");
		else
			fill(ret, fd);
		_exit(io_write_all(far, ret, sizeof(*ret)) < 0);
	}
	close_guard(&far);
	far = -EBADF;
	return await(ctx, pid, near, ret);
}

/* ---- for collecting -------------------------------------------------------------------------- */

int id_map_parse(struct arena *arena, const char *text, Coppice__IdMap ***ret, size_t *ret_n)
{
	Coppice__IdMap **maps = NULL;
	size_t n = 0;

	for (const char *at = text; *at != '\0'; at = scan_next_line(at)) {
		Coppice__IdMap **slot = arena_append(arena, &maps, &n, sizeof(*slot));
		Coppice__IdMap *map = arena_new(arena, Coppice__IdMap);
		const char *word = at;

		if (!slot || !map)
			return -ENOMEM;
		*slot = map;
		coppice__id_map__init(map);
		scan_blanks(&word);
		if (!scan_u32(&word, 10, &map->inside))
			return -EBADMSG;
		scan_blanks(&word);
		if (!scan_u32(&word, 10, &map->outside))
			return -EBADMSG;
		scan_blanks(&word);
		if (!scan_u32(&word, 10, &map->count) || map->count == 0)
			return -EBADMSG;
	}
	*ret = maps;
	*ret_n = n;
	return 0;
}

static int take_report(struct collect *c, const struct collect_process *p,
		       const struct report *report, Coppice__UserNs *msg)
{
	int r = id_map_parse(c->arena, report->uid_map, &msg->uid_map, &msg->n_uid_map);

	if (r == 0)
		r = id_map_parse(c->arena, report->gid_map, &msg->gid_map, &msg->n_gid_map);
	if (r < 0)
		return err_sys(c->ctx, r, "/proc/PID/uid_map in the user namespace of process %d",
			       p->pid);
	msg->setgroups_denied = strncmp(report->setgroups, "deny", 4) == 0;
	if (report->special[0] == '\0')
		return 0;
	return collect_refuse(c, NULL, "%s: its user namespace has %s, which cannot be kept yet",
			      collect_name(c, p), report->special);
}

int user_ns_read(struct collect *c, const struct collect_process *p, int fd, Coppice__UserNs *msg)
{
	struct report *report = arena_new(c->arena, struct report);
	int r;

	if (!report)
		return err_oom(c->ctx);
	r = report_from(c->ctx, fd, read_inside, -EBADF, report);
	if (r < 0)
		return err_while(c->ctx, r, "looking into the user namespace of %s",
				 collect_name(c, p));
	return take_report(c, p, report, msg);
}

int user_ns_read_owner(struct context *ctx, int fd, int parent, uid_t *ret)
{
	struct report report;
	int r = report_from(ctx, parent, read_owner, fd, &report);

	if (r < 0)
		return err_while(ctx, r, "asking for the owner of a user namespace");
	*ret = report.owner;
	return 0;
}
