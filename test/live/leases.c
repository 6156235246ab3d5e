/* SPDX-License-Identifier: Apache-2.0 */
/* Leases (F_SETLEASE): held, with an owner for the signal or none, and being broken. */
#include "live.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fd.h"
#include "util/macro.h"

static int fd;
static pid_t child;

static int open_file(int flags)
{
	int f = open("file", O_CREAT | O_RDWR, 0600);

	if (f < 0 || write(f, "content", 7) != 7 || close(f) < 0)
		return 1;
	fd = open("file", flags);
	return fd < 0;
}

static sigset_t only(int signal)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, signal);
	return set;
}

static void block(int signal)
{
	sigset_t set = only(signal);

	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

/* The signal is pending, once. */
static int expect_signal(int signal)
{
	const struct timespec none = {};
	sigset_t set = only(signal);
	siginfo_t info = {};

	CHECK_EQ(sigtimedwait(&set, &info, &none), signal);
	if (signal != SIGIO)
		CHECK_EQ(info.si_fd, fd);
	CHECK_EQ(sigtimedwait(&set, &info, &none), -1);
	CHECK_EQ(errno, EAGAIN);
	return 0;
}

/* Opens the file with @flags in a process of its own, which ends with 5 when it could. */
static pid_t open_elsewhere(int flags)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)close(fd);
		_exit(open("file", flags) >= 0 ? 5 : 6);
	}
	return pid;
}

static int ended_with(pid_t pid)
{
	int status = -1;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static int make_read(void)
{
	block(SIGRTMIN + 1);
	if (open_file(O_RDONLY))
		return 1;
	return fcntl(fd, F_SETSIG, SIGRTMIN + 1) < 0 || fcntl(fd, F_SETLEASE, F_RDLCK) < 0;
}

static int check_read(void)
{
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
	CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
	CHECK_EQ(ended_with(open_elsewhere(O_RDONLY)), 5);
	CHECK_EQ(open("file", O_WRONLY | O_NONBLOCK), -1);
	CHECK_EQ(errno, EWOULDBLOCK);
	return expect_signal(SIGRTMIN + 1);
}

static int make_write(void)
{
	block(SIGIO);
	return open_file(O_RDWR) || fcntl(fd, F_SETLEASE, F_WRLCK) < 0;
}

static int check_write(void)
{
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_WRLCK);
	CHECK_EQ(ended_with(open_elsewhere(O_RDONLY | O_NONBLOCK)), 6);
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK); /* what it has to become */
	return expect_signal(SIGIO);
}

/* Nobody is to be told. */
static int make_silent(void)
{
	block(SIGIO);
	return make_write() || fcntl(fd, F_SETOWN, 0) < 0;
}

static int check_silent(void)
{
	const struct timespec none = {};
	sigset_t set = only(SIGIO);

	CHECK_EQ(fcntl(fd, F_GETOWN), 0);
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_WRLCK);
	CHECK_EQ(ended_with(open_elsewhere(O_WRONLY | O_NONBLOCK)), 6);
	CHECK_EQ(sigtimedwait(&set, NULL, &none), -1);
	return 0;
}

static bool is_breaking(void)
{
	return fcntl(fd, F_GETLEASE) != F_WRLCK;
}

static bool is_to_go(void)
{
	return fcntl(fd, F_GETLEASE) == F_UNLCK;
}

/* The child waits in open() until the lease is given up. */
static int make_broken(void)
{
	if (make_read())
		return 1;
	child = open_elsewhere(O_WRONLY);
	return child < 0 || live_await(is_to_go);
}

static int check_broken(void)
{
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK(expect_signal(SIGRTMIN + 1) == 0);
	CHECK_EQ(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
	CHECK_EQ(ended_with(child), 5);
	return 0;
}

/* A write lease that has to become one that reads. */
static int make_downgraded(void)
{
	if (make_write())
		return 1;
	child = open_elsewhere(O_RDONLY);
	return child < 0 || live_await(is_breaking);
}

static int check_downgraded(void)
{
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK(expect_signal(SIGIO) == 0);
	CHECK_EQ(close(fd), 0);
	CHECK_EQ(ended_with(child), 5);
	return 0;
}

static int make_unnamed(void)
{
	return make_read() || unlink("file") < 0;
}

static int check_unnamed(void)
{
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
	return 0;
}

static int make_unnamed_write(void)
{
	return make_write() || unlink("file") < 0;
}

static int make_mapped(void)
{
	return make_write() || mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED;
}

static const struct live_row rows[] = {
	{.name = "read", .make = make_read, .check = check_read},
	{.name = "write", .make = make_write, .check = check_write},
	{.name = "silent", .make = make_silent, .check = check_silent},
	{.name = "broken", .make = make_broken, .check = check_broken},
	{.name = "downgraded", .make = make_downgraded, .check = check_downgraded},
	{.name = "content-checked",
	 .make = make_write,
	 .dump_options = "--check-content",
	 .refused = "would break the lease on it"},
	{.name = "unnamed", .make = make_unnamed, .check = check_unnamed},
	{.name = "unnamed, write",
	 .make = make_unnamed_write,
	 .refused = "would break the lease on it"},
	{.name = "mapped", .make = make_mapped, .refused = "has a write lease and is mapped"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
