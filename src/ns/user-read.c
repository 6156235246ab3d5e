/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user namespace shows to those inside. A map read from within names the parent's ids
 * (map_show functions of kernel/user_namespace.c), which is what they are written as again; and
 * some namespaces have no process at all. So a child of the coordinator joins, reads its own
 * files, and is gone. It runs nothing of the tree, and the tree does not see it. Limits below /proc/sys/user
 * are written the same way.
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
	char projid_map[MAP_TEXT];
	char setgroups[16];
	char limits
		[1024]; /* lines of name and value, of those that a new namespace has otherwise */
};

/* ---- in the child ---------------------------------------------------------------------------- */

static void fail(struct report *report, int error, const char *what)
{
	report->error = error;
	(void)snprintf(report->what, sizeof(report->what), "%.63s", what);
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

static void note_limit(struct report *report, const char *name, int value)
{
	size_t len = strlen(report->limits), room = sizeof(report->limits) - len;

	if ((size_t)snprintf(report->limits + len, room, "%s %d\n", name, value) >= room)
		fail(report, -E2BIG, name);
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
		if (!scan_int(&at, &value))
			fail(report, -EBADMSG, entry->d_name);
		else if (value != INT_MAX)
			note_limit(report, entry->d_name, value);
	}
}

static void read_inside(struct report *report, const void *data _unused_)
{
	read_text(report, "/proc/self/uid_map", report->uid_map, sizeof(report->uid_map));
	read_text(report, "/proc/self/gid_map", report->gid_map, sizeof(report->gid_map));
	read_text(report, "/proc/self/projid_map", report->projid_map, sizeof(report->projid_map));
	read_text(report, "/proc/self/setgroups", report->setgroups, sizeof(report->setgroups));
	read_limits(report);
}

static void read_owner(struct report *report, const void *fd)
{
	int r = sys_ns_owner_uid(*(const int *)fd, &report->owner);

	if (r < 0)
		fail(report, r, "ioctl(NS_GET_OWNER_UID)");
}

static void write_limits(struct report *report, const void *data)
{
	const Coppice__UserNs *msg = data;

	for (size_t i = 0; i < msg->n_limits; i++) {
		const Coppice__UserLimit *limit = msg->limits[i];
		char path[80], value[16];
		int fd;

		(void)snprintf(path, sizeof(path), "/proc/sys/user/%.60s", limit->name);
		(void)snprintf(value, sizeof(value), "%d", limit->value);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, value, strlen(value)) < 0)
			fail(report, -errno, path);
	}
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
static int report_from(struct context *ctx, int ns,
		       void (*fill)(struct report *report, const void *data), const void *data,
		       struct report *ret)
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
			fill(ret, data);
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

static int take_limits(struct collect *c, const char *text, Coppice__UserNs *msg)
{
	for (const char *at = text; *at != '\0'; at = scan_next_line(at)) {
		Coppice__UserLimit **slot =
			arena_append(c->arena, &msg->limits, &msg->n_limits, sizeof(*slot));
		Coppice__UserLimit *limit = arena_new(c->arena, Coppice__UserLimit);
		size_t len = strcspn(at, " ");
		const char *value = at + len;

		if (!slot || !limit)
			return -ENOMEM;
		*slot = limit;
		coppice__user_limit__init(limit);
		limit->name = arena_memdup(c->arena, at, len + 1);
		if (!limit->name)
			return -ENOMEM;
		limit->name[len] = '\0';
		scan_blanks(&value);
		if (!scan_int(&value, &limit->value))
			return -EBADMSG;
	}
	return 0;
}

static int take_report(struct collect *c, const struct collect_process *p,
		       const struct report *report, Coppice__UserNs *msg)
{
	int r = id_map_parse(c->arena, report->uid_map, &msg->uid_map, &msg->n_uid_map);

	if (r == 0)
		r = id_map_parse(c->arena, report->gid_map, &msg->gid_map, &msg->n_gid_map);
	if (r == 0)
		r = id_map_parse(c->arena, report->projid_map, &msg->projid_map,
				 &msg->n_projid_map);
	if (r == 0)
		r = take_limits(c, report->limits, msg);
	if (r < 0)
		return err_sys(c->ctx, r, "/proc/PID/uid_map in the user namespace of process %d",
			       p->pid);
	msg->setgroups_denied = strncmp(report->setgroups, "deny", 4) == 0;
	return 0;
}

int user_ns_read(struct collect *c, const struct collect_process *p, int fd, Coppice__UserNs *msg)
{
	struct report *report = arena_new(c->arena, struct report);
	int r;

	if (!report)
		return err_oom(c->ctx);
	r = report_from(c->ctx, fd, read_inside, NULL, report);
	if (r < 0)
		return err_while(c->ctx, r, "looking into the user namespace of %s",
				 collect_name(c, p));
	return take_report(c, p, report, msg);
}

int user_ns_read_owner(struct context *ctx, int fd, int parent, uid_t *ret)
{
	struct report report;
	int r = report_from(ctx, parent, read_owner, &fd, &report);

	if (r < 0)
		return err_while(ctx, r, "asking for the owner of a user namespace");
	*ret = report.owner;
	return 0;
}

int user_ns_limit(struct context *ctx, const Coppice__UserNs *msg, int fd)
{
	struct report report;
	int r;

	if (msg->n_limits == 0)
		return 0;
	r = report_from(ctx, fd, write_limits, msg, &report);
	return r < 0 ? err_while(ctx, r, "limiting user namespace %u", msg->id) : 0;
}
