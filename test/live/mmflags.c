/* SPDX-License-Identifier: Apache-2.0 */
/* Switches of an address space: huge pages, write-or-execute, same-page merging. */
#include "live.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "kernel/uapi.h"
#include "util/macro.h"

static int skip_on_einval(int r, const char *what)
{
	if (r == 0)
		return 0;
	(void)live_fail("prctl(%s): %s", what, strerrordesc_np(errno));
	return errno == EINVAL ? 77 : 1;
}

static int make_thp(void)
{
	return skip_on_einval(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), "PR_SET_THP_DISABLE");
}

static int check_thp(void)
{
	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	return 0;
}

static int make_thp_except(void)
{
	return skip_on_einval(prctl(PR_SET_THP_DISABLE, 1, PR_THP_DISABLE_EXCEPT_ADVISED, 0, 0),
			      "PR_SET_THP_DISABLE");
}

static int check_thp_except(void)
{
	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1 | PR_THP_DISABLE_EXCEPT_ADVISED);
	return 0;
}

static int make_mdwe(void)
{
	return skip_on_einval(prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0), "PR_SET_MDWE");
}

static int check_mdwe(void)
{
	CHECK_EQ(prctl(PR_GET_MDWE, 0, 0, 0, 0), PR_MDWE_REFUSE_EXEC_GAIN);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0) == MAP_FAILED);
	return 0;
}

static int make_mdwe_alone(void)
{
	return skip_on_einval(
		prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT, 0, 0, 0),
		"PR_SET_MDWE");
}

static int check_mdwe_alone(void)
{
	CHECK_EQ(prctl(PR_GET_MDWE, 0, 0, 0, 0), PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT);
	return 0;
}

static char *excepted;

/* One mapping is taken out of the merging again. */
static int make_merge(void)
{
	int r = skip_on_einval(prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0), "PR_SET_MEMORY_MERGE");

	if (r != 0)
		return r;
	excepted = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(excepted != MAP_FAILED);
	(void)memset(excepted, 7, 4096);
	CHECK_EQ(madvise(excepted, 4 * 4096, MADV_UNMERGEABLE), 0);
	return 0;
}

/* Is the mapping at @at marked as mergeable? -1 if there is none. */
static int is_mergeable(const void *at)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	int here = 0;
	int found = -1;

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start;
		unsigned long end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = (unsigned long)at >= start && (unsigned long)at < end;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, " mg") != NULL;
	}
	if (f)
		(void)fclose(f);
	return found;
}

static int check_merge(void)
{
	static char of_program[4096];

	CHECK_EQ(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), 1);
	CHECK_EQ(is_mergeable(excepted), 0);
	CHECK_EQ(is_mergeable(of_program), 1);
	return 0;
}

static const struct live_row rows[] = {
	{"no huge pages", make_thp, check_thp},
	{"no huge pages but advised ones", make_thp_except, check_thp_except},
	{"MDWE", make_mdwe, check_mdwe},
	{"MDWE, not inherited", make_mdwe_alone, check_mdwe_alone},
	{"KSM", make_merge, check_merge},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
