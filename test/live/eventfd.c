/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd: the counter, what a read takes, flags, and a reader that waits. */
#include "live.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "fd.h"
#include "util/macro.h"

static int fd, other;

static int put(int to, uint64_t value)
{
	return write(to, &value, sizeof(value)) != sizeof(value);
}

/* What a read gives; 0: it would wait. */
static uint64_t take(int from)
{
	uint64_t value = 0;

	(void)fcntl(from, F_SETFL, O_NONBLOCK);
	return read(from, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static int make_counter(void)
{
	fd = eventfd(3, EFD_CLOEXEC);
	other = eventfd(0, EFD_NONBLOCK);
	return fd < 0 || other < 0 || put(fd, 1ULL << 40);
}

static int check_counter(void)
{
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR);
	CHECK_EQ(fcntl(other, F_GETFD), 0);
	CHECK_EQ(fcntl(other, F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_EQ(take(fd), (1ULL << 40) + 3);
	CHECK_EQ(take(fd), 0);
	CHECK_EQ(take(other), 0);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(put(other, 5), 0);
	CHECK_EQ(take(other), 5);
	return 0;
}

static int make_semaphore(void)
{
	fd = eventfd(2, EFD_SEMAPHORE);
	return fd < 0;
}

static int check_semaphore(void)
{
	CHECK_EQ(take(fd), 1);
	CHECK_EQ(take(fd), 1);
	CHECK_EQ(take(fd), 0);
	return 0;
}

/* One more and a writer would wait. */
static int make_full(void)
{
	fd = eventfd(0, EFD_NONBLOCK);
	return fd < 0 || put(fd, UINT64_MAX - 1);
}

static int check_full(void)
{
	CHECK_EQ(put(fd, 1), 1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(take(fd), UINT64_MAX - 1);
	return 0;
}

static pid_t child;

/* A child that waits in read(), and answers by another one that it got a second number of. */
static int make_waiting(void)
{
	uint64_t value;

	fd = eventfd(0, 0);
	other = eventfd(0, 0);
	child = fork();
	if (child == 0) {
		int again = dup(other);

		if (put(again, 1) != 0)
			_exit(1);
		while (read(fd, &value, sizeof(value)) == sizeof(value))
			if (put(again, value + 1) != 0)
				_exit(1);
		_exit(2);
	}
	return child < 0 || read(other, &value, sizeof(value)) != sizeof(value);
}

static int check_waiting(void)
{
	uint64_t value;

	CHECK(same_description(getpid(), fd, child, fd));
	CHECK_EQ(put(fd, 41), 0);
	CHECK_EQ(read(other, &value, sizeof(value)), sizeof(value));
	CHECK_EQ(value, 42);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "counter", .make = make_counter, .check = check_counter},
	{.name = "semaphore", .make = make_semaphore, .check = check_semaphore},
	{.name = "full", .make = make_full, .check = check_full},
	{.name = "waiting", .make = make_waiting, .check = check_waiting},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
