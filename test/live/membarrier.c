/* SPDX-License-Identifier: Apache-2.0 */
/* Registrations with membarrier(2). */
#include "live.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "side.h"
#include "util/macro.h"

static int membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0) < 0 ? -errno : 0;
}

static int make_private(void)
{
	CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), -EPERM);
	CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED), 0);
	return 0;
}

/* What was registered works, what was not does not. */
static int check_private(void)
{
	CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), 0);
	CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE), -EPERM);
	return 0;
}

static int nothing(void)
{
	return 0;
}

static int make_all(void)
{
	CHECK_EQ(side_run(nothing), 0);
	CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED), 0);
	CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE), 0);
	CHECK_EQ(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED), 0);
	return 0;
}

static int check_all(void)
{
	CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), 0);
	CHECK_EQ(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE), 0);
	return 0;
}

static const struct live_row rows[] = {
	{"private", make_private, check_private},
	{"several, with threads", make_all, check_all},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
