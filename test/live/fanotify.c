/* SPDX-License-Identifier: Apache-2.0 */
/* fanotify: groups that report names or descriptors; marks on inodes, mounts and file systems. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/macro.h"

static int fan;
static union {
	struct fanotify_event_metadata event;
	char room[4096];
} got;

/* -1 and a reason to skip where the kernel or the caller may not. */
static int init(unsigned int flags)
{
	fan = fanotify_init(flags, O_RDONLY);
	if (fan < 0)
		(void)live_fail("fanotify_init(%#x): %s", flags, strerror(errno));
	return fan;
}

static int touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 || close(fd) < 0;
}

static int mark(unsigned int flags, uint64_t mask, const char *path)
{
	return fanotify_mark(fan, FAN_MARK_ADD | flags, mask, AT_FDCWD, path);
}

/* The next event is this one, and there is no other; its descriptor, if any, is closed. */
static int check_event(uint64_t mask)
{
	memset(&got, 0, sizeof(got));
	CHECK(read(fan, &got, sizeof(got)) > 0);
	CHECK_EQ(got.event.mask, mask);
	CHECK_EQ(got.event.pid, getpid());
	if (got.event.fd >= 0)
		CHECK_EQ(close(got.event.fd), 0);
	CHECK_EQ(read(fan, &got, sizeof(got)), -1);
	CHECK_EQ(errno, EAGAIN);
	return 0;
}

/* A file system of our own: nobody else does anything there. */
static int mount_own(void)
{
	return mkdir("own", 0755) < 0 || mount("tmpfs", "own", "tmpfs", 0, NULL) < 0 ||
	       touch("own/file") || touch("own/other") || mkdir("own/dir", 0755) < 0;
}

static int make_names(void)
{
	if (init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_NONBLOCK) < 0)
		return 77;
	return mount_own() || mark(FAN_MARK_ONLYDIR, FAN_CREATE | FAN_ONDIR, "own/dir") < 0 ||
	       mark(0, FAN_MODIFY, "own/file") < 0;
}

static int check_names(void)
{
	int fd;

	CHECK_EQ(fcntl(fan, F_GETFD), 0);
	CHECK_EQ(fcntl(fan, F_GETFL) & ~O_LARGEFILE, O_RDWR | O_NONBLOCK);
	CHECK_EQ(read(fan, &got, sizeof(got)), -1);
	CHECK_EQ(mkdir("own/dir/new", 0700), 0);
	CHECK(check_event(FAN_CREATE | FAN_ONDIR) == 0);
	fd = open("own/file", O_WRONLY | O_CLOEXEC);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK(check_event(FAN_MODIFY) == 0);
	CHECK_EQ(close(fd), 0);
	CHECK_EQ(touch("own/other"), 0);
	CHECK_EQ(read(fan, &got, sizeof(got)), -1);
	return 0;
}

/* With what is ignored: the one file never, the other until it changes. */
static int make_mount(void)
{
	if (init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_UNLIMITED_QUEUE) < 0)
		return 77;
	return mount_own() || fcntl(fan, F_SETFL, O_NONBLOCK) < 0 ||
	       mark(FAN_MARK_MOUNT, FAN_OPEN, "own") < 0 ||
	       mark(FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN, "own/other") <
		       0;
}

static int check_mount(void)
{
	CHECK_EQ(fcntl(fan, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(touch("own/file"), 0);
	CHECK(check_event(FAN_OPEN) == 0);
	CHECK_EQ(touch("own/other"), 0);
	CHECK_EQ(read(fan, &got, sizeof(got)), -1);
	CHECK_EQ(mark(FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, 0, "own/file"), -1);
	CHECK_EQ(fanotify_mark(fan, FAN_MARK_REMOVE | FAN_MARK_MOUNT, FAN_OPEN, AT_FDCWD, "own"),
		 0);
	CHECK_EQ(touch("own/file"), 0);
	CHECK_EQ(read(fan, &got, sizeof(got)), -1);
	return 0;
}

static int make_filesystem(void)
{
	if (init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_NONBLOCK) < 0)
		return 77;
	return mount_own() || mark(FAN_MARK_FILESYSTEM, FAN_ATTRIB, "own/dir") < 0;
}

static int check_filesystem(void)
{
	CHECK_EQ(read(fan, &got, sizeof(got)), -1);
	CHECK_EQ(chmod("own/file", 0640), 0);
	CHECK(check_event(FAN_ATTRIB) == 0);
	return 0;
}

static int make_unread(void)
{
	if (init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_NONBLOCK) < 0)
		return 77;
	return mount_own() || mark(0, FAN_ATTRIB, "own/file") < 0 || chmod("own/file", 0640) < 0;
}

static int check_unread(void)
{
	return check_event(FAN_ATTRIB);
}

static int make_permission(void)
{
	if (init(FAN_CLASS_CONTENT | FAN_NONBLOCK) < 0)
		return 77;
	return mount_own() || mark(0, FAN_OPEN_PERM, "own/file") < 0;
}

/* Anybody may have one that reports file handles. */
static int make_anybody(void)
{
	if (mount_own() || setresuid(65534, 65534, 0) < 0)
		return 1;
	if (init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_NONBLOCK) < 0)
		return 77;
	return setresuid(0, 0, 0);
}

static const struct live_row rows[] = {
	{.name = "names", .make = make_names, .check = check_names},
	{.name = "mount", .make = make_mount, .check = check_mount},
	{.name = "file system", .make = make_filesystem, .check = check_filesystem},
	{.name = "unread",
	 .make = make_unread,
	 .check = check_unread,
	 .refused = "has events that were not read"},
	{.name = "anybody",
	 .make = make_anybody,
	 .refused = "was made without CAP_SYS_ADMIN, and so is not told"},
	{.name = "permission",
	 .make = make_permission,
	 .refused = "it decides about accesses of others"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
