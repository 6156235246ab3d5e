/* SPDX-License-Identifier: Apache-2.0 */
/* Syscall user dispatch. */
#include "live.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/macro.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static volatile uint8_t selector; /* 0 allows, 1 blocks */
static volatile int caught;

static void on_sigsys(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	selector = 0;
	caught = info->si_syscall;
}

/* Allows all calls until check() blocks them. */
static int make(void)
{
	struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};

	CHECK_EQ(sigaction(SIGSYS, &action, NULL), 0);
	CHECK_EQ(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector), 0);
	return 0;
}

static int check(void)
{
	selector = 1;
	(void)syscall(SYS_getppid);
	CHECK_EQ(caught, SYS_getppid);
	CHECK_EQ(selector, 0);
	return 0;
}

/* All calls but the C library's are caught, from now on. */
static int make_caught(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start = 0;
	unsigned long end = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "r-xp") && strstr(line, "libc.so") &&
		    sscanf(line, "%lx-%lx", &start, &end) == 2)
			break;
	CHECK(f && end > start);
	(void)fclose(f);
	selector = 1;
	CHECK_EQ(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, start, end - start, &selector), 0);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "with a selector", .make = make, .check = check},
	{.name = "calls are being caught",
	 .make = make_caught,
	 .refused = "are being caught at this moment"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
