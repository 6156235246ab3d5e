/* SPDX-License-Identifier: Apache-2.0 */
/* inotify: numbers of watches, masks, files that were renamed or removed, overlayfs. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/macro.h"

static int in, wd[4], file;
static union {
	struct inotify_event event;
	char room[4096];
} got;

static int touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 || close(fd) < 0;
}

static int append(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	return fd < 0 || write(fd, "x", 1) != 1 || close(fd) < 0;
}

/* The next event is this one, and there is no other. */
static int check_event(int watch, uint32_t mask, const char *name)
{
	memset(&got, 0, sizeof(got));
	CHECK(read(in, &got, sizeof(got)) > 0);
	CHECK_EQ(got.event.wd, watch);
	CHECK_EQ(got.event.mask, mask);
	if (name)
		CHECK(strcmp(got.event.name, name) == 0);
	CHECK_EQ(read(in, &got, sizeof(got)), -1);
	CHECK_EQ(errno, EAGAIN);
	return 0;
}

static int drain(void)
{
	while (read(in, &got, sizeof(got)) > 0)
		;
	return errno != EAGAIN;
}

/* wd[0] 1 on a directory, wd[1] 3 on a file of it that is renamed, wd[2] 5 on the working directory;
 * 2 and 4 are removed. */
static int make_watches(void)
{
	in = inotify_init1(IN_NONBLOCK);
	if (in < 0 || mkdir("dir", 0700) < 0 || touch("dir/file") || touch("a") || touch("b"))
		return 1;
	wd[0] = inotify_add_watch(in, "dir", IN_CREATE | IN_MOVED_TO | IN_EXCL_UNLINK);
	if (inotify_rm_watch(in, inotify_add_watch(in, "a", IN_OPEN)) < 0)
		return 1;
	wd[1] = inotify_add_watch(in, "dir/file", IN_MODIFY);
	if (inotify_rm_watch(in, inotify_add_watch(in, "b", IN_OPEN)) < 0)
		return 1;
	wd[2] = inotify_add_watch(in, ".", IN_DELETE | IN_ONESHOT);
	if (wd[2] != 5)
		return live_fail("the third watch is %d", wd[2]);
	return rename("dir/file", "dir/renamed") < 0 || drain();
}

