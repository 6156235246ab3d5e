/* SPDX-License-Identifier: Apache-2.0 */
/* Character devices: without state, without any yet, and such that have some. */
#include "live.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>

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

static int fd;

static int make_tun(void)
{
	return (fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK)) < 0;
}

/* It is not attached to anything, as it was not before; the name is one that cannot be. */
static int check_tun(void)
{
	struct ifreq ifr = {};
	unsigned int features = 0;

	CHECK_EQ(ioctl(fd, TUNGETIFF, &ifr), -1);
	CHECK_EQ(errno, EBADFD);
	CHECK(ioctl(fd, TUNGETFEATURES, &features) == 0 && (features & IFF_TUN));
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	return 0;
}

/* The interface is in a network namespace that dies with the program. */
static int make_attached(void)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "coppice%d"};

	if (home < 0 || unshare(CLONE_NEWNET) < 0 || make_tun() != 0 ||
	    ioctl(fd, TUNSETIFF, &ifr) < 0)
		return 1;
	return setns(home, CLONE_NEWNET) < 0 || close(home) < 0;
}

static int make_kmsg(void)
{
	return (fd = open("/dev/kmsg", O_WRONLY)) < 0;
}

static int check_kmsg(void)
{
	char byte;

	CHECK_EQ(read(fd, &byte, 1), -1);
	CHECK_EQ(errno, EBADF);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	return 0;
}

static int make_log(void)
{
	return (fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK)) < 0;
}

static int make_fuse(void)
{
	return (fd = open("/dev/fuse", O_RDWR)) < 0;
}

static int make_unknown(void)
{
	return (fd = open("/dev/cpu_dma_latency", O_RDWR)) < 0;
}

static const struct live_row rows[] = {
	{.name = "stateless", .make = make, .check = check},
	{.name = "tun", .make = make_tun, .check = check_tun},
	{.name = "tun, attached",
	 .make = make_attached,
	 .refused = "is attached to interface coppice0"},
	{.name = "kmsg", .make = make_kmsg, .check = check_kmsg},
	{.name = "kmsg, read", .make = make_log, .refused = "how far it has been read"},
	{.name = "fuse", .make = make_fuse, .refused = "connection to a FUSE file system"},
	{.name = "unknown", .make = make_unknown, .refused = "whose state cannot be read"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
