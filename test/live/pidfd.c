/* SPDX-License-Identifier: Apache-2.0 */
/* pidfd: processes and threads that live, are zombies, or are gone. */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fd.h"
#include "util/macro.h"

enum { THREAD = O_EXCL, NONBLOCK = O_NONBLOCK }; /* PIDFD_* */

static pid_t child;
static int fd, other;

static int open_pid(pid_t pid, int flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int send_signal(int to, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, to, sig, NULL, 0);
}

static short ready(int of)
{
	struct pollfd poll_fd = {.fd = of, .events = POLLIN};

	return poll(&poll_fd, 1, 0) < 0 ? -1 : poll_fd.revents;
}

static bool same_inode(int x, int y)
{
	struct stat a, b;

	return fstat(x, &a) == 0 && fstat(y, &b) == 0 && a.st_ino == b.st_ino;
}

/* How it has ended (PIDFD_GET_INFO, 6.15); -1: the kernel does not tell. */
static int exit_code(int of)
{
	struct {
		uint64_t mask;
		uint64_t cgroup;
		uint32_t ids[11];
		int32_t exit_code;
	} info = {.mask = 8};

	return ioctl(of, _IOWR(0xFF, 11, info), &info) < 0 || !(info.mask & 8) ? -1
									       : info.exit_code;
}

static int start(void)
{
	child = fork();
	if (child == 0)
		for (;;)
			(void)pause();
	return child < 0;
}

static int make_alive(void)
{
	if (start() != 0)
		return 1;
	fd = open_pid(child, NONBLOCK);
	other = open_pid(child, 0);
	return fd < 0 || other < 0 || fcntl(other, F_SETFD, 0) < 0;
}

static int check_alive(void)
{
	int status;

	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(other, F_GETFL), O_RDWR);
	CHECK_EQ(fcntl(other, F_GETFD), 0);
	CHECK(!same_description(getpid(), fd, getpid(), other));
	CHECK(same_inode(fd, other));
	CHECK_EQ(ready(fd), 0);
	CHECK_EQ(send_signal(fd, SIGTERM), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(WTERMSIG(status), SIGTERM);
	CHECK(ready(other) & POLLIN);
	return 0;
}

static int make_zombie(void)
{
	siginfo_t info;

	child = fork();
	if (child == 0)
		_exit(5);
	fd = open_pid(child, 0);
	other = open_pid(child, THREAD);
	return fd < 0 || other < 0 || waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) < 0;
}

static int check_zombie(void)
{
	siginfo_t info;

	CHECK_EQ(fcntl(other, F_GETFL), O_RDWR | THREAD);
	CHECK_EQ(ready(fd), POLLIN);
	CHECK_EQ(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), 0);
	CHECK_EQ(info.si_status, 5);
	CHECK_EQ(send_signal(other, 0), -1);
	CHECK_EQ(errno, ESRCH);
	return 0;
}

static int status_before;

/* Two that exited, one of which was killed. */
static int make_gone(void)
{
	pid_t killed = fork();

	if (killed == 0)
		for (;;)
			(void)pause();
	child = fork();
	if (child == 0)
		_exit(7);
	fd = open_pid(child, NONBLOCK);
	other = open_pid(killed, 0);
	if (fd < 0 || other < 0 || dup2(fd, 50) < 0 || open_pid(child, THREAD) != other + 1)
		return 1;
	if (kill(killed, SIGTERM) < 0 || waitpid(killed, NULL, 0) != killed ||
	    waitpid(child, NULL, 0) != child)
		return 1;
	status_before = exit_code(other);
	return 0;
}

static int check_gone(void)
{
	int thread = other + 1;

	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_EQ(fcntl(thread, F_GETFL), O_RDWR | THREAD);
	CHECK(same_description(getpid(), fd, getpid(), 50));
	CHECK(same_inode(fd, thread) || status_before < 0);
	CHECK(!same_inode(fd, other) || status_before < 0);
	CHECK(ready(fd) & POLLIN);
	CHECK(ready(thread) & POLLIN);
	CHECK_EQ(send_signal(other, 0), -1);
	CHECK_EQ(errno, ESRCH);
	CHECK_EQ(exit_code(other), status_before);
	if (status_before >= 0) {
		CHECK_EQ(status_before, SIGTERM);
		CHECK_EQ(exit_code(fd), W_EXITCODE(7, 0));
		CHECK_EQ(exit_code(thread), W_EXITCODE(7, 0));
	}
	return 0;
}

static pthread_t thread;
static pid_t tid;
static volatile bool ended;

static void *wait_for_end(void *unused)
{
	(void)unused;
	tid = gettid();
	fd = open_pid(tid, THREAD);
	while (!ended)
		(void)usleep(1000);
	return NULL;
}

static bool is_open(void)
{
	return fd != -1;
}

static int make_thread(void)
{
	fd = -1;
	if (pthread_create(&thread, NULL, wait_for_end, NULL) != 0)
		return 1;
	(void)live_await(is_open);
	other = open_pid(getpid(), 0);
	if (fd != -1 && other >= 0)
		return 0;
	(void)live_fail("this kernel has no PIDFD_THREAD");
	return 77;
}

static bool is_ready(void)
{
	return ready(fd) & POLLIN;
}

static int check_thread(void)
{
	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | THREAD);
	CHECK_EQ(ready(fd), 0);
	CHECK_EQ(send_signal(fd, 0), 0);
	ended = true;
	(void)pthread_join(thread, NULL);
	CHECK_EQ(live_await(is_ready), 0);
	CHECK_EQ(ready(other), 0);
	CHECK_EQ(send_signal(other, 0), 0);
	return 0;
}

static int ep;

static int make_watched(void)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 42};

	ep = epoll_create1(0);
	if (start() != 0)
		return 1;
	fd = open_pid(child, 0);
	return ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) < 0;
}

static int check_watched(void)
{
	struct epoll_event event;

	CHECK_EQ(epoll_wait(ep, &event, 1, 0), 0);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(epoll_wait(ep, &event, 1, -1), 1);
	CHECK_EQ(event.data.u64, 42);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	return 0;
}

static int make_outside(void)
{
	fd = open_pid(getppid(), 0);
	return fd < 0;
}

static const struct live_row rows[] = {
	{.name = "alive", .make = make_alive, .check = check_alive},
	{.name = "zombie", .make = make_zombie, .check = check_zombie},
	{.name = "gone", .make = make_gone, .check = check_gone},
	{.name = "thread", .make = make_thread, .check = check_thread},
	{.name = "watched", .make = make_watched, .check = check_watched},
	{.name = "outside", .make = make_outside, .refused = "1, which is outside the tree"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
