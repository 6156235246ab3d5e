/* SPDX-License-Identifier: Apache-2.0 */
/* Core-scheduling cookies are refused. */
#include "live.h"

#include <errno.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/prctl.h>

#include "side.h"
#include "util/macro.h"

static int make(void)
{
	if (prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD, 0) == 0)
		return 0;
	(void)live_fail("prctl(PR_SCHED_CORE_CREATE): %s", strerrordesc_np(errno));
	return errno == EINVAL || errno == ENODEV ? 77 : 1;
}

static int make_side(void)
{
	return side_run(make);
}

static const struct live_row rows[] = {
	{.name = "of the program", .make = make, .refused = "core-scheduling cookie"},
	{.name = "of one thread", .make = make_side, .refused = "core-scheduling cookie"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
