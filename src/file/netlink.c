/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Netlink sockets (struct netlink_sock) of those protocols that remember nothing of who asks: routes and
 * devices, sock_diag, uevents, generic. Port, groups, connect() and options are kept.
 *
 * Messages that wait are the kernel's, and nobody else can put one into the queue as such (the sender is
 * set by netlink_sendmsg()); so are the ones of a dump that is not read to its end. Both are refused, as
 * are the other protocols: behind a socket of netfilter are tables that it owns and queues of packets,
 * behind one of audit its registration, and so on.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file/socket-options.h"
#include "file/state.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

enum { GROUP_WORDS = 64, BITS = 32 };

static bool matches(const struct file_probe *probe)
{
	return socket_domain(probe) == AF_NETLINK;
}

/* ---- options ------------------------------------------------------------------------------- */

static const struct {
	int number;
	const char *name;
	size_t offset;
} options[] = {
	{NETLINK_PKTINFO, "NETLINK_PKTINFO", offsetof(Coppice__NetlinkSocket, packet_info)},
	{NETLINK_BROADCAST_ERROR, "NETLINK_BROADCAST_ERROR",
	 offsetof(Coppice__NetlinkSocket, broadcast_error)},
	{NETLINK_NO_ENOBUFS, "NETLINK_NO_ENOBUFS", offsetof(Coppice__NetlinkSocket, no_enobufs)},
	{NETLINK_LISTEN_ALL_NSID, "NETLINK_LISTEN_ALL_NSID",
	 offsetof(Coppice__NetlinkSocket, listen_all_nsid)},
	{NETLINK_CAP_ACK, "NETLINK_CAP_ACK", offsetof(Coppice__NetlinkSocket, cap_ack)},
	{NETLINK_EXT_ACK, "NETLINK_EXT_ACK", offsetof(Coppice__NetlinkSocket, ext_ack)},
	{NETLINK_GET_STRICT_CHK, "NETLINK_GET_STRICT_CHK",
	 offsetof(Coppice__NetlinkSocket, strict_check)},
};

static uint32_t *field_of(const Coppice__NetlinkSocket *netlink, size_t i)
{
	return (uint32_t *)((char *)netlink + options[i].offset);
}

/* An option that a kernel does not have is off. */
static void get_option(int fd, size_t i, uint32_t *ret)
{
	socklen_t len = sizeof(*ret);

	*ret = 0;
	if (getsockopt(fd, SOL_NETLINK, options[i].number, ret, &len) < 0)
		*ret = 0;
}

static int set_options(struct rebuild *r, const Coppice__NetlinkSocket *netlink, int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const uint32_t *value = field_of(netlink, i);
		uint32_t now;

		get_option(fd, i, &now);
		if (now != *value &&
		    setsockopt(fd, SOL_NETLINK, options[i].number, value, sizeof(*value)) < 0)
			return err_sys(r->ctx, -errno, "setsockopt(%s, %u)", options[i].name,
				       *value);
	}
	return 0;
}

/* ---- collect ------------------------------------------------------------------------------- */

static bool is_known(int protocol)
{
	return protocol == NETLINK_ROUTE || protocol == NETLINK_SOCK_DIAG ||
	       protocol == NETLINK_KOBJECT_UEVENT || protocol == NETLINK_GENERIC;
}

static int refuse(struct collect *c, const struct file_probe *probe, int protocol, const char *hint,
		  const char *what)
{
	return collect_refuse(c, hint, "%s, fd %d (netlink %s, protocol %d): %s",
			      collect_name(c, probe->process), probe->number, probe->link, protocol,
			      what);
}

/* The column "Dump" of /proc/net/netlink, by inode number (the last one). */
static int is_dumping(struct collect *c, ino_t ino, bool *ret)
{
	static const char path[] = "/proc/self/net/netlink";
	_cleanup_free_ char *text = NULL;
	int r = io_read_file(AT_FDCWD, path, &text, NULL);

	*ret = false;
	if (r < 0)
		return err_sys(c->ctx, r, "reading %s", path);
	for (const char *line = strchr(text, '\n'); line && line[1];
	     line = strchr(line + 1, '\n')) {
		uint64_t dump, inode;

		if (sscanf(line + 1, "%*x %*d %*u %*x %*u %*u %" SCNu64 " %*u %*u %" SCNu64, &dump,
			   &inode) == 2 &&
		    inode == ino)
			*ret = dump != 0;
	}
	return 0;
}

static int refuse_waiting(struct collect *c, const struct file_probe *probe, int protocol)
{
	struct pollfd pfd = {.fd = probe->fd, .events = POLLIN};
	bool dumping;
	int r = is_dumping(c, probe->st.st_ino, &dumping);

	if (r < 0)
		return r;
	if (poll(&pfd, 1, 0) < 0)
		return err_sys(c->ctx, -errno, "poll()");
	if (pfd.revents & POLLIN)
		r = refuse(c, probe, protocol, "let it read them",
			   "messages of the kernel's wait, which nobody else can send");
	else if (pfd.revents & POLLERR)
		r = refuse(c, probe, protocol, "let it read it",
			   "has an error that was not fetched");
	if (r >= 0 && dumping)
		r = refuse(c, probe, protocol, "let it read it",
			   "an answer in several parts is not read to its end");
	return r;
}

