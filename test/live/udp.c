/* SPDX-License-Identifier: Apache-2.0 */
/* UDP sockets: names, options, groups, and what waits with its senders. */
#include "live.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "peer.h"
#include "util/macro.h"

enum { PORT = 5353, SENDER = 5354, BIG = 60000 };

static int family = AF_INET;
static int fd = -1, other = -1;

static socklen_t address(struct sockaddr_storage *ss, int port, bool any)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		v4->sin_port = htons((uint16_t)port);
		v4->sin_addr.s_addr = htonl(any ? INADDR_ANY : INADDR_LOOPBACK);
		return sizeof(*v4);
	}
	v6->sin6_port = htons((uint16_t)port);
	v6->sin6_addr = any ? in6addr_any : in6addr_loopback;
	return sizeof(*v6);
}

static int bound(int port, bool any)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, port, any);
	int s = socket(family, SOCK_DGRAM, 0);

	return s < 0 || bind(s, (struct sockaddr *)&ss, len) < 0 ? -1 : s;
}

static int send_to(int s, int port, size_t len)
{
	static unsigned char buf[BIG];
	struct sockaddr_storage ss;
	socklen_t ss_len = address(&ss, port, false);

	for (size_t i = 0; i < len; i++)
		buf[i] = pattern(i + len);
	CHECK_EQ(sendto(s, buf, len, 0, (struct sockaddr *)&ss, ss_len), len);
	return 0;
}

static int expect_from(int s, int port, size_t len)
{
	static unsigned char buf[BIG + 1];
	struct sockaddr_storage ss, expected;
	socklen_t ss_len = sizeof(ss);

	(void)address(&expected, port, false);
	CHECK_EQ(recvfrom(s, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&ss, &ss_len), len);
	for (size_t i = 0; i < len; i++)
		CHECK_EQ(buf[i], pattern(i + len));
	CHECK_EQ(((struct sockaddr_in *)&ss)->sin_port, htons((uint16_t)port));
	if (family == AF_INET)
		CHECK_EQ(((struct sockaddr_in *)&ss)->sin_addr.s_addr,
			 ((struct sockaddr_in *)&expected)->sin_addr.s_addr);
	else
		CHECK(memcmp(&((struct sockaddr_in6 *)&ss)->sin6_addr,
			     &((struct sockaddr_in6 *)&expected)->sin6_addr, 16) == 0);
	return 0;
}

static int make_queue(void)
{
	fd = bound(PORT, true);
	other = bound(SENDER, false);
	CHECK(fd >= 0 && other >= 0);
	return send_to(other, PORT, 7) || send_to(other, PORT, BIG) || send_to(other, PORT, 1);
}

static int make_queue6(void)
{
	family = AF_INET6;
	return make_queue();
}

static int check_queue(void)
{
	if (expect_from(fd, SENDER, 7) || expect_from(fd, SENDER, BIG) ||
	    expect_from(fd, SENDER, 1))
		return 1;
	CHECK_EQ(recv(fd, &family, 1, MSG_DONTWAIT), -1);
	CHECK(send_to(fd, SENDER, 5) == 0);
	return expect_from(other, PORT, 5);
}

static int make_connected(void)
{
	struct sockaddr_storage ss;
	socklen_t len = address(&ss, PORT, false);

	fd = bound(PORT, false);
	other = socket(family, SOCK_DGRAM, 0);
	CHECK_EQ(connect(other, (struct sockaddr *)&ss, len), 0);
	CHECK_EQ(send(other, "hello", 5, 0), 5);
	return 0;
}

static int check_connected(void)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char buf[8];

	CHECK_EQ(recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&ss, &len), 5);
	CHECK_EQ(sendto(fd, "back", 4, 0, (struct sockaddr *)&ss, len), 4);
	CHECK_EQ(recv(other, buf, sizeof(buf), MSG_DONTWAIT), 4);
	CHECK(memcmp(buf, "back", 4) == 0);
	return 0;
}

