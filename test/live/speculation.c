/* SPDX-License-Identifier: Apache-2.0 */
/* Speculation controls of threads. */
#include "live.h"

#include <errno.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/prctl.h>

#include "side.h"
#include "util/macro.h"

static int disable(unsigned long feature, unsigned long how)
{
	if (prctl(PR_SET_SPECULATION_CTRL, feature, how, 0, 0) == 0)
		return 0;
	(void)live_fail("prctl(PR_SET_SPECULATION_CTRL): %s", strerrordesc_np(errno));
	return errno == ENXIO || errno == ENODEV || errno == EPERM ? 77 : 1;
}

static int make_ssb(void)
{
	return disable(PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE);
}

static int check_ssb(void)
{
	CHECK_EQ(prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0),
		 PR_SPEC_PRCTL | PR_SPEC_DISABLE);
	return 0;
}

static int make_ib(void)
{
	return disable(PR_SPEC_INDIRECT_BRANCH, PR_SPEC_FORCE_DISABLE);
}

static int check_ib(void)
{
	CHECK_EQ(prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, 0, 0, 0),
		 PR_SPEC_PRCTL | PR_SPEC_FORCE_DISABLE);
	return 0;
}

static int make_side(void)
{
	return side_run(make_ssb);
}

static int check_side(void)
{
	CHECK_EQ(prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0),
		 PR_SPEC_PRCTL | PR_SPEC_ENABLE);
	return side_run(check_ssb);
}

static const struct live_row rows[] = {
	{"store bypass", make_ssb, check_ssb},
	{"indirect branches, forced", make_ib, check_ib},
	{"of one thread", make_side, check_side},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
