/* SPDX-License-Identifier: Apache-2.0 */
/* Membership in control groups other than coppice's own. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

static char group[512]; /* directory of the group */
static char above[512]; /* where we were */

/* PIDs are not unique: each row runs in a PID namespace of its own. */
static int64_t unique_number(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A mount of a hierarchy whose root we may make a group in. */
static int find_hierarchy(const char *type, const char *option)
{
	static struct arena arena;
	_cleanup_close_ int self = -EBADF;
	struct proc_mount *mounts;
	size_t n;

	arena_init(&arena, NULL);
	CHECK_EQ(proc_open(getpid(), &self), 0);
	CHECK_EQ(proc_read_mounts(self, &arena, &mounts, &n), 0);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(mounts[i].type, type) != 0 || !strstr(mounts[i].super_options, option) ||
		    access(mounts[i].point, W_OK) < 0)
			continue;
		(void)snprintf(above, sizeof(above), "%s", mounts[i].point);
		(void)snprintf(group, sizeof(group), "%s/coppice-live-%lld", mounts[i].point,
			       (long long)unique_number());
		arena_deinit(&arena);
		return 0;
	}
	arena_deinit(&arena);
	(void)live_fail("no writable hierarchy of type %s", type);
	return 77;
}

static int join(const char *directory)
{
	char path[600];
	_cleanup_close_ int fd = -EBADF;

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(io_write_all(fd, "0", 1), 0);
	return 0;
}

static int make_in(const char *type, const char *option)
{
	int r = find_hierarchy(type, option);

	if (r != 0)
		return r;
	if (mkdir(group, 0700) < 0 && errno != EEXIST)
		return live_fail("mkdir(%s): %s", group, strerrordesc_np(errno));
	return join(group);
}

static int make_v1(void)
{
	return make_in("cgroup", "pids");
}

static int make_v2(void)
{
	return make_in("cgroup2", "rw");
}

static int check(void)
{
	_cleanup_free_ char *text = NULL;
	int r;

	CHECK_EQ(io_read_file(AT_FDCWD, "/proc/self/cgroup", &text, NULL), 0);
	r = strstr(text, strrchr(group, '/')) ? 0 : live_fail("is in none of %s", text);
	if (r == 0)
		r = join(above);
	CHECK_EQ(rmdir(group), 0);
	return r;
}

static const struct live_row rows[] = {
	{"a group of one controller", make_v1, check},
	{"cgroup2", make_v2, check},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
