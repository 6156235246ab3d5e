/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest program: it is there again, with its memory and its PID. */
#include "live.h"

#include <unistd.h>

#include "util/macro.h"

static volatile int value;
static pid_t pid;

static int make(void)
{
	value = 42;
	pid = getpid();
	return 0;
}

static int check(void)
{
	CHECK_EQ(value, 42);
	CHECK_EQ(getpid(), pid);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "alone", .make = make, .check = check},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
