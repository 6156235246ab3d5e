/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories and small files of /proc/PID. The descriptor of a /proc/PID directory stays tied to
 * the process it was opened for: once that is gone every access fails, even if the number is in use
 * again.
 */
#include "kernel/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/proc-read.h"
#include "kernel/scan.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

static int open_dir(int dirfd, const char *path, int flags, int *ret_fd)
{
	int fd = openat(dirfd, path, flags | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	*ret_fd = fd;
	return 0;
}

int proc_open(pid_t pid, int *ret_fd)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	return open_dir(AT_FDCWD, path, O_PATH, ret_fd);
}

int proc_open_task(int proc_fd, pid_t tid, int *ret_fd)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "task/%d", tid);
	return open_dir(proc_fd, path, O_PATH, ret_fd);
}

int proc_error(int proc_fd, int r)
{
	if (r == -ENOENT && faccessat(proc_fd, "stat", F_OK, 0) < 0)
		return -ESRCH;
	return r;
}

int proc_read_file(int proc_fd, const char *name, char **ret_text, size_t *ret_len)
{
	int r = io_read_file(proc_fd, name, ret_text, ret_len);

	return r < 0 ? proc_error(proc_fd, r) : 0;
}

int proc_read_text(int proc_fd, const char *name, struct arena *arena, char **ret)
{
	_cleanup_free_ char *text = NULL;
	char *copy;
	size_t len;
	int r;

	r = proc_read_file(proc_fd, name, &text, &len);
	if (r < 0)
		return r;
	if (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	copy = arena_memdup(arena, text, len + 1);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

int proc_read_u64(int proc_fd, const char *name, int base, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	const char *at;
	int r;

	r = proc_read_file(proc_fd, name, &text, NULL);
	if (r < 0)
		return r;
	at = text;
	if (base == 16)
		(void)scan_literal(&at, "0x"); /* printed by some files only */
	return scan_u64(&at, (unsigned int)base, ret) ? 0 : -EBADMSG;
}

int proc_read_i64(int proc_fd, const char *name, int64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	const char *at;
	int r;

	r = proc_read_file(proc_fd, name, &text, NULL);
	if (r < 0)
		return r;
	at = text;
	return scan_i64(&at, ret) ? 0 : -EBADMSG;
}

int proc_read_link(int proc_fd, const char *name, struct arena *arena, char **ret)
{
	char target[PATH_MAX + 1];
	char *copy;
	ssize_t n;

	n = readlinkat(proc_fd, name, target, sizeof(target) - 1);
	if (n < 0)
		return proc_error(proc_fd, -errno);
	target[n] = '\0';
	copy = arena_memdup(arena, target, (size_t)n + 1);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

static int compare_int(const void *a, const void *b)
{
	int x = *(const int *)a;
	int y = *(const int *)b;

	return (x > y) - (x < y);
}

/* The numeric names among @len bytes of directory entries. */
static int add_numbers(const char *entries, size_t len, struct arena *arena, int **numbers,
		       size_t *n)
{
	for (size_t pos = 0; pos < len;) {
		const struct dirent64 *entry = (const struct dirent64 *)(entries + pos);
		const char *at = entry->d_name;
		int number;
		int *slot;

		pos += entry->d_reclen;
		if (!scan_int(&at, &number) || *at != '\0')
			continue; /* . and .. */
		slot = arena_append(arena, numbers, n, sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		*slot = number;
	}
	return 0;
}

int proc_read_numbers(int proc_fd, const char *name, struct arena *arena, int **ret, size_t *ret_n)
{
	_Alignas(struct dirent64) char entries[8192];
	_cleanup_close_ int fd = -EBADF;
	int *numbers = NULL;
	size_t n = 0;
	int r;

	r = open_dir(proc_fd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	for (;;) {
		ssize_t len = getdents64(fd, entries, sizeof(entries));

		if (len < 0)
			return errno == ENOENT ? -ESRCH : -errno;
		if (len == 0)
			break;
		r = add_numbers(entries, (size_t)len, arena, &numbers, &n);
		if (r < 0)
			return r;
	}
	if (n > 1)
		qsort(numbers, n, sizeof(*numbers), compare_int);
	*ret = numbers;
	*ret_n = n;
	return 0;
}

int parse_pids(const char *text, struct arena *arena, pid_t **ret, size_t *ret_n)
{
	const char *at = text;
	pid_t *pids = NULL;
	size_t n = 0;

	for (;;) {
		pid_t pid;
		pid_t *slot;

		scan_blanks(&at);
		if (*at == '\0' || *at == '\n')
			break;
		if (!scan_int(&at, &pid) || pid < 0)
			return -EBADMSG;
		slot = arena_append(arena, &pids, &n, sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		*slot = pid;
	}
	*ret = pids;
	*ret_n = n;
	return 0;
}

int proc_read_children(int task_fd, struct arena *arena, pid_t **ret, size_t *ret_n)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = proc_read_file(task_fd, "children", &text, NULL);
	if (r < 0)
		return r;
	return parse_pids(text, arena, ret, ret_n);
}

int proc_read_task_children(int proc_fd, pid_t tid, struct arena *arena, pid_t **ret, size_t *ret_n)
{
	_cleanup_free_ char *text = NULL;
	char path[48];
	int r;

	(void)snprintf(path, sizeof(path), "task/%d/children", tid);
	r = proc_read_file(proc_fd, path, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	return parse_pids(text, arena, ret, ret_n);
}
