/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces other than coppice's own are refused by name, thread by thread. */
#include "live.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>

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

static int make_user(void)
{
	return leave(CLONE_NEWUSER);
}

static int make_pid(void)
{
	return leave(CLONE_NEWPID);
}

static int make_time(void)
{
	return leave(CLONE_NEWTIME);
}

static int make_side(void)
{
	return side_run(make_uts);
}

static const struct live_row rows[] = {
	{.name = "network", .make = make_net, .refused = "another network namespace"},
	{.name = "UTS", .make = make_uts, .refused = "another UTS namespace"},
	{.name = "IPC", .make = make_ipc, .refused = "another IPC namespace"},
	{.name = "mount", .make = make_mnt, .refused = "another mount namespace"},
	{.name = "cgroup", .make = make_cgroup, .refused = "another cgroup namespace"},
	{.name = "user", .make = make_user, .refused = "another user namespace"},
	{.name = "PID, for children",
	 .make = make_pid,
	 .refused = "PID (for its children) namespace"},
	{.name = "time, for children",
	 .make = make_time,
	 .refused = "time (for its children) namespace"},
	{.name = "one thread", .make = make_side, .refused = "another UTS namespace"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
