/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Membership in control groups, by hierarchy. What is kept is where a process was elsewhere than
 * coppice itself: a tree started from the same shell as coppice goes on in the group of the coppice
 * that restores it; a service goes back into its own group, which has to be there. The groups
 * themselves, with their limits and accounts, are not part of a checkpoint.
 *
 * Threads of one process in different groups (cgroup2's threaded mode) are refused.
 */
#include "task/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/scan.h"
#include "kind/task.h"
#include "task/surroundings.h"
#include "util/cleanup.h"
#include "util/io.h"

/* ---- reading -------------------------------------------------------------------------------- */

/* "4:memory:/path" per line; a path may hold anything but a newline. */
int parse_cgroups(const char *text, struct arena *arena, struct cgroup_place **ret, size_t *ret_n)
{
	struct cgroup_place *places = NULL;
	size_t n = 0;

	for (const char *at = text; *at != '\0';) {
		const char *end = scan_line_end(at);
		const char *colon;
		struct cgroup_place *place;
		uint64_t id;

		if (!scan_u64(&at, 10, &id) || !scan_char(&at, ':'))
			return -EBADMSG;
		colon = memchr(at, ':', (size_t)(end - at));
		if (!colon || colon[1] != '/')
			return -EBADMSG;
		place = arena_append(arena, &places, &n, sizeof(*place));
		if (!place)
			return -ENOMEM;
		place->hierarchy = arena_printf(arena, "%.*s", (int)(colon - at), at);
		place->path = arena_printf(arena, "%.*s", (int)(end - colon - 1), colon + 1);
		if (!place->hierarchy || !place->path)
			return -ENOMEM;
		at = *end == '\n' ? end + 1 : end;
	}
	*ret = places;
	*ret_n = n;
	return 0;
}

int cgroups_read(const struct proc_dir *dir, const char *prefix, struct arena *arena,
		 struct cgroup_place **ret, size_t *ret_n)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	int r;

	*ret = NULL;
	*ret_n = 0;
	(void)snprintf(path, sizeof(path), "%scgroup", prefix);
	r = proc_dir_read(dir, path, &text, NULL);
	if (r == -ENOENT)
		return 0; /* a kernel without cgroups */
	return r < 0 ? r : parse_cgroups(text, arena, ret, ret_n);
}

static const struct cgroup_place *find_place(const struct cgroup_place *places, size_t n,
					     const char *hierarchy)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(places[i].hierarchy, hierarchy) == 0)
			return &places[i];
	return NULL;
}

static const char *hierarchy_name(const char *hierarchy)
{
	return hierarchy[0] != '\0' ? hierarchy : "cgroup2";
}

static bool ends_with(const char *s, const char *end)
{
	size_t len = strlen(s);

	return len >= strlen(end) && strcmp(s + len - strlen(end), end) == 0;
}

static int keep_place(struct collect *c, struct collect_process *p,
		      const struct cgroup_place *place)
{
	Coppice__CgroupPlace **slot;

	if (ends_with(place->path, " (deleted)") || strncmp(place->path, "/../", 4) == 0 ||
	    strcmp(place->path, "/..") == 0)
		return collect_refuse(
			c, NULL,
			"%s: its control group %s (%s) is deleted or outside coppice's "
			"cgroup namespace",
			collect_name(c, p), place->path, hierarchy_name(place->hierarchy));
	slot = arena_append(c->arena, &p->msg->cgroups, &p->msg->n_cgroups, sizeof(*slot));
	if (!slot)
		return err_oom(c->ctx);
	*slot = arena_new(c->arena, Coppice__CgroupPlace);
	if (!*slot)
		return err_oom(c->ctx);
	coppice__cgroup_place__init(*slot);
	(*slot)->hierarchy = place->hierarchy;
	(*slot)->path = place->path;
	return 0;
}

static int read_places(struct collect *c, const struct collect_thread *th,
		       struct cgroup_place **ret, size_t *ret_n)
{
	const struct proc_dir dir = collect_dir(c, th->process);
	char prefix[COLLECT_PREFIX];
	int r = cgroups_read(&dir, collect_prefix(th, prefix), c->arena, ret, ret_n);

	return r < 0 ? err_sys(c->ctx, r, "reading /proc/%d/cgroup", th->tid) : 0;
}

static int compare_thread(struct collect *c, const struct collect_thread *th,
			  const struct cgroup_place *leader, size_t n)
{
	struct cgroup_place *own;
	size_t n_own;
	int r = read_places(c, th, &own, &n_own);

	for (size_t i = 0; r >= 0 && i < n_own; i++) {
		const struct cgroup_place *place = find_place(leader, n, own[i].hierarchy);

		if (!place || strcmp(place->path, own[i].path) != 0)
			return collect_refuse(
				c, NULL,
				"%s, thread %d: is in a control group (%s of %s) of its "
				"own",
				collect_name(c, th->process), th->tid, own[i].path,
				hierarchy_name(own[i].hierarchy));
	}
	return r;
}

static int collect(struct collect *c, struct collect_process *p)
{
	const struct surroundings *s;
	struct cgroup_place *places;
	size_t n;
	int r;

	if (p->zombie)
		return 0;
	r = surroundings_get(c->ctx, c->arena, &c->surroundings, &s);
	if (r >= 0)
		r = read_places(c, &p->threads[0], &places, &n);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		const struct cgroup_place *own =
			find_place(s->cgroups, s->n_cgroups, places[i].hierarchy);

		if (!own || strcmp(own->path, places[i].path) != 0)
			r = keep_place(c, p, &places[i]);
	}
	for (size_t i = 1; r >= 0 && i < p->n_threads; i++)
		r = compare_thread(c, &p->threads[i], places, n);
	return r;
}

