/* SPDX-License-Identifier: Apache-2.0 */
/* Working directory, root, umask; alone and shared (CLONE_FS). */
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "live.h"
#include "util/macro.h"

static int cwd_is(const char *end)
{
	char path[4096];

	if (!getcwd(path, sizeof(path)))
		return 0;
	return strlen(path) >= strlen(end) && !strcmp(path + strlen(path) - strlen(end), end);
}

static int move_deep(void)
{
	(void)umask(037);
	return mkdir("dir", 0700) || mkdir("dir/with space\n", 0700) || chdir("dir/with space\n");
}

static int check_deep(void)
{
	CHECK(cwd_is("/dir/with space\n"));
	CHECK_EQ(umask(0), 037);
	return 0;
}

static int make_deep(void)
{
	return child_start(move_deep, check_deep, NULL);
}

static int move_root(void)
{
	return mkdir("root", 0755) || mkdir("root/inside", 0755) || chroot("root") ||
	       chdir("/inside");
}

static int check_root(void)
{
	CHECK(cwd_is("/inside"));
	CHECK_EQ(access("/proc", F_OK), -1);
	CHECK_EQ(access("/inside", F_OK), 0);
	return 0;
}

static int make_root(void)
{
	return child_start(move_root, check_root, NULL);
}

/* The working directory outside of the root. */
static int move_apart(void)
{
	return mkdir("root", 0755) || mkdir("outside", 0755) || chdir("outside") ||
	       chroot("../root");
}

static int check_apart(void)
{
	CHECK_EQ(access("../outside", F_OK), 0);
	CHECK_EQ(access("/outside", F_OK), -1);
	return 0;
}

static int make_apart(void)
{
	return child_start(move_apart, check_apart, NULL);
}

static int move_deleted(void)
{
	return mkdir("gone", 0700) || chdir("gone") || rmdir("../gone");
}

static int make_deleted(void)
{
	return child_start(move_deleted, NULL, NULL);
}

static pid_t sharer;

static int make_shared(void)
{
	sharer = (pid_t)syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0);
	if (!sharer)
		for (;;)
			(void)pause();
	return sharer < 0;
}

static int check_shared(void)
{
	CHECK_EQ(syscall(SYS_kcmp, getpid(), sharer, KCMP_FS, 0, 0), 0);
	CHECK_EQ(kill(sharer, SIGKILL), 0);
	CHECK_EQ(waitpid(sharer, NULL, 0), sharer);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "deep", .make = make_deep, .check = child_check},
	{.name = "root", .make = make_root, .check = child_check},
	{.name = "apart", .make = make_apart, .check = child_check},
	{.name = "deleted", .make = make_deleted, .refused = "its working directory was deleted"},
	{.name = "shared", .make = make_shared, .check = check_shared},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