static int collect_groups(struct collect *c, int fd, Coppice__NetlinkSocket *netlink)
{
	uint32_t words[GROUP_WORDS] = {0};
	socklen_t len = sizeof(words);

	if (getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &len) < 0)
		return err_sys(c->ctx, -errno, "getsockopt(NETLINK_LIST_MEMBERSHIPS)");
	if (len > sizeof(words))
		return err_msg(c->ctx, -E2BIG, "a netlink protocol with %u bytes of groups", len);
	for (uint32_t i = 0; i < GROUP_WORDS * BITS; i++) {
		uint32_t *slot;

		if (!(words[i / BITS] & (1U << (i % BITS))))
			continue;
		slot = arena_append(c->arena, &netlink->groups, &netlink->n_groups, sizeof(*slot));
		if (!slot)
			return err_oom(c->ctx);
		*slot = i + 1;
	}
	return 0;
}

static int collect_names(struct collect *c, int fd, Coppice__NetlinkSocket *netlink)
{
	struct sockaddr_nl name = {0};
	socklen_t len = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
		return err_sys(c->ctx, -errno, "getsockname()");
	netlink->port = name.nl_pid;
	len = sizeof(name);
	if (getpeername(fd, (struct sockaddr *)&name, &len) < 0)
		return err_sys(c->ctx, -errno, "getpeername()");
	netlink->peer_port = name.nl_pid;
	netlink->peer_groups = name.nl_groups;
	return 0;
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__NetlinkSocket *netlink = arena_new(c->arena, Coppice__NetlinkSocket);
	int type, protocol;
	socklen_t len = sizeof(int);
	int r;

	if (!netlink)
		return err_oom(c->ctx);
	coppice__netlink_socket__init(netlink);
	file->netlink = netlink;
	if (getsockopt(probe->fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0 ||
	    getsockopt(probe->fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return err_sys(c->ctx, -errno, "getsockopt(SO_PROTOCOL)");
	netlink->type = (uint32_t)type;
	netlink->protocol = (uint32_t)protocol;
	if (!is_known(protocol))
		return refuse(
			c, probe, protocol, NULL,
			"what this protocol keeps for its sockets in the kernel cannot be read");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		get_option(probe->fd, i, field_of(netlink, i));
	r = socket_options_collect(c, probe, &netlink->options);
	if (r >= 0)
		r = collect_names(c, probe->fd, netlink);
	if (r >= 0)
		r = collect_groups(c, probe->fd, netlink);
	/* What waits at a restored one has come since. */
	return r < 0 || c->rebuilt ? r : refuse_waiting(c, probe, protocol);
}

/* ---- restore ------------------------------------------------------------------------------- */

static int check(struct rebuild *r, const Coppice__File *file)
{
	return socket_options_check(r, file->netlink->options);
}

static int set_names(struct rebuild *r, const Coppice__NetlinkSocket *netlink, int fd)
{
	struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_pid = netlink->port};

	if (netlink->port != 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
		return err_sys(r->ctx, -errno, "bind(netlink port %u)", netlink->port);
	name.nl_pid = netlink->peer_port;
	name.nl_groups = netlink->peer_groups;
	if ((name.nl_pid != 0 || name.nl_groups != 0) &&
	    connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
		return err_sys(r->ctx, -errno, "connect(netlink port %u)", netlink->peer_port);
	for (size_t i = 0; i < netlink->n_groups; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &netlink->groups[i],
			       sizeof(uint32_t)) < 0)
			return err_sys(r->ctx, -errno, "setsockopt(NETLINK_ADD_MEMBERSHIP, %u)",
				       netlink->groups[i]);
	return 0;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const Coppice__NetlinkSocket *netlink = file->netlink;
	_cleanup_close_ int fd =
		socket(AF_NETLINK, (int)netlink->type | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       (int)netlink->protocol);
	int result;

	if (fd < 0)
		return err_sys(r->ctx, -errno, "socket(AF_NETLINK, %u, %u)", netlink->type,
			       netlink->protocol);
	result = socket_options_set(r, netlink->options, fd, SOCKET_EARLY);
	if (result >= 0)
		result = set_options(r, netlink, fd);
	if (result >= 0)
		result = set_names(r, netlink, fd);
	if (result >= 0)
		*ret_fd = TAKE_FD(fd);
	return result;
}

static int last(struct rebuild *r, const Coppice__File *file, int fd)
{
	return socket_options_set(r, file->netlink->options, fd, SOCKET_LATE);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "netlink protocol %u, port %u", file->netlink->protocol,
		       file->netlink->port);
}

const struct file_kind kind_netlink = {
	.name = "netlink socket",
	.which = COPPICE__FILE__KIND_NETLINK,
	.matches = matches,
	.collect = collect,
	.check = check,
	.create = create,
	.last = last,
	.describe = describe,
};
