/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink sockets: port, groups, options; what waits is refused. */
#include "live.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/macro.h"

enum { NETLINK_PORT = 123456 };

static int fd;

static int ask(uint16_t type, uint16_t flags)
{
	const struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = type,
			 .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
			 .nlmsg_seq = 7},
		.info = {.ifi_index = (int)if_nametoindex("lo")},
	};

	CHECK_EQ(send(fd, &request, sizeof(request), 0), sizeof(request));
	return 0;
}

static int expect_link(void)
{
	char buf[16384];
	const struct nlmsghdr *head = (const struct nlmsghdr *)buf;

	CHECK(recv(fd, buf, sizeof(buf), 0) > (ssize_t)sizeof(*head));
	CHECK_EQ(head->nlmsg_type, RTM_NEWLINK);
	return 0;
}

static int make_bound(void)
{
	const struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_pid = NETLINK_PORT};
	const int on = 1, group = RTNLGRP_LINK;

	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	CHECK_EQ(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
	CHECK_EQ(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), 0);
	CHECK_EQ(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)), 0);
	CHECK_EQ(setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on)), 0);
	return ask(RTM_GETLINK, 0) || expect_link();
}

static int check_bound(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_mtu = 32000};
	struct sockaddr_nl name;
	socklen_t len = sizeof(name);
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	int on = 0;

	CHECK_EQ(getsockname(fd, (struct sockaddr *)&name, &len), 0);
	CHECK_EQ(name.nl_pid, NETLINK_PORT);
	len = sizeof(on);
	CHECK_EQ(getsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, &len), 0);
	CHECK_EQ(on, 1);
	CHECK_EQ(getsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, &len), 0);
	CHECK_EQ(on, 1);
	CHECK(ask(RTM_GETLINK, 0) == 0 && expect_link() == 0);
	/* the group is told of a change */
	CHECK_EQ(ioctl(s, SIOCSIFMTU, &ifr), 0);
	return expect_link();
}

static int make_waiting(void)
{
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	return ask(RTM_GETLINK, 0);
}

static int make_netfilter(void)
{
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	return fd < 0;
}

static const struct live_row rows[] = {
	{.name = "bound", .make = make_bound, .check = check_bound},
	{.name = "waiting",
	 .make = make_waiting,
	 .check = expect_link,
	 .refused = "messages of the kernel's wait"},
	{.name = "netfilter",
	 .make = make_netfilter,
	 .refused = "what this protocol keeps for its sockets in the kernel cannot be read"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
