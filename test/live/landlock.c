/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock domains: whatever they restrict, and whoever is in them, they are seen and refused. */
#include "live.h"

#include <errno.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
#include "side.h"
#include "util/macro.h"

/* All that newer kernels know; older ones take the first part. */
struct ruleset {
	__u64 fs;
	__u64 net;
	__u64 scoped;
};

static int restrict_self(struct ruleset rules, size_t size)
{
	int fd = (int)syscall(__NR_landlock_create_ruleset, &rules, size, 0);

	if (fd < 0) {
		(void)live_fail("landlock_create_ruleset(): %s", strerrordesc_np(errno));
		return 77;
	}
	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_EQ(syscall(__NR_landlock_restrict_self, fd, 0), 0);
	CHECK_EQ(close(fd), 0);
	return 0;
}

static int make_fs(void)
{
	return restrict_self((struct ruleset){.fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK}, sizeof(__u64));
}

static int make_net(void)
{
	return restrict_self((struct ruleset){.net = 1}, 2 * sizeof(__u64));
}

static int make_scope(void)
{
	return restrict_self((struct ruleset){.scoped = 1}, sizeof(struct ruleset));
}

static int make_side(void)
{
	return side_run(make_fs);
}

static int become_user(void)
{
	CHECK_EQ(setresgid(4242, 4242, 4242), 0);
	CHECK_EQ(setresuid(4242, 4242, 4242), 0);
	return 0;
}

static int become_restricted_user(void)
{
	if (become_user() != 0)
		return 1;
	return make_fs();
}

static int make_restricted_user(void)
{
	return child_start(become_restricted_user, NULL, NULL);
}

/* And where there is none, none is seen. */
static int make_free(void)
{
	return 0;
}

static int make_user(void)
{
	return child_start(become_user, NULL, NULL);
}

static const struct live_row rows[] = {
	{.name = "files", .make = make_fs, .refused = "Landlock domain"},
	{.name = "network", .make = make_net, .refused = "Landlock domain"},
	{.name = "scope", .make = make_scope, .refused = "Landlock domain"},
	{.name = "one thread", .make = make_side, .refused = "Landlock domain"},
	{.name = "an ordinary user", .make = make_restricted_user, .refused = "Landlock domain"},
	{.name = "none", .make = make_free},
	{.name = "none, an ordinary user", .make = make_user, .check = child_check},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
