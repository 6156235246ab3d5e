/* SPDX-License-Identifier: Apache-2.0 */
/* Character devices without state. */
#include "live.h"

#include <errno.h>

#include "fd.h"
#include "util/macro.h"

static int null, zero, full, urandom, flags;

static int make(void)
{
	null = open("/dev/null", O_WRONLY | O_APPEND);
	zero = open("/dev/zero", O_RDWR | O_NONBLOCK);
	full = open("/dev/full", O_RDWR);
	urandom = open("/dev/urandom", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	flags = fcntl(zero, F_GETFL);
	return null < 0 || zero < 0 || full < 0 || urandom < 0;
}

static int check(void)
{
	char buf[4] = "abc";

	CHECK_EQ(write(null, buf, 4), 4);
	CHECK_EQ(read(zero, buf, 4), 4);
	CHECK_EQ(buf[0], 0);
	CHECK_EQ(fcntl(zero, F_GETFL), flags);
	CHECK_EQ(write(full, buf, 4), -1);
	CHECK_EQ(errno, ENOSPC);
	CHECK_EQ(read(urandom, buf, 4), 4);
	CHECK_EQ(fcntl(urandom, F_GETFD), FD_CLOEXEC);
	return 0;
}

static int make_unknown(void)
{
	return open("/dev/ptmx", O_RDWR | O_NOCTTY) < 0;
}

static const struct live_row rows[] = {
	{.name = "stateless", .make = make, .check = check},
	{.name = "unknown",
	 .make = make_unknown,
	 .refused = "ptmx: this kind of open file is not supported"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