/* A stub that is put into a frozen group never comes to its next call. @procs: its cgroup.procs. */
static int is_frozen(struct rebuild *r, const char *procs, bool *ret)
{
	static const struct {
		const char *file;
		const char *word;
	} signs[] = {
		{"cgroup.events", "frozen 1"},
		{"freezer.state", "FROZEN"},
		{"freezer.state", "FREEZING"},
	};
	const int len = (int)(strrchr(procs, '/') - procs);

	*ret = false;
	for (size_t i = 0; i < ARRAY_SIZE(signs) && !*ret; i++) {
		const char *path = arena_printf(r->arena, "%.*s/%s", len, procs, signs[i].file);
		_cleanup_free_ char *text = NULL;
		int rc;

		if (!path)
			return err_oom(r->ctx);
		rc = io_read_file(AT_FDCWD, path, &text, NULL);
		if (rc < 0 && rc != -ENOENT)
			return err_sys(r->ctx, rc, "reading %s", path);
		*ret = rc >= 0 && strstr(text, signs[i].word);
	}
	return 0;
}

/* ---- restore -------------------------------------------------------------------------------- */

static bool same_place(const Coppice__CgroupPlace *a, const Coppice__CgroupPlace *b)
{
	return strcmp(a->hierarchy, b->hierarchy) == 0 && strcmp(a->path, b->path) == 0;
}

static int check_place(struct rebuild *r, const struct rebuild_process *p,
		       const Coppice__CgroupPlace *place)
{
	const char *kind = hierarchy_name(place->hierarchy);
	bool frozen;
	char *path;
	int rc = cgroup_procs_path(r, place, &path);

	if (rc < 0)
		return rc;
	if (!path)
		return rebuild_refuse(
			r, NULL, "%s: its control group %s (%s) is below no mount of that kind",
			rebuild_name(r, p), place->path, kind);
	if (access(path, W_OK) < 0)
		return rebuild_refuse(
			r, errno == ENOENT ? "create the control group before restoring" : NULL,
			"%s: cannot be put into its control group: %s: %s", rebuild_name(r, p),
			path, strerrordesc_np(errno));
	rc = is_frozen(r, path, &frozen);
	if (rc < 0 || !frozen)
		return rc;
	return rebuild_refuse(r, "thaw it, and freeze it again when the tree is restored",
			      "%s: its control group %s (%s) is frozen", rebuild_name(r, p),
			      place->path, kind);
}

/* Has another process before this one been checked for the same group? Mostly the previous one. */
static bool was_checked(const struct rebuild *r, const struct rebuild_process *p,
			const Coppice__CgroupPlace *place)
{
	const Coppice__Process *before = p > r->processes ? p[-1].msg : NULL;

	for (size_t i = 0; before && i < before->n_cgroups; i++)
		if (same_place(before->cgroups[i], place))
			return true;
	return false;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	int rc = 0;

	for (size_t i = 0; i < p->msg->n_cgroups && rc >= 0; i++)
		if (!was_checked(r, p, p->msg->cgroups[i]))
			rc = check_place(r, p, p->msg->cgroups[i]);
	return rc;
}

/* The groups that processes were put into so far, each with its cgroup.procs. */
struct joined_group {
	const Coppice__CgroupPlace *place;
	int fd; /* owned */
};

struct joined {
	struct joined_group *list;
	size_t n;
};

static void joined_deinit(struct joined *joined)
{
	for (size_t i = 0; i < joined->n; i++)
		close_guard(&joined->list[i].fd);
}

static int open_place(struct rebuild *r, struct joined *joined, const Coppice__CgroupPlace *place,
		      int *ret_fd)
{
	struct joined_group *group;
	char *path;
	int rc;

	for (size_t i = 0; i < joined->n; i++)
		if (same_place(joined->list[i].place, place)) {
			*ret_fd = joined->list[i].fd;
			return 0;
		}
	rc = cgroup_procs_path(r, place, &path);
	if (rc < 0)
		return rc;
	if (!path)
		return err_msg(r->ctx, -ENOENT, "no mount shows the control group %s", place->path);
	group = arena_append(r->arena, &joined->list, &joined->n, sizeof(*group));
	if (!group)
		return err_oom(r->ctx);
	*group = (struct joined_group){place, open(path, O_WRONLY | O_CLOEXEC)};
	if (group->fd < 0)
		return err_sys(r->ctx, -errno, "open(%s)", path);
	*ret_fd = group->fd;
	return 0;
}

static int join(struct rebuild *r, struct joined *joined, const struct rebuild_process *p,
		const Coppice__CgroupPlace *place)
{
	char text[16];
	int fd = -EBADF;
	int rc = open_place(r, joined, place, &fd);

	if (rc < 0)
		return rc;
	(void)snprintf(text, sizeof(text), "%d", p->puppet->tgid);
	rc = io_write_all(fd, text, strlen(text));
	return rc < 0 ? err_sys(r->ctx, rc, "writing %s to cgroup.procs of %s", text, place->path)
		      : 0;
}

int cgroup_join(struct rebuild *r)
{
	_cleanup_(joined_deinit) struct joined joined = {0};

	for (size_t i = 0; i < r->n_processes; i++) {
		const struct rebuild_process *p = &r->processes[i];

		for (size_t k = 0; k < p->msg->n_cgroups; k++) {
			int rc = join(r, &joined, p, p->msg->cgroups[k]);

			if (rc < 0)
				return err_while(r->ctx, rc, "putting %s into its control group",
						 rebuild_name(r, p));
		}
	}
	return 0;
}

const struct task_aspect aspect_cgroup = {
	.name = "control groups",
	.collect = collect,
	.check = check,
};
