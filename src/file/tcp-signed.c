/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections whose segments are signed (TCP_MD5SIG, TCP_AO). getsockopt() tells of no key of MD5, but
 * sock_diag does to whoever has CAP_NET_ADMIN (tcp_diag_put_md5sig()). Keys are refused: they are a
 * secret that an image should not have, and a socket without them would be less protected than it was.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "file/sock-diag.h"
#include "file/state.h"
#include "file/tcp.h"
#include "util/cleanup.h"

#ifndef TCP_AO_INFO
#define TCP_AO_INFO 40 /* linux/tcp.h, 6.7 */
#endif

static int note(const struct nlmsghdr *answer, void *data)
{
	struct collect *c = data;
	struct collect_files *files = c->files;
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(answer);
	const struct nlattr *attr;

	if (answer->nlmsg_len < mnl_nlmsg_size(sizeof(*msg)))
		return err_msg(c->ctx, -EBADMSG, "an answer of sock_diag is too short");
	mnl_attr_for_each(attr, answer, sizeof(*msg))
	{
		ino_t *slot;

		if (mnl_attr_get_type(attr) != INET_DIAG_MD5SIG)
			continue;
		slot = arena_append(c->arena, &files->signed_sockets, &files->n_signed_sockets,
				    sizeof(*slot));
		if (!slot)
			return err_oom(c->ctx);
		*slot = msg->idiag_inode;
	}
	return 0;
}

int tcp_signed_collect(struct collect *c)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	_cleanup_(sock_diag_closep) struct sock_diag *diag = NULL;
	int r = sock_diag_open(c->ctx, &diag);

	for (size_t i = 0; r >= 0 && i < sizeof(families); i++) {
		const struct inet_diag_req_v2 request = {
			.sdiag_family = families[i],
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_ext = 1 << (INET_DIAG_INFO - 1), /* without it no keys either */
			.idiag_states = UINT32_MAX,
		};

		r = sock_diag_ask(c->ctx, diag, &request, sizeof(request), NLM_F_DUMP, note, c);
		if (r == -ENOENT) { /* CONFIG_INET_DIAG is off */
			err_clear(c->ctx);
			r = 0;
		}
	}
	return r;
}

int tcp_refuse_signed(struct collect *c, const struct file_probe *probe, int fd)
{
	const struct collect_files *files = c->files;
	uint64_t info[16] = {0};
	socklen_t len = sizeof(info);
	bool is_signed = getsockopt(fd, IPPROTO_TCP, TCP_AO_INFO, info, &len) >= 0;

	for (size_t i = 0; i < files->n_signed_sockets; i++)
		is_signed = is_signed || files->signed_sockets[i] == probe->st.st_ino;
	if (!is_signed)
		return 0;
	return collect_refuse(
		c, NULL,
		"%s, fd %d (TCP %s): its segments are signed (TCP_MD5SIG, TCP_AO), and keys "
		"are not kept",
		collect_name(c, probe->process), probe->number, probe->link);
}
