/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a control group's directory is: each hierarchy is a filesystem of its own, mounted anywhere
 * and perhaps from a directory inside it (containers).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "task/cgroup.h"
#include "util/cleanup.h"

/* Is @controllers ("cpu,cpuacct", "name=x") among the comma-separated options? */
static bool has_options(const char *options, const char *controllers)
{
	while (*controllers != '\0') {
		size_t len = strcspn(controllers, ",");
		const char *at = options;

		while (*at != '\0' &&
		       (strcspn(at, ",") != len || strncmp(at, controllers, len) != 0)) {
			at += strcspn(at, ",");
			at += *at == ',';
		}
		if (*at == '\0')
			return false;
		controllers += len;
		controllers += *controllers == ',';
	}
	return true;
}

static bool is_hierarchy(const struct proc_mount *mount, const char *hierarchy)
{
	if (hierarchy[0] == '\0')
		return strcmp(mount->type, "cgroup2") == 0;
	return strcmp(mount->type, "cgroup") == 0 && has_options(mount->super_options, hierarchy);
}

/* What of @path lies below @root, or NULL. An image may hold any path: none leads up. */
static const char *below(const char *path, const char *root)
{
	size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0') ||
	    strstr(path, "/.."))
		return NULL;
	return path + len;
}

int cgroup_procs_path(struct rebuild *r, const Coppice__CgroupPlace *place, char **ret)
{
	_cleanup_close_ int self = -EBADF;
	struct proc_mount *mounts;
	size_t n;
	int rc = proc_open(getpid(), &self);

	if (rc >= 0)
		rc = proc_read_mounts(self, r->arena, &mounts, &n);
	if (rc < 0)
		return err_sys(r->ctx, rc, "reading /proc/self/mountinfo");
	*ret = NULL;
	for (size_t i = 0; i < n; i++) {
		const char *rest = is_hierarchy(&mounts[i], place->hierarchy)
					   ? below(place->path, mounts[i].root)
					   : NULL;

		if (!rest)
			continue;
		*ret = arena_printf(r->arena, "%s%s/cgroup.procs", mounts[i].point, rest);
		return *ret ? 0 : err_oom(r->ctx);
	}
	return 0;
}
