/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could happen to a process that writes its own pages into a file:
 *
 *  - The page cache is charged to its memory cgroup, where the limit may be near: reclaim, or the
 *    OOM killer. Each level up to the root counts; on tmpfs nothing of it can be written back.
 *  - RLIMIT_FSIZE: SIGXFSZ.
 *  - A seccomp filter may forbid writev() or make it a signal. The puppet layer suspends filters
 *    where it has the right to; whether it could is not relied on here.
 *  - Its descriptor table may be full: found out by trying (puppet_lend).
 *
 * The kernel charges whoever dirties the page first, so what the coordinator writes is charged to
 * the coordinator's cgroup.
 */
#include "task/memory-hazard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/io.h"

/* What must stay free below each limit. */
#define HEADROOM (UINT64_C(64) << 20)

/* How one version of cgroups names its files. */
struct cgroup_files {
	const char *mount; /* where distributions mount it */
	const char *limits[2];
	const char *usage;
};

static const struct cgroup_files version1 = {
	.mount = "/sys/fs/cgroup/memory",
	.limits = {"memory.limit_in_bytes", NULL},
	.usage = "memory.usage_in_bytes",
};

static const struct cgroup_files version2 = {
	.mount = "/sys/fs/cgroup",
	.limits = {"memory.max", "memory.high"},
	.usage = "memory.current",
};

static const struct cgroup_files version2_beside_1 = {
	.mount = "/sys/fs/cgroup/unified",
	.limits = {"memory.max", "memory.high"},
	.usage = "memory.current",
};

/* A number; "max" is UINT64_MAX. -ENOENT where the file does not exist. */
static int read_number(const char *dir, const char *name, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	char *end;
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = io_read_file(AT_FDCWD, path, &text, NULL);
	if (r < 0)
		return r;
	if (strncmp(text, "max", 3) == 0) {
		*ret = UINT64_MAX;
		return 0;
	}
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && end != text ? 0 : -EBADMSG;
}

/* Is there room below the limits of one cgroup? 1, 0, or -errno: cannot be read. */
static int has_room(const struct cgroup_files *files, const char *dir, uint64_t bytes)
{
	uint64_t limit = UINT64_MAX;
	uint64_t usage;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(files->limits) && files->limits[i]; i++) {
		uint64_t one;

		r = read_number(dir, files->limits[i], &one);
		if (r == -ENOENT && access(dir, F_OK) == 0)
			return 1; /* the memory controller is not in charge here */
		if (r < 0)
			return r;
		limit = MIN(limit, one);
	}
	if (limit > UINT64_MAX / 4) /* "no limit" is LONG_MAX in pages or bytes */
		return 1;
	r = read_number(dir, files->usage, &usage);
	if (r < 0)
		return r;
	return usage < limit && limit - usage > bytes + HEADROOM;
}

/* All cgroups from @path (as /proc/PID/cgroup shows it) up to below the root, which has no limit. */
static bool all_have_room(const struct cgroup_files *files, const char *path, uint64_t bytes)
{
	char dir[PATH_MAX];
	size_t mount_len = strlen(files->mount);

	if (strstr(path, "/.."))
		return false; /* outside our cgroup namespace */
	if (snprintf(dir, sizeof(dir), "%s%s", files->mount, path) >= (int)sizeof(dir))
		return false;
	for (;;) {
		char *slash = strrchr(dir + mount_len, '/');

		if (!slash || dir[mount_len + 1] == '\0')
			return true;
		if (has_room(files, dir, bytes) != 1)
			return false;
		*slash = '\0';
	}
}

/* Lines "ID:CONTROLLERS:PATH"; the unified hierarchy has no controllers there. */
static bool cgroup_has_room(char *text, uint64_t bytes)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;
		const struct cgroup_files *files = NULL;

		if (!path)
			return false;
		*path++ = '\0';
		if (strcmp(controllers + 1, "") == 0)
			files = access("/sys/fs/cgroup/unified", F_OK) == 0 ? &version2_beside_1
									    : &version2;
		else if (strcmp(controllers + 1, "memory") == 0)
			files = &version1;
		if (files && strcmp(path, "/") != 0 && !all_have_room(files, path, bytes))
			return false;
	}
	return true;
}

int memory_hazard(struct collect *c, const struct collect_process *p, uint64_t bytes,
		  const char **ret_why)
{
	struct proc_limit limits[RLIM_NLIMITS];
	char *cgroup;
	int r;

	for (size_t i = 0; i < p->n_threads; i++)
		if (p->threads[i].status.seccomp != 0) {
			*ret_why = "it has a seccomp filter";
			return 1;
		}
	r = proc_read_limits(p->proc_fd, limits, RLIM_NLIMITS);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/limits", p->pid);
	if (limits[RLIMIT_FSIZE].soft != UINT64_MAX) {
		*ret_why = "it has a limit on the size of files";
		return 1;
	}
	r = proc_read_text(p->proc_fd, "cgroup", c->arena, &cgroup);
	if (r == -ENOENT) /* a kernel without cgroups */
		return 0;
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/cgroup", p->pid);
	if (cgroup_has_room(cgroup, bytes))
		return 0;
	*ret_why = "its memory cgroup is short of room";
	return 1;
}