static const struct {
	int level, number, value;
} options[] = {
	{SOL_SOCKET, SO_BROADCAST, 1},
	{SOL_SOCKET, SO_REUSEADDR, 1},
	{SOL_SOCKET, SO_PEEK_OFF, 4},
	{SOL_IP, IP_TOS, 0x20},
	{SOL_SOCKET, SO_PRIORITY, 2}, /* IP_TOS has made it another */
	{SOL_IP, IP_TTL, 9},
	{SOL_IP, IP_PKTINFO, 1},
	{SOL_IP, IP_MULTICAST_IF, 0x0100007f},
	{SOL_IP, IP_RECVERR, 1},
	{SOL_IP, IP_MULTICAST_TTL, 4},
	{SOL_IP, IP_MULTICAST_LOOP, 0},
	{SOL_IP, IP_MULTICAST_ALL, 0},
	{SOL_UDP, UDP_CORK, 1},
	{SOL_UDP, 103 /* UDP_SEGMENT */, 1200},
	{SOL_UDP, 104 /* UDP_GRO */, 1},
};

static int make_options(void)
{
	fd = bound(PORT, true);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		CHECK_EQ(setsockopt(fd, options[i].level, options[i].number, &options[i].value,
				    sizeof(int)),
			 0);
	return 0;
}

static int check_options(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int value = -1;
		socklen_t len = sizeof(value);

		CHECK_EQ(getsockopt(fd, options[i].level, options[i].number, &value, &len), 0);
		CHECK_EQ(value, options[i].value);
	}
	return 0;
}

/* One group from anybody, one from a single sender, and one of IPv6. */
static int make_groups(void)
{
	struct ip_mreqn any = {.imr_ifindex = (int)if_nametoindex("lo")};
	struct ip_mreq_source one = {.imr_interface.s_addr = htonl(INADDR_LOOPBACK),
				     .imr_sourceaddr.s_addr = htonl(INADDR_LOOPBACK)};
	struct ipv6_mreq v6 = {.ipv6mr_interface = if_nametoindex("lo")};

	any.imr_multiaddr.s_addr = inet_addr("239.1.2.3");
	one.imr_multiaddr.s_addr = inet_addr("232.1.2.3");
	(void)inet_pton(AF_INET6, "ff01::1234", &v6.ipv6mr_multiaddr);
	fd = bound(PORT, true);
	CHECK_EQ(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &any, sizeof(any)), 0);
	CHECK_EQ(setsockopt(fd, SOL_IP, IP_ADD_SOURCE_MEMBERSHIP, &one, sizeof(one)), 0);
	family = AF_INET6;
	other = bound(PORT + 1, true);
	CHECK_EQ(setsockopt(other, SOL_IPV6, IPV6_ADD_MEMBERSHIP, &v6, sizeof(v6)), 0);
	return 0;
}

/* Who is a member cannot become one again. */
static int check_groups(void)
{
	struct ip_mreqn any = {.imr_ifindex = (int)if_nametoindex("lo")};
	struct ipv6_mreq v6 = {.ipv6mr_interface = if_nametoindex("lo")};
	struct {
		struct ip_msfilter filter;
		struct in_addr more[4];
	} one = {.filter = {.imsf_interface.s_addr = htonl(INADDR_LOOPBACK), .imsf_numsrc = 4}};
	socklen_t len = sizeof(one);

	any.imr_multiaddr.s_addr = inet_addr("239.1.2.3");
	one.filter.imsf_multiaddr.s_addr = inet_addr("232.1.2.3");
	(void)inet_pton(AF_INET6, "ff01::1234", &v6.ipv6mr_multiaddr);
	CHECK_EQ(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &any, sizeof(any)), -1);
	CHECK_EQ(errno, EADDRINUSE);
	CHECK_EQ(setsockopt(fd, SOL_IP, IP_DROP_MEMBERSHIP, &any, sizeof(any)), 0);
	CHECK_EQ(getsockopt(fd, SOL_IP, IP_MSFILTER, &one, &len), 0);
	CHECK_EQ(one.filter.imsf_fmode, MCAST_INCLUDE);
	CHECK_EQ(one.filter.imsf_numsrc, 1);
	CHECK_EQ(one.filter.imsf_slist[0].s_addr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(setsockopt(other, SOL_IPV6, IPV6_ADD_MEMBERSHIP, &v6, sizeof(v6)), -1);
	CHECK_EQ(errno, EADDRINUSE);
	return 0;
}

