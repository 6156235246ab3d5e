/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No call lists a socket's memberships. But whoever is a member of a group has made the device listen to
 * it, and those groups /proc/net/igmp and igmp6 do list; and asked about one of them on one device
 * (MCAST_MSFILTER), a socket says whether it is a member, and which senders it wants to hear.
 */
#include "file/inet-groups.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "util/cleanup.h"
#include "util/io.h"

enum { SOURCES_MAX = 128 };

struct question {
	struct collect *c;
	int fd;
	Coppice__InetGroup ***groups;
	size_t *n;
};

static socklen_t filter_size(uint32_t sources)
{
	return (socklen_t)GROUP_FILTER_SIZE(sources);
}

static int add_text(struct collect *c, const struct sockaddr_storage *from, char **ret)
{
	bool v6 = from->ss_family == AF_INET6;
	const void *ip = v6 ? (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr
			    : &((const struct sockaddr_in *)from)->sin_addr;
	char text[INET6_ADDRSTRLEN];

	(void)inet_ntop(from->ss_family, ip, text, sizeof(text)); /* it fits */
	*ret = arena_strdup(c->arena, text);
	return *ret ? 0 : err_oom(c->ctx);
}

static int add_group(const struct question *q, const struct group_filter *filter)
{
	Coppice__InetGroup *group = arena_new(q->c->arena, Coppice__InetGroup);
	Coppice__InetGroup **slot = arena_append(q->c->arena, q->groups, q->n, sizeof(*slot));
	char device[IF_NAMESIZE] = "";
	int r = 0;

	if (!group || !slot)
		return err_oom(q->c->ctx);
	coppice__inet_group__init(group);
	*slot = group;
	if (!if_indextoname(filter->gf_interface, device))
		return err_sys(q->c->ctx, -errno, "if_indextoname(%u)", filter->gf_interface);
	group->device = arena_strdup(q->c->arena, device);
	group->exclude = filter->gf_fmode == MCAST_EXCLUDE;
	group->sources = arena_new_n(q->c->arena, char *, filter->gf_numsrc + 1);
	if (!group->device || !group->sources)
		return err_oom(q->c->ctx);
	r = add_text(q->c, &filter->gf_group, &group->group);
	for (uint32_t i = 0; r >= 0 && i < filter->gf_numsrc; i++)
		r = add_text(q->c, &filter->gf_slist[i], &group->sources[group->n_sources++]);
	return r;
}

/* Asks the socket about one group on one device. */
static int ask(const struct question *q, unsigned int device, const struct sockaddr_storage *group)
{
	int level = group->ss_family == AF_INET6 ? SOL_IPV6 : SOL_IP;
	socklen_t len = filter_size(SOURCES_MAX);
	_cleanup_free_ struct group_filter *filter = calloc(1, len);

	if (!filter)
		return err_oom(q->c->ctx);
	filter->gf_interface = device;
	filter->gf_group = *group;
	filter->gf_numsrc = SOURCES_MAX;
	if (getsockopt(q->fd, level, MCAST_MSFILTER, filter, &len) < 0)
		return 0; /* EADDRNOTAVAIL: it is not; others: it cannot be */
	if (filter->gf_numsrc > SOURCES_MAX)
		return err_msg(q->c->ctx, -E2BIG, "a multicast group with %u sources",
			       filter->gf_numsrc);
	return add_group(q, filter);
}

/* "1	lo        :     1      V3" and below it "		010000E0     1 0:00000000		0" */
static int ask_v4(const struct question *q, const char *text)
{
	unsigned int device = 0;
	int r = 0;

	for (const char *line = strchr(text, '\n'); r >= 0 && line && line[1];
	     line = strchr(line + 1, '\n')) {
		struct sockaddr_storage group = {.ss_family = AF_INET};
		unsigned int address;

		if (line[1] != '\t')
			(void)sscanf(line + 1, "%u", &device);
		else if (sscanf(line + 1, " %8x", &address) == 1) {
			((struct sockaddr_in *)&group)->sin_addr.s_addr = address;
			r = ask(q, device, &group);
		}
	}
	return r;
}

static bool parse_v6(const char *hex, struct in6_addr *ret)
{
	for (size_t i = 0; i < sizeof(*ret); i++)
		if (sscanf(hex + 2 * i, "%2hhx", &ret->s6_addr[i]) != 1)
			return false;
	return true;
}

/* "1    lo              ff020000000000000000000000000001     1 0000000C 0" */
static int ask_v6(const struct question *q, const char *text)
{
	int r = 0;

	for (const char *line = text; r >= 0 && line && *line; line = strchr(line, '\n')) {
		struct sockaddr_storage group = {.ss_family = AF_INET6};
		unsigned int device;
		char hex[33];

		line += *line == '\n';
		if (sscanf(line, "%u %*s %32s", &device, hex) == 2 && strlen(hex) == 32 &&
		    parse_v6(hex, &((struct sockaddr_in6 *)&group)->sin6_addr))
			r = ask(q, device, &group);
		if (!*line)
			break;
	}
	return r;
}

static int read_and_ask(const struct question *q, const char *path,
			int (*ask_all)(const struct question *q, const char *text))
{
	_cleanup_free_ char *text = NULL;
	int r = io_read_file(AT_FDCWD, path, &text, NULL);

	if (r == -ENOENT)
		return 0; /* a kernel without multicast, or without IPv6 */
	return r < 0 ? err_sys(q->c->ctx, r, "reading %s", path) : ask_all(q, text);
}

/* The kernel lists them by their age. */
static int by_name(const void *a, const void *b)
{
	const Coppice__InetGroup *x = *(Coppice__InetGroup *const *)a;
	const Coppice__InetGroup *y = *(Coppice__InetGroup *const *)b;
	int order = strcmp(x->group, y->group);

	return order != 0 ? order : strcmp(x->device, y->device);
}

int inet_groups_collect(struct collect *c, int fd, Coppice__InetGroup ***ret_groups, size_t *ret_n)
{
	const struct question q = {c, fd, ret_groups, ret_n};
	int r = read_and_ask(&q, "/proc/self/net/igmp", ask_v4);

	if (r >= 0)
		r = read_and_ask(&q, "/proc/self/net/igmp6", ask_v6);
	if (r >= 0 && *ret_n > 1)
		qsort(*ret_groups, *ret_n, sizeof(**ret_groups), by_name);
	return r;
}

/* ---- restore ------------------------------------------------------------------------------- */

/* Of a valid image: the text is an address. */
static void set_address(const char *text, struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET};
	(void)inet_pton(ret->ss_family, text,
			ret->ss_family == AF_INET6
				? (void *)&((struct sockaddr_in6 *)ret)->sin6_addr
				: &((struct sockaddr_in *)ret)->sin_addr);
}

