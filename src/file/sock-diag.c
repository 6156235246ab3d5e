/* SPDX-License-Identifier: Apache-2.0 */
#include "file/sock-diag.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/context.h"

enum { ANSWERS = 32768 }; /* bytes: what the kernel fills at most at a time (netlink_dump()) */

struct sock_diag {
	struct mnl_socket *socket;
	unsigned int sequence;
	char buf[ANSWERS];
};

int sock_diag_open(struct context *ctx, struct sock_diag **ret_diag)
{
	struct sock_diag *diag = calloc(1, sizeof(*diag));
	int r;

	if (!diag)
		return err_oom(ctx);
	diag->socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!diag->socket) {
		r = err_sys(ctx, -errno, "socket(NETLINK_SOCK_DIAG)");
		free(diag);
		return r;
	}
	*ret_diag = diag;
	return 0;
}

void sock_diag_close(struct sock_diag *diag)
{
	if (diag)
		(void)mnl_socket_close(diag->socket); /* nothing is lost by a netlink socket */
	free(diag);
}

void sock_diag_closep(struct sock_diag **diag)
{
	sock_diag_close(*diag);
}

struct asking {
	int (*each)(const struct nlmsghdr *answer, void *data);
	void *data;
	int result;
};

static int take_answer(const struct nlmsghdr *answer, void *data)
{
	struct asking *a = data;

	if (answer->nlmsg_type == SOCK_DIAG_BY_FAMILY)
		a->result = a->each(answer, a->data);
	return a->result < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static int send_request(struct sock_diag *diag, const void *request, size_t len, uint16_t flags)
{
	char buf[256];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buf);

	header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	/* An acknowledgement ends what has no end of its own. */
	header->nlmsg_flags =
		(uint16_t)(NLM_F_REQUEST | flags | (flags & NLM_F_DUMP ? 0 : NLM_F_ACK));
	header->nlmsg_seq = ++diag->sequence;
	memcpy(mnl_nlmsg_put_extra_header(header, len), request, len);
	return mnl_socket_sendto(diag->socket, header, header->nlmsg_len) < 0 ? -errno : 0;
}

int sock_diag_ask(struct context *ctx, struct sock_diag *diag, const void *request, size_t len,
		  uint16_t flags, int (*each)(const struct nlmsghdr *answer, void *data),
		  void *data)
{
	struct asking a = {.each = each, .data = data};
	int more = MNL_CB_OK;
	int r = send_request(diag, request, len, flags);

	if (r < 0)
		return err_sys(ctx, r, "asking NETLINK_SOCK_DIAG");
	while (more > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(diag->socket, diag->buf, sizeof(diag->buf));

		if (n < 0)
			return err_sys(ctx, -errno, "reading from NETLINK_SOCK_DIAG");
		more = mnl_cb_run(diag->buf, (size_t)n, diag->sequence,
				  mnl_socket_get_portid(diag->socket), take_answer, &a);
	}
	if (a.result < 0)
		return a.result;
	return more < 0 ? err_sys(ctx, -errno, "NETLINK_SOCK_DIAG") : 0;
}
