/* SPDX-License-Identifier: Apache-2.0 */
#include "file/open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

uint32_t open_time_flags(uint32_t file_flags)
{
	return file_flags & ~O_SETTABLE;
}

/* O_PATH goes with few others. */
static uint32_t flags_for_open(uint32_t file_flags)
{
	if (file_flags & O_PATH)
		return (file_flags & (O_PATH | O_NOFOLLOW | O_DIRECTORY)) | O_CLOEXEC;
	/* An append-only file can be opened for writing in no other way. */
	return open_time_flags(file_flags) | (file_flags & O_APPEND) | O_CLOEXEC | O_NONBLOCK |
	       O_NOCTTY;
}

int open_path(const char *path, uint32_t file_flags)
{
	struct open_how how = {
		.flags = flags_for_open(file_flags),
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int open_again(int fd, uint32_t file_flags)
{
	char path[32];
	int again;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, (int)flags_for_open(file_flags));
	return again < 0 ? -errno : again;
}

int open_set_flags(int fd, uint32_t file_flags)
{
	int flags;

	if (file_flags & O_PATH)
		return 0;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if ((uint32_t)flags == file_flags)
		return 0;
	return fcntl(fd, F_SETFL, (int)(file_flags & O_SETTABLE)) < 0 ? -errno : 0;
}
