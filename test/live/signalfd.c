/* SPDX-License-Identifier: Apache-2.0 */
/* signalfd: the mask, and that it shows the signals of whoever reads it. */
#include "live.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "fd.h"
#include "util/macro.h"

static sigset_t set;
static int fd;

static int block(void)
{
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	(void)sigaddset(&set, SIGRTMAX);
	return sigprocmask(SIG_BLOCK, &set, NULL);
}

/* The signal that a read gives; 0: none. */
static int take(int from)
{
	struct signalfd_siginfo info = {};

	return read(from, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

static int make_pending(void)
{
	if (block() < 0)
		return 1;
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 || raise(SIGRTMAX) != 0;
}

static int check_pending(void)
{
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_EQ(take(fd), SIGRTMAX);
	CHECK_EQ(take(fd), 0);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(raise(SIGUSR2), 0);
	CHECK_EQ(take(fd), SIGUSR2);
	return 0;
}

static int ends[2];
static pid_t child;

/* A child that waits in read() of the same one, for its own signals. */
static int make_waiting(void)
{
	if (block() < 0 || pipe(ends) < 0)
		return 1;
	fd = signalfd(-1, &set, 0);
	child = fork();
	if (child == 0) {
		int signal;

		while ((signal = take(fd)) != 0)
			if (write(ends[1], &signal, sizeof(signal)) != sizeof(signal))
				break;
		_exit(1);
	}
	return child < 0;
}

static int check_waiting(void)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	int signal = 0;

	CHECK(same_description(getpid(), fd, child, fd));
	CHECK_EQ(kill(child, SIGUSR2), 0);
	CHECK_EQ(read(ends[0], &signal, sizeof(signal)), sizeof(signal));
	CHECK_EQ(signal, SIGUSR2);
	CHECK_EQ(poll(&poll_fd, 1, 0), 0);
	CHECK_EQ(raise(SIGRTMAX), 0);
	CHECK_EQ(poll(&poll_fd, 1, 0), 1);
	CHECK_EQ(take(fd), SIGRTMAX);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "pending", .make = make_pending, .check = check_pending},
	{.name = "waiting", .make = make_waiting, .check = check_waiting},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
