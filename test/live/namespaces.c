/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID and user namespaces of a single process; trees of them are test/tree/nested-cases.py's. Others
 * than coppice's own are refused by name, thread by thread.
 */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "side.h"
#include "util/macro.h"

static int leave(int flag)
{
	if (unshare(flag) == 0)
		return 0;
	(void)live_fail("unshare(%#x): %s", (unsigned int)flag, strerrordesc_np(errno));
	return errno == EINVAL ? 77 : 1;
}

static int make_net(void)
{
	return leave(CLONE_NEWNET);
}

static int make_uts(void)
{
	return leave(CLONE_NEWUTS);
}

static int make_ipc(void)
{
	return leave(CLONE_NEWIPC);
}

static int make_mnt(void)
{
	return leave(CLONE_NEWNS);
}

static int make_cgroup(void)
{
	return leave(CLONE_NEWCGROUP);
}

static int make_time(void)
{
	return leave(CLONE_NEWTIME);
}

static int make_side(void)
{
	return side_run(make_uts);
}

/* ---- PID namespaces for children ----------------------------------------------------------- */

static int make_pid(void)
{
	return leave(CLONE_NEWPID);
}

static int make_side_pid(void)
{
	return side_run(make_pid);
}

/* The first child is init of the namespace that was made before the dump. */
static int check_unborn(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(getpid());
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 1);
	return 0;
}

static int make_dead(void)
{
	int r = leave(CLONE_NEWPID);
	pid_t pid = r == 0 ? fork() : -1;

	if (pid == 0)
		_exit(0);
	return r == 0 ? waitpid(pid, NULL, 0) != pid : r;
}

static int check_dead(void)
{
	CHECK_EQ(fork(), -1);
	CHECK_EQ(errno, ENOMEM);
	return 0;
}

/* ---- user namespaces ----------------------------------------------------------------------- */

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	(void)close(fd);
	return n == (ssize_t)strlen(text)
		       ? 0
		       : live_fail("writing %s: %s", path, strerrordesc_np(errno));
}

static int check_text(const char *path, const char *text)
{
	char found[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, found, sizeof(found) - 1);

	(void)close(fd);
	found[n > 0 ? n : 0] = '\0';
	return strcmp(found, text) == 0 ? 0 : live_fail("%s is '%s'", path, found);
}

static bool may(unsigned int cap)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &header, data) == 0 && data[0].effective >> cap & 1;
}

/* Nobody is mapped: the ids are kept all the same, and the first map can still be written. */
static int make_unmapped(void)
{
	return leave(CLONE_NEWUSER);
}

static int check_unmapped(void)
{
	CHECK_EQ(getuid(), 65534);
	CHECK(may(CAP_SYS_ADMIN));
	CHECK_EQ(check_text("/proc/self/uid_map", ""), 0);
	CHECK_EQ(write_text("/proc/self/uid_map", "0 0 1"), 0);
	CHECK_EQ(getuid(), 0);
	return 0;
}

static int check_mapped(void)
{
	CHECK_EQ(getuid(), 0);
	CHECK_EQ(geteuid(), 0);
	CHECK_EQ(getgid(), 7);
	CHECK(may(CAP_SYS_ADMIN));
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_TIME), 0);
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN), 1);
	CHECK_EQ(check_text("/proc/self/setgroups", "allow\n"), 0);
	CHECK_EQ(check_text("/proc/self/uid_map", "         0       4242          1\n"
						  "         1     100000      65536\n"),
		 0);
	/* A subordinate id can be had, another cannot. */
	CHECK_EQ(setresuid(70000, 70000, 70000), -1);
	CHECK_EQ(setresuid(65536, 65536, 65536), 0);
	return 0;
}

/* Has somebody outside write the maps, who may write any. */
static int leave_mapped(const char *uid_map, const char *gid_map)
{
	char path[64], byte = 0;
	int go[2], status;
	pid_t writer;

	if (pipe(go) < 0)
		return 1;
	writer = fork();
	if (writer == 0) {
		if (read(go[0], &byte, 1) != 1)
			_exit(1);
		(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", getppid());
		if (write_text(path, uid_map))
			_exit(1);
		(void)snprintf(path, sizeof(path), "/proc/%d/gid_map", getppid());
		_exit(write_text(path, gid_map));
	}
	if (writer < 0 || leave(CLONE_NEWUSER) || write(go[1], &byte, 1) != 1 || close(go[0]) ||
	    close(go[1]) || waitpid(writer, &status, 0) != writer)
		return 1;
	return status == 0 ? 0 : live_fail("the maps cannot be written");
}

/* An ordinary user outside who is root inside, without a capability; with subordinate ids. */
static int become_mapped(void)
{
	if (leave_mapped("0 4242 1\n1 100000 65536\n", "7 4243 1\n100 200000 1000\n"))
		return 1;
	return syscall(SYS_setgroups, 0, NULL) || setresgid(7, 7, 7) || setresuid(0, 0, 0) ||
	       prctl(PR_CAPBSET_DROP, CAP_SYS_TIME);
}

static int make_mapped(void)
{
	return child_start(become_mapped, check_mapped, NULL);
}

/* Two deep; the middle one has nobody in it. */
static int make_nested(void)
{
	return leave_mapped("10 0 5000\n", "20 0 5000\n") || leave(CLONE_NEWUSER) ||
	       write_text("/proc/self/uid_map", "3 10 1");
}

static int check_nested(void)
{
	CHECK_EQ(getuid(), 3);
	CHECK_EQ(check_text("/proc/self/uid_map", "         3         10          1\n"), 0);
	CHECK_EQ(check_text("/proc/self/gid_map", ""), 0);
	return 0;
}

static int make_limited(void)
{
	int r = make_nested();

	return r ? r : write_text("/proc/sys/user/max_user_namespaces", "5");
}

static int check_limited(void)
{
	CHECK_EQ(check_text("/proc/sys/user/max_user_namespaces", "5\n"), 0);
	return check_nested();
}

static const struct live_row rows[] = {
	{.name = "network", .make = make_net, .refused = "another network namespace"},
	{.name = "UTS", .make = make_uts, .refused = "another UTS namespace"},
	{.name = "IPC", .make = make_ipc, .refused = "another IPC namespace"},
	{.name = "mount", .make = make_mnt, .refused = "another mount namespace"},
	{.name = "cgroup", .make = make_cgroup, .refused = "another cgroup namespace"},
	{.name = "PID, for children, unborn", .make = make_pid, .check = check_unborn},
	{.name = "PID, for children, dead", .make = make_dead, .check = check_dead},
	{.name = "PID, for children, of one thread",
	 .make = make_side_pid,
	 .refused = "another PID namespace for its children than its own"},
	{.name = "user, unmapped", .make = make_unmapped, .check = check_unmapped},
	{.name = "user, mapped", .make = make_mapped, .check = child_check},
	{.name = "user, nested", .make = make_nested, .check = check_nested},
	{.name = "user, limited", .make = make_limited, .check = check_limited},
	{.name = "time, for children",
	 .make = make_time,
	 .refused = "time (for its children) namespace"},
	{.name = "one thread", .make = make_side, .refused = "another UTS namespace"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
