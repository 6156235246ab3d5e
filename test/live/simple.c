/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest program: it is there again, with its memory and its PID. And many of them. */
#include "live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
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

/*
 * So many processes that coppice reads ahead: what is read of one must not be taken for another's.
 * Each differs from its neighbours in what /proc says, and some are dead.
 */
enum { CROWD = 40, DEAD = CROWD / 5 };

static pid_t dead[DEAD];

static const char *own_directory(void)
{
	return value % 2 ? "/proc" : "/";
}

static int write_number(const char *path, int number)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return 1;
	(void)fprintf(f, "%d", number);
	return fclose(f) != 0;
}

static int read_number(const char *path, int base)
{
	char text[32] = "";
	FILE *f = fopen(path, "r");

	if (!f || !fgets(text, sizeof(text), f))
		text[0] = '\0';
	if (f)
		(void)fclose(f);
	return text[0] ? (int)strtol(text, NULL, base) : -1;
}

static int make_one(void)
{
	pid = getpid();
	if (write_number("/proc/self/oom_score_adj", value) ||
	    write_number("/proc/self/coredump_filter", value))
		return 1;
	return chdir(own_directory());
}

static int check_one(void)
{
	char cwd[64] = "";

	CHECK_EQ(getpid(), pid);
	CHECK_EQ(read_number("/proc/self/oom_score_adj", 10), value);
	CHECK_EQ(read_number("/proc/self/coredump_filter", 16), value);
	CHECK(getcwd(cwd, sizeof(cwd)) && strcmp(cwd, own_directory()) == 0);
	return 0;
}

static int make_crowd(void)
{
	for (int i = 0; i < CROWD; i++) {
		value = i;
		if (child_start(make_one, check_one, NULL))
			return 1;
		if (i % 5)
			continue;
		dead[i / 5] = fork();
		if (dead[i / 5] == 0)
			_exit(i);
		if (dead[i / 5] < 0)
			return 1;
	}
	value = 42;
	pid = getpid();
	for (size_t i = 0; i < DEAD; i++)
		if (waitid(P_PID, (id_t)dead[i], &(siginfo_t){}, WEXITED | WNOWAIT) < 0)
			return 1;
	return 0;
}

static int check_crowd(void)
{
	int status;

	for (int i = 0; i < DEAD; i++) {
		CHECK_EQ(waitpid(dead[i], &status, 0), dead[i]);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5 * i);
	}
	return child_check() || check();
}

static const struct live_row rows[] = {
	{.name = "alone", .make = make, .check = check},
	{.name = "crowd", .make = make_crowd, .check = check_crowd},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
