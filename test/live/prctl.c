/* SPDX-License-Identifier: Apache-2.0 */
/* Switches of threads by prctl(2): memory errors, the time-stamp counter, I/O flushing. */
#include "live.h"

#include <errno.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/prctl.h>

#include "side.h"
#include "util/macro.h"

static int make_mce(void)
{
	CHECK_EQ(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0), 0);
	return 0;
}

static int check_mce(void)
{
	CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_EARLY);
	return 0;
}

static int make_side_mce(void)
{
	return side_run(make_mce);
}

static int check_side_mce(void)
{
	CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
	return side_run(check_mce);
}

static int make_tsc(void)
{
	if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0)
		return 0;
	(void)live_fail("prctl(PR_SET_TSC): %s", strerrordesc_np(errno));
	return errno == EINVAL ? 77 : 1;
}

static int check_tsc(void)
{
	int mode = 0;

	CHECK_EQ(prctl(PR_GET_TSC, &mode), 0);
	CHECK_EQ(mode, PR_TSC_SIGSEGV);
	return 0;
}

static int make_flusher(void)
{
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0)
		return 0;
	(void)live_fail("prctl(PR_SET_IO_FLUSHER): %s", strerrordesc_np(errno));
	return errno == EPERM || errno == EINVAL ? 77 : 1;
}

static int check_flusher(void)
{
	CHECK_EQ(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0), 1);
	return 0;
}

static const struct live_row rows[] = {
	{"early kill on memory errors", make_mce, check_mce},
	{"early kill of one thread", make_side_mce, check_side_mce},
	{"no time-stamp counter", make_tsc, check_tsc},
	{"I/O flusher", make_flusher, check_flusher},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