static int check_watches(void)
{
	CHECK_EQ(fcntl(in, F_GETFL), O_RDONLY | O_NONBLOCK);
	CHECK_EQ(read(in, &got, sizeof(got)), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(touch("dir/new"), 0);
	CHECK(check_event(1, IN_CREATE, "new") == 0);
	CHECK_EQ(append("dir/renamed"), 0);
	CHECK(check_event(3, IN_MODIFY, NULL) == 0);
	CHECK_EQ(unlink("a"), 0);
	CHECK(read(in, &got, sizeof(got)) > 0);
	CHECK_EQ(got.event.wd, 5);
	CHECK_EQ(got.event.mask, IN_DELETE);
	CHECK_EQ(drain(), 0);
	CHECK_EQ(unlink("b"), 0); /* it was to tell once */
	CHECK_EQ(read(in, &got, sizeof(got)), -1);
	CHECK_EQ(inotify_add_watch(in, "dir/renamed", IN_OPEN), 3);
	CHECK_EQ(inotify_add_watch(in, "dir/new", IN_OPEN), 6);
	return 0;
}

/* Everything that coppice does to a file is seen by its watch, and not told. */
static int make_open(void)
{
	in = inotify_init1(IN_NONBLOCK);
	file = open("data", O_RDWR | O_CREAT, 0600);
	return in < 0 || file < 0 || write(file, "abc", 3) != 3 ||
	       inotify_add_watch(in, "data", IN_ALL_EVENTS | IN_ONESHOT) != 1 ||
	       inotify_add_watch(in, ".", IN_ALL_EVENTS) != 2;
}

static int check_open(void)
{
	CHECK_EQ(read(in, &got, sizeof(got)), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(write(file, "d", 1), 1);
	CHECK(read(in, &got, sizeof(got)) > 0);
	return 0;
}

/* Mapped as well: nobody closes it at the end, and it is not told that coppice has. */
static int make_deleted(void)
{
	in = inotify_init1(IN_NONBLOCK);
	file = open("gone", O_RDWR | O_CREAT, 0600);
	if (in < 0 || file < 0 || ftruncate(file, 4096) < 0 ||
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED)
		return 1;
	return inotify_add_watch(in, "gone", IN_MODIFY | IN_CLOSE_WRITE) != 1 ||
	       unlink("gone") < 0 || drain();
}

static int check_deleted(void)
{
	CHECK_EQ(read(in, &got, sizeof(got)), -1);
	CHECK_EQ(write(file, "x", 1), 1);
	CHECK(check_event(1, IN_MODIFY, NULL) == 0);
	return 0;
}

static int make_overlay(void)
{
	if (mkdir("lower", 0755) < 0 || mkdir("lower/sub", 0755) < 0 || touch("lower/sub/file") ||
	    mkdir("top", 0755) < 0 || mount("tmpfs", "top", "tmpfs", 0, NULL) < 0 ||
	    mkdir("top/upper", 0755) < 0 || mkdir("top/work", 0755) < 0 ||
	    mkdir("merged", 0755) < 0)
		return 1;
	if (mount("overlay", "merged", "overlay", 0,
		  "lowerdir=lower,upperdir=top/upper,workdir=top/work") < 0) {
		(void)live_fail("no overlayfs: %s", strerror(errno));
		return 77;
	}
	in = inotify_init1(IN_NONBLOCK);
	return in < 0 || inotify_add_watch(in, "merged/sub", IN_CREATE) != 1 ||
	       inotify_add_watch(in, "merged/sub/file", IN_ATTRIB) != 2;
}

static int check_overlay(void)
{
	CHECK_EQ(touch("merged/sub/new"), 0);
	CHECK(check_event(1, IN_CREATE, "new") == 0);
	return 0;
}

/* The highest are removed: their numbers do not come again. */
static int make_next(void)
{
	in = inotify_init1(IN_NONBLOCK);
	if (in < 0 || touch("a") || touch("b"))
		return 1;
	if (inotify_add_watch(in, ".", IN_CREATE) != 1 ||
	    inotify_rm_watch(in, inotify_add_watch(in, "a", IN_OPEN)) < 0 ||
	    inotify_rm_watch(in, inotify_add_watch(in, "b", IN_OPEN)) < 0)
		return 1;
	return drain();
}

static int check_next(void)
{
	CHECK_EQ(inotify_add_watch(in, "a", IN_OPEN), 4);
	return 0;
}

static int make_none(void)
{
	in = inotify_init1(IN_CLOEXEC);
	return in < 0;
}

static int check_none(void)
{
	CHECK_EQ(fcntl(in, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(in, F_GETFL), O_RDONLY);
	CHECK_EQ(inotify_add_watch(in, ".", IN_CREATE), 1);
	CHECK_EQ(touch("new"), 0);
	CHECK(read(in, &got, sizeof(got)) > 0);
	CHECK_EQ(got.event.wd, 1);
	return 0;
}

static int make_unread(void)
{
	in = inotify_init1(IN_NONBLOCK);
	return in < 0 || inotify_add_watch(in, ".", IN_CREATE) != 1 || touch("new");
}

static int check_unread(void)
{
	return check_event(1, IN_CREATE, "new");
}

static const struct live_row rows[] = {
	{.name = "watches", .make = make_watches, .check = check_watches},
	{.name = "open", .make = make_open, .check = check_open},
	{.name = "deleted", .make = make_deleted, .check = check_deleted},
	{.name = "overlayfs", .make = make_overlay, .check = check_overlay},
	{.name = "next", .make = make_next, .check = check_next},
	{.name = "none", .make = make_none, .check = check_none},
	{.name = "unread",
	 .make = make_unread,
	 .check = check_unread,
	 .refused = "bytes of events that were not read"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