static int join(struct rebuild *r, int fd, const Coppice__InetGroup *group)
{
	socklen_t len = filter_size((uint32_t)group->n_sources);
	_cleanup_free_ struct group_filter *filter = calloc(1, len);
	struct group_req request = {.gr_interface = if_nametoindex(group->device)};
	int level = strchr(group->group, ':') ? SOL_IPV6 : SOL_IP;

	if (!filter)
		return err_oom(r->ctx);
	set_address(group->group, &request.gr_group);
	if (setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof(request)) < 0)
		return err_sys(r->ctx, -errno, "setsockopt(MCAST_JOIN_GROUP, %s on %s)",
			       group->group, group->device);
	if (group->exclude && group->n_sources == 0)
		return 0;
	filter->gf_interface = request.gr_interface;
	filter->gf_group = request.gr_group;
	filter->gf_fmode = group->exclude ? MCAST_EXCLUDE : MCAST_INCLUDE;
	filter->gf_numsrc = (uint32_t)group->n_sources;
	for (size_t i = 0; i < group->n_sources; i++)
		set_address(group->sources[i], &filter->gf_slist[i]);
	if (setsockopt(fd, level, MCAST_MSFILTER, filter, len) < 0)
		return err_sys(r->ctx, -errno, "setsockopt(MCAST_MSFILTER, %s)", group->group);
	return 0;
}

int inet_groups_set(struct rebuild *r, int fd, Coppice__InetGroup *const *groups, size_t n)
{
	int result = 0;

	for (size_t i = 0; result >= 0 && i < n; i++)
		result = join(r, fd, groups[i]);
	return result;
}
