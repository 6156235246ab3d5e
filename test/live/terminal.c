/* SPDX-License-Identifier: Apache-2.0 */
/* Controlling terminals; test/e2e/shell-job has the one that is a shell's. */
#include "live.h"

#include <signal.h>
#include <sys/wait.h>

#include "child.h"
#include "fd.h"
#include "pair.h"
#include "util/macro.h"

static struct pair pair;

/* ---- of the tree's own */

static int controlling;
static pid_t shell, job, idle;
static int hold[2]; /* what others wait for the end of */

/* A job in a group of its own, in the foreground or not, that dies by SIGINT. */
static pid_t start_job(bool foreground)
{
	pid_t pid = fork();
	char byte;

	if (pid == 0) {
		(void)dup2(hold[0], 3);
		(void)close_range(4, ~0u, 0); /* also what the harness waits for */
		(void)!read(3, &byte, 1);
		_exit(7);
	}
	if (pid < 0 || setpgid(pid, pid) < 0 || (foreground && tcsetpgrp(pair.slave, pid) < 0))
		return -1;
	return pid;
}

static int be_shell(void)
{
	if (setsid() < 0 || ioctl(pair.slave, TIOCSCTTY, 0) < 0 || pipe(hold) < 0)
		return 1;
	controlling = open("/dev/tty", O_RDWR | O_NONBLOCK);
	(void)close(pair.master);
	idle = start_job(false);
	job = start_job(true);
	return controlling < 0 || idle < 0 || job < 0;
}

static int check_shell(void)
{
	int status;

	CHECK_EQ(tcgetsid(pair.slave), getpid());
	CHECK_EQ(tcgetpgrp(controlling), job);
	CHECK(fcntl(controlling, F_GETFL) & O_NONBLOCK);
	/* The main process types ^C meanwhile. */
	CHECK_EQ(waitpid(job, &status, 0), job);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
	CHECK(close(hold[1]) == 0);
	CHECK_EQ(waitpid(idle, &status, 0), idle);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	CHECK(pair_writes(controlling, "done", 4));
	return 0;
}

static int make_shell(void)
{
	return pair_open(&pair) < 0 || child_start(be_shell, check_shell, &shell) != 0 ||
	       close(pair.slave) < 0;
}

static int check_job(void)
{
	CHECK_EQ(tcgetsid(pair.master), shell);
	CHECK(pair_writes(pair.master, "\x03", 1));
	CHECK_EQ(child_check(), 0);
	CHECK(pair_reads(pair.master, "^Cdone", 6));
	return 0;
}

/* ---- several sessions, and one that gave it up */

static struct pair second;

static int take(struct pair *p)
{
	return setsid() < 0 || ioctl(p->slave, TIOCSCTTY, 0) < 0;
}

static int take_first(void)
{
	return take(&pair) || close(pair.slave) < 0;
}

/* Field 7 of its stat. */
static bool has_dropped(void)
{
	char path[64];
	int tty = -1;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", job);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %d", &tty) != 1)
		tty = -1;
	if (f)
		(void)fclose(f);
	return tty == 0;
}

/* Its leader keeps the terminal, this one has given it up. */
static int drop_in_child(void)
{
	char byte;

	job = fork();
	if (job == 0) {
		if (ioctl(second.slave, TIOCNOTTY) < 0)
			_exit(1);
		(void)dup2(hold[0], 3);
		(void)close_range(4, ~0u, 0);
		(void)!read(3, &byte, 1);
		_exit(open("/dev/tty", O_RDWR) < 0 ? 7 : 8);
	}
	return job < 0 || close(hold[0]) < 0 || live_await(has_dropped) != 0;
}

static int take_second(void)
{
	return take(&second) || pipe(hold) < 0 || drop_in_child();
}

static int check_second(void)
{
	int status;

	CHECK_EQ(tcgetsid(second.slave), getpid());
	CHECK(close(hold[1]) == 0);
	CHECK_EQ(waitpid(job, &status, 0), job);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	return 0;
}

static int make_sessions(void)
{
	return pair_open(&pair) < 0 || pair_open(&second) < 0 ||
	       child_start(take_first, NULL, NULL) != 0 ||
	       child_start(take_second, check_second, NULL) != 0;
}

static int check_sessions(void)
{
	CHECK(tcgetsid(pair.master) != tcgetsid(second.master));
	return child_check();
}

/* ---- of somebody else */

/* No descriptor of the terminal is left: the session alone has it. */
static int take_terminal(void)
{
	int ends[2];
	pid_t pid;
	char byte;

	if (pipe(ends) < 0)
		return 1;
	if (pair_open(&pair) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		if (fork() > 0)
			_exit(0);
		(void)dup2(pair.master, 200);
		(void)close_range(3, 199, 0);
		for (;;)
			(void)pause();
	}
	(void)waitpid(pid, NULL, 0);
	(void)close(ends[1]);
	return read(ends[0], &byte, 1) != 0 || close(ends[0]) < 0 || close(pair.master) < 0 ||
	       ioctl(pair.slave, TIOCSCTTY, 0) < 0 || close(pair.slave) < 0;
}

static int take_in_new_session(void)
{
	return setsid() < 0 || take_terminal();
}

static int make_child(void)
{
	return child_start(take_in_new_session, NULL, NULL);
}

static const struct live_row rows[] = {
	{.name = "jobs", .make = make_shell, .check = check_job},
	{.name = "sessions", .make = make_sessions, .check = check_sessions},
	{.name = "of the root",
	 .make = take_terminal,
	 .refused = "its controlling terminal is outside the tree"},
	{.name = "of a child",
	 .make = make_child,
	 .refused = "its controlling terminal is outside the tree"},
	{.name = "another than the job's",
	 .make = make_child,
	 .dump_options = "--shell-job",
	 .refused = "its controlling terminal is another one than that of the job"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