static int make_corked(void)
{
	const int on = 1;

	CHECK(make_connected() == 0);
	CHECK_EQ(setsockopt(other, SOL_UDP, UDP_CORK, &on, sizeof(on)), 0);
	CHECK_EQ(send(other, "part", 4, 0), 4);
	return 0;
}

/* Nobody listens there any more. */
static int make_error(void)
{
	CHECK(make_connected() == 0);
	CHECK_EQ(close(fd), 0);
	CHECK_EQ(send(other, "x", 1, 0), 1);
	return 0;
}

static int check_error(void)
{
	char byte;

	CHECK_EQ(recv(other, &byte, 1, MSG_DONTWAIT), -1);
	CHECK_EQ(errno, ECONNREFUSED);
	return 0;
}

/* A client that does not wait until the restored program runs. */
static int keeps_sending(int s)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid < 0;
	s = socket(family, SOCK_DGRAM, 0);
	for (;;) {
		(void)send_to(s, PORT, 100);
		(void)poll(NULL, 0, 1);
	}
}

static int make_busy(void)
{
	fd = bound(PORT, true);
	return fd < 0 || peer_start(-1, keeps_sending, NULL);
}

static int check_busy(void)
{
	unsigned char buf[200];

	CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 100);
	return 0;
}

static int make_shut(void)
{
	CHECK(make_connected() == 0);
	CHECK_EQ(shutdown(other, SHUT_RD), 0);
	return 0;
}

static int check_shut(void)
{
	char byte;

	CHECK_EQ(recv(other, &byte, 1, 0), 0);
	return 0;
}

/* A device of its own, which stays when the program closes it. */
static int make_device(const char *name, const char *ip)
{
	struct ifreq request = {.ifr_flags = IFF_TUN};
	struct sockaddr_in *to = (struct sockaddr_in *)&request.ifr_addr;
	int tun = open("/dev/net/tun", O_RDWR), s = socket(AF_INET, SOCK_DGRAM, 0);

	if (tun < 0)
		return live_fail("no /dev/net/tun"), 77;
	(void)strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	CHECK_EQ(ioctl(tun, TUNSETIFF, &request), 0);
	CHECK_EQ(ioctl(tun, TUNSETPERSIST, 1), 0);
	to->sin_family = AF_INET;
	to->sin_port = 0;
	to->sin_addr.s_addr = inet_addr(ip);
	CHECK_EQ(ioctl(s, SIOCSIFADDR, &request), 0);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	CHECK_EQ(ioctl(s, SIOCSIFFLAGS, &request), 0);
	return close(tun) || close(s);
}

/* It hears one device, at any of its addresses. */
static int make_device_queue(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(PORT),
				 .sin_addr.s_addr = inet_addr("10.9.9.1")};
	int r = make_device("coptest0", "10.9.9.1");

	if (r != 0)
		return r;
	fd = bound(PORT, true);
	other = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "coptest0", 8), 0);
	CHECK_EQ(sendto(other, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	return 0;
}

static int check_device_queue(void)
{
	char byte;

	CHECK_EQ(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "queue", .make = make_queue, .check = check_queue},
	{.name = "queue v6", .make = make_queue6, .check = check_queue},
	{.name = "busy", .make = make_busy, .check = check_busy},
	{.name = "connected", .make = make_connected, .check = check_connected},
	{.name = "options", .make = make_options, .check = check_options},
	{.name = "groups", .make = make_groups, .check = check_groups},
	{.name = "corked", .make = make_corked, .refused = "has a datagram that is not sent yet"},
	{.name = "shut for reading",
	 .make = make_shut,
	 .check = check_shut,
	 .refused = "is shut down for reading"},
	{.name = "queue of a device",
	 .make = make_device_queue,
	 .check = check_device_queue,
	 .refused = "takes none but a group's, or a device's"},
	{.name = "error",
	 .make = make_error,
	 .check = check_error,
	 .refused = "has an error that was not fetched"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
