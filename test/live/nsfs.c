/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of namespaces. */
#include "live.h"

#include <linux/nsfs.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "child.h"
#include "fd.h"
#include "util/macro.h"

static bool same(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

/* ---- coppice's own */

static int net, mnt, pid, by_ioctl, path;

static int make_own(void)
{
	net = open("/proc/self/ns/net", O_RDONLY);
	mnt = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	pid = open("/proc/self/ns/pid_for_children", O_RDONLY | O_NONBLOCK);
	path = open("/proc/self/ns/uts", O_PATH);
	by_ioctl = ioctl(net, NS_GET_USERNS);
	return net < 0 || mnt < 0 || pid < 0 || path < 0 || by_ioctl < 0;
}

static int check_own(void)
{
	CHECK(same(net, "/proc/self/ns/net"));
	CHECK(same(mnt, "/proc/self/ns/mnt"));
	CHECK(same(pid, "/proc/self/ns/pid"));
	CHECK(same(path, "/proc/self/ns/uts"));
	CHECK(same(by_ioctl, "/proc/self/ns/user"));
	CHECK_EQ(ioctl(net, NS_GET_NSTYPE), CLONE_NEWNET);
	CHECK(fcntl(pid, F_GETFL) & O_NONBLOCK);
	CHECK_EQ(setns(net, CLONE_NEWNET), 0);
	return 0;
}

/* ---- those of children */

static pid_t child;
static int user, children;

static int unshare_user(void)
{
	return unshare(CLONE_NEWUSER) < 0;
}

static int open_of(const char *name)
{
	char file[64];

	(void)snprintf(file, sizeof(file), "/proc/%d/ns/%s", child, name);
	return open(file, O_RDONLY);
}

static int make_user(void)
{
	return child_start(unshare_user, NULL, &child) != 0 || (user = open_of("user")) < 0;
}

static int check_of(int fd, const char *name)
{
	char file[64];

	(void)snprintf(file, sizeof(file), "/proc/%d/ns/%s", child, name);
	CHECK(same(fd, file));
	return 0;
}

static int check_user(void)
{
	CHECK(!same(user, "/proc/self/ns/user"));
	return check_of(user, "user");
}

/* An init in it: else it could not be opened. */
static int start_init(void)
{
	pid_t init;

	if (unshare(CLONE_NEWPID) < 0)
		return 1;
	init = fork();
	if (init == 0) {
		(void)close_range(3, ~0u, 0);
		for (;;)
			(void)pause();
	}
	return init < 0;
}

static int make_pid(void)
{
	return child_start(start_init, NULL, &child) != 0 ||
	       (children = open_of("pid_for_children")) < 0;
}

static int check_pid(void)
{
	CHECK(!same(children, "/proc/self/ns/pid"));
	return check_of(children, "pid_for_children");
}

/* ---- others */

static int make_other(void)
{
	int home = open("/proc/self/ns/net", O_RDONLY);

	if (home < 0 || unshare(CLONE_NEWNET) < 0 ||
	    (net = open("/proc/self/ns/net", O_RDONLY)) < 0)
		return 1;
	return setns(home, CLONE_NEWNET) < 0 || close(home) < 0;
}

/* The mount goes with the mount namespace of the test. */
static int make_mounted(void)
{
	int file = open("name", O_RDONLY | O_CREAT, 0600);
	char *name = realpath("name", NULL);

	if (file < 0 || close(file) < 0 || !name ||
	    mount("/proc/self/ns/uts", name, NULL, MS_BIND, NULL) < 0)
		return 1;
	net = open(name, O_RDONLY);
	free(name);
	return net < 0 || umount2("name", MNT_DETACH) < 0;
}

static const struct live_row rows[] = {
	{.name = "own", .make = make_own, .check = check_own},
	{.name = "user", .make = make_user, .check = check_user},
	{.name = "pid for children", .make = make_pid, .check = check_pid},
	{.name = "other",
	 .make = make_other,
	 .refused = "neither coppice's own nor one of the tree's"},
	{.name = "mounted", .make = make_mounted, .refused = "open by the path of a mount"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
