/* SPDX-License-Identifier: Apache-2.0 */
/* Anonymous pipes: content, capacity, packets, closed sides, several openings, a reader that waits. */
#include "live.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "fd.h"
#include "util/macro.h"

enum { LARGE = 1 << 20, MUCH = 900000 };

static int end[2];
static unsigned char buf[MUCH];

static int put(int fd, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = pattern(i);
	return write(fd, buf, len) != (ssize_t)len;
}

static int check_bytes(int fd, size_t len)
{
	memset(buf, 0, sizeof(buf));
	CHECK_EQ(read(fd, buf, sizeof(buf)), len);
	for (size_t i = 0; i < len; i++)
		CHECK_EQ(buf[i], pattern(i));
	return 0;
}

static int make_content(void)
{
	return pipe(end) < 0 || put(end[1], 50000);
}

static int check_content(void)
{
	CHECK(check_bytes(end[0], 50000) == 0);
	CHECK_EQ(fcntl(end[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(fcntl(end[0], F_GETFL), O_RDONLY);
	CHECK_EQ(fcntl(end[1], F_GETFL), O_WRONLY);
	CHECK_EQ(write(end[1], "x", 1), 1);
	CHECK_EQ(read(end[0], buf, 10), 1);
	return 0;
}

static int make_large(void)
{
	if (pipe2(end, O_NONBLOCK | O_CLOEXEC) < 0 || fcntl(end[0], F_SETPIPE_SZ, LARGE) != LARGE)
		return 1;
	return put(end[1], MUCH);
}

static int check_large(void)
{
	CHECK_EQ(fcntl(end[1], F_GETPIPE_SZ), LARGE);
	CHECK(check_bytes(end[0], MUCH) == 0);
	CHECK_EQ(read(end[0], buf, 1), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(fcntl(end[0], F_GETFD), FD_CLOEXEC);
	return 0;
}

static int make_packets(void)
{
	if (pipe2(end, O_DIRECT) < 0)
		return 1;
	return write(end[1], "1", 1) != 1 || write(end[1], "two", 3) != 3 ||
	       write(end[1], "three", 5) != 5;
}

static int check_packets(void)
{
	CHECK_EQ(read(end[0], buf, sizeof(buf)), 1);
	CHECK_EQ(read(end[0], buf, 2), 2); /* throws the third byte away */
	CHECK_EQ(read(end[0], buf, sizeof(buf)), 5);
	CHECK(memcmp(buf, "three", 5) == 0);
	CHECK_EQ(fcntl(end[1], F_GETFL), O_WRONLY | O_DIRECT);
	return 0;
}

static int make_no_writer(void)
{
	return pipe(end) < 0 || put(end[1], 10) || close(end[1]) < 0;
}

static int check_no_writer(void)
{
	CHECK(check_bytes(end[0], 10) == 0);
	CHECK_EQ(read(end[0], buf, 1), 0);
	return 0;
}

static int make_no_reader(void)
{
	return pipe(end) < 0 || close(end[0]) < 0;
}

static int check_no_reader(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(write(end[1], "x", 1), -1);
	CHECK_EQ(errno, EPIPE);
	return 0;
}

static int second, both, flags;

/* Two readers with flags of their own, and an end that does both. */
static int make_reopened(void)
{
	char path[32];

	if (pipe(end) < 0)
		return 1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", end[0]);
	second = open(path, O_RDONLY | O_NONBLOCK);
	both = open(path, O_RDWR);
	flags = fcntl(second, F_GETFL);
	return second < 0 || both < 0 || put(both, 10);
}

static int check_reopened(void)
{
	CHECK_EQ(read(end[0], buf, 4), 4);
	CHECK_EQ(buf[3], pattern(3));
	CHECK_EQ(read(second, buf, 10), 6);
	CHECK_EQ(buf[0], pattern(4));
	CHECK_EQ(read(second, buf, 1), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(fcntl(second, F_GETFL), flags);
	CHECK_EQ(fcntl(end[0], F_GETFL), O_RDONLY);
	CHECK_EQ(write(both, "x", 1), 1);
	CHECK_EQ(read(both, buf, 9), 1);
	return 0;
}

static int back[2];
static pid_t child;

/* A child that waits in read() when it is dumped. */
static int make_waiting(void)
{
	int ready[2];
	char c;

	if (pipe(end) < 0 || pipe(back) < 0 || pipe(ready) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		(void)close(end[1]);
		(void)close(ready[0]);
		(void)close(ready[1]);
		while (read(end[0], &c, 1) == 1) {
			c++;
			if (write(back[1], &c, 1) != 1)
				_exit(2);
		}
		_exit(7);
	}
	(void)close(end[0]);
	(void)close(back[1]);
	(void)close(ready[1]);
	if (child < 0 || read(ready[0], &c, 1) != 0) /* its descriptors are what they stay */
		return 1;
	return close(ready[0]);
}

static int check_waiting(void)
{
	char c = 'a';
	int status;

	CHECK_EQ(write(end[1], &c, 1), 1);
	CHECK_EQ(read(back[0], &c, 1), 1);
	CHECK_EQ(c, 'b');
	CHECK_EQ(close(end[1]), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(WEXITSTATUS(status), 7);
	CHECK_EQ(read(back[0], &c, 1), 0);
	return 0;
}

static int own[2];

/* Two descriptions on either side, ours and a child's; the pipe ends with the last writer. */
static int make_several(void)
{
	if (pipe(end) < 0 || pipe2(own, O_NONBLOCK) < 0)
		return 1;
	if (put(end[1], 100))
		return 1;
	child = fork();
	if (child == 0) {
		if (open("/proc/self/fd/3", O_RDONLY) < 0)
			_exit(1);
		(void)close(end[0]);
		for (;;)
			(void)pause();
	}
	own[0] = dup3(end[0], own[0], O_CLOEXEC); /* the same description once more */
	(void)close(own[1]);
	own[1] = open("/proc/self/fd/4", O_WRONLY | O_NONBLOCK);
	return child < 0 || own[0] < 0 || own[1] < 0;
}

static int check_several(void)
{
	pid_t me = getpid();

	CHECK(same_description(me, end[0], me, own[0]));
	CHECK(!same_description(me, end[1], me, own[1]));
	CHECK(same_description(me, end[1], child, end[1]));
	CHECK_EQ(fcntl(own[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_EQ(fcntl(end[1], F_GETFL) & O_NONBLOCK, 0);
	CHECK(check_bytes(own[0], 100) == 0);
	CHECK_EQ(close(end[1]), 0);
	CHECK_EQ(write(own[1], "x", 1), 1);
	CHECK_EQ(read(end[0], buf, 10), 1);
	CHECK_EQ(close(own[1]), 0);
	CHECK_EQ(fcntl(end[0], F_SETFL, O_NONBLOCK), 0);
	CHECK_EQ(read(end[0], buf, 10), -1); /* the child is a writer still */
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	CHECK_EQ(read(end[0], buf, 10), 0);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "content", .make = make_content, .check = check_content},
	{.name = "large", .make = make_large, .check = check_large},
	{.name = "packets", .make = make_packets, .check = check_packets},
	{.name = "no-writer", .make = make_no_writer, .check = check_no_writer},
	{.name = "no-reader", .make = make_no_reader, .check = check_no_reader},
	{.name = "reopened", .make = make_reopened, .check = check_reopened},
	{.name = "several", .make = make_several, .check = check_several},
	{.name = "waiting", .make = make_waiting, .check = check_waiting},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
