/* SPDX-License-Identifier: Apache-2.0 */
#include "file/named.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/open.h"
#include "kind/rebuild.h"
#include "util/cleanup.h"

enum { RANDOM_PREFIX = sizeof(".coppice-0123456789abcdef-") - 1 };

int named_directory(struct rebuild *r, const char *path, int *ret_fd)
{
	char *dir = arena_strdup(r->arena, path);
	char *slash;
	int fd = -ENOENT;

	if (!dir)
		return err_oom(r->ctx);
	while (fd == -ENOENT && (slash = strrchr(dir, '/'))) {
		*slash = '\0';
		fd = open_path(slash == dir ? "/" : dir, O_PATH | O_DIRECTORY);
	}
	if (fd < 0)
		return err_sys(r->ctx, fd, "opening the directory of %s", path);
	*ret_fd = fd;
	return 0;
}

void named_deinit(struct named *named)
{
	int saved = errno;

	if (named->there) /* ours: it was not there before */
		(void)unlinkat(named->dir, named->name, named->directory ? AT_REMOVEDIR : 0);
	close_guard(&named->dir);
	errno = saved;
}

/* Gives the file its name: 0, or -errno; -EEXIST has another name tried. */
typedef int (*give_name)(const struct named *named, const void *data);

static int name_it(struct rebuild *r, const char *path, give_name give, const void *data,
		   struct named *named)
{
	const char *base = strrchr(path, '/');
	uint64_t random;
	int result;

	result = named_directory(r, path, &named->dir);
	if (result < 0)
		return result;
	(void)snprintf(named->name, sizeof(named->name), "%s", base ? base + 1 : path);
	result = give(named, data);
	if (result == -EEXIST || result == -EISDIR) {
		if (getrandom(&random, sizeof(random), 0) < 0)
			return err_sys(r->ctx, -errno, "getrandom()");
		(void)snprintf(named->name, sizeof(named->name), ".coppice-%016lx-%.*s", random,
			       NAME_MAX - RANDOM_PREFIX, base ? base + 1 : path);
		result = give(named, data);
	}
	if (result < 0)
		return err_sys(r->ctx, result, "making %s again, which had been deleted", path);
	named->there = true;
	return 0;
}

static int give_new(const struct named *named, const void *data)
{
	const mode_t *mode = data;
	int fd;

	if (S_ISDIR(*mode))
		return mkdirat(named->dir, named->name, 0700) < 0 ? -errno : 0;
	if (S_ISFIFO(*mode))
		return mkfifoat(named->dir, named->name, 0600) < 0 ? -errno : 0;
	fd = openat(named->dir, named->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

int named_make(struct rebuild *r, const char *path, mode_t mode, struct named *ret)
{
	ret->directory = S_ISDIR(mode);
	return name_it(r, path, give_new, &mode, ret);
}

static int give_link(const struct named *named, const void *data)
{
	const int *fd = data;
	char link[32];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", *fd);
	return linkat(AT_FDCWD, link, named->dir, named->name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int named_link(struct rebuild *r, int fd, const char *path, struct named *ret)
{
	return name_it(r, path, give_link, &fd, ret);
}

int named_open(struct rebuild *r, const struct named *named, uint32_t flags, int *ret_fd)
{
	int fd = openat(named->dir, named->name,
			(int)open_time_flags(flags) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_sys(r->ctx, -errno, "openat(%s)", named->name);
	*ret_fd = fd;
	return 0;
}
