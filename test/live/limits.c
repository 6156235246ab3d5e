/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits and oom_score_adj. */
#include <stdint.h>
#include <sys/resource.h>

#include "child.h"
#include "live.h"
#include "util/macro.h"

static const struct {
	int which;
	struct rlimit limit;
} wanted[] = {
	{RLIMIT_CPU, {3600, 7200}},
	{RLIMIT_FSIZE, {4096, 4096}},
	{RLIMIT_DATA, {RLIM_INFINITY, UINT64_C(1) << 40}},
	{RLIMIT_STACK, {1 << 20, RLIM_INFINITY}},
	{RLIMIT_CORE, {0, 12345}},
	{RLIMIT_NPROC, {1, 2}},
	{RLIMIT_NOFILE, {7, 8}},
	{RLIMIT_MEMLOCK, {0, 0}},
	{RLIMIT_AS, {UINT64_C(1) << 40, UINT64_C(1) << 41}},
	{RLIMIT_SIGPENDING, {0, 1}},
	{RLIMIT_MSGQUEUE, {1, 2}},
	{RLIMIT_RTTIME, {1000000, 2000000}},
};

static struct rlimit taken[ARRAY_SIZE(wanted)];

static int write_oom(const char *value)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "we");

	return !f || fputs(value, f) < 0 || fclose(f);
}

static int read_oom(void)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "re");
	int value = -1;

	if (f) {
		if (fscanf(f, "%d", &value) != 1)
			value = -1;
		(void)fclose(f);
	}
	return value;
}

static int take(void)
{
	if (write_oom("345"))
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		struct rlimit limit = wanted[i].limit, now;

		/* No higher than what the test itself was given. */
		if (getrlimit(wanted[i].which, &now))
			return 1;
		limit.rlim_max = MIN(limit.rlim_max, now.rlim_max);
		limit.rlim_cur = MIN(limit.rlim_cur, limit.rlim_max);
		if (setrlimit(wanted[i].which, &limit))
			return 1;
		taken[i] = limit;
	}
	return 0;
}

static int check_limits(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		struct rlimit now;

		CHECK_EQ(getrlimit(wanted[i].which, &now), 0);
		CHECK_EQ(now.rlim_cur, taken[i].rlim_cur);
		CHECK_EQ(now.rlim_max, taken[i].rlim_max);
	}
	CHECK_EQ(read_oom(), 345);
	return 0;
}

static int make(void)
{
	return child_start(take, check_limits, NULL);
}

static const struct live_row rows[] = {
	{.name = "low", .make = make, .check = child_check},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
