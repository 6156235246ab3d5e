/* SPDX-License-Identifier: Apache-2.0 */
/* NUMA memory policies of threads and of mappings. */
#include "live.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
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

/* Of the second page of three. */
static char *area;
static long page;

static int make_mapping(void)
{
	unsigned long nodes = 1;

	page = sysconf(_SC_PAGESIZE);
	area = mmap(NULL, (size_t)page * 3, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (area == MAP_FAILED)
		return 1;
	if (syscall(SYS_mbind, area + page, page, MPOL_PREFERRED, &nodes, 65, 0) == 0)
		return 0;
	(void)live_fail("mbind(): %s", strerrordesc_np(errno));
	return errno == ENOSYS ? 77 : 1;
}

static int mode_at(const char *address)
{
	int mode = -1;

	return syscall(SYS_get_mempolicy, &mode, NULL, 0, address, MPOL_F_ADDR) < 0 ? -1 : mode;
}

static int check_mapping(void)
{
	CHECK_EQ(mode_at(area), MPOL_DEFAULT);
	CHECK_EQ(mode_at(area + page), MPOL_PREFERRED);
	CHECK_EQ(mode_at(area + 2 * page), MPOL_DEFAULT);
	return 0;
}

static const struct live_row rows[] = {
	{"bind, static nodes", make_bind, check_bind},
	{"interleave", make_interleave, check_interleave},
	{"local", make_local, check_local},
	{"of one thread", make_side, check_side},
	{"of a mapping", make_mapping, check_mapping},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
