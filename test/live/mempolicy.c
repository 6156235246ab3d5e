/* SPDX-License-Identifier: Apache-2.0 */
/* NUMA memory policies of threads. */
#include "live.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "side.h"
#include "util/macro.h"

static int set(int mode, unsigned long nodes)
{
	if (syscall(SYS_set_mempolicy, mode, nodes ? &nodes : NULL, nodes ? 65 : 0) == 0)
		return 0;
	(void)live_fail("set_mempolicy(%#x): %s", (unsigned int)mode, strerrordesc_np(errno));
	return errno == ENOSYS || errno == EINVAL ? 77 : 1;
}

static int check(int want_mode, unsigned long want_nodes)
{
	unsigned long nodes[16] = {0};
	int mode = -1;

	CHECK_EQ(syscall(SYS_get_mempolicy, &mode, nodes, 1024, NULL, 0), 0);
	CHECK_EQ(mode, want_mode);
	CHECK_EQ(nodes[0], want_nodes);
	return 0;
}

static int make_bind(void)
{
	return set(MPOL_BIND | MPOL_F_STATIC_NODES, 1);
}

static int check_bind(void)
{
	return check(MPOL_BIND | MPOL_F_STATIC_NODES, 1);
}

static int make_interleave(void)
{
	return set(MPOL_INTERLEAVE, 1);
}

static int check_interleave(void)
{
	return check(MPOL_INTERLEAVE, 1);
}

static int make_local(void)
{
	return set(MPOL_LOCAL, 0);
}

static int check_local(void)
{
	return check(MPOL_LOCAL, 0);
}

static int make_side(void)
{
	return side_run(make_bind);
}

static int check_side(void)
{
	if (check(MPOL_DEFAULT, 0) != 0)
		return 1;
	return side_run(check_bind);
}

static const struct live_row rows[] = {
	{"bind, static nodes", make_bind, check_bind},
	{"interleave", make_interleave, check_interleave},
	{"local", make_local, check_local},
	{"of one thread", make_side, check_side},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
