/* SPDX-License-Identifier: Apache-2.0 */
#include "file/unix-diag.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>

#include "file/sock-diag.h"
#include "file/state.h"
#include "util/cleanup.h"

enum { STATE_LISTEN = 10 }; /* TCP_LISTEN, which unix sockets use too */

struct reading {
	struct collect *c;
	struct unix_sights *sights;
	struct unix_sight *sight;
};

static int take_u32(const struct nlattr *attr, uint32_t *ret)
{
	if (mnl_attr_get_payload_len(attr) < sizeof(uint32_t))
		return -EBADMSG;
	*ret = mnl_attr_get_u32(attr);
	return 0;
}

static int take_copy(struct arena *arena, const struct nlattr *attr, void *ret, size_t *ret_len)
{
	void *copy =
		arena_memdup(arena, mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));

	if (!copy)
		return -ENOMEM;
	*(void **)ret = copy;
	*ret_len = mnl_attr_get_payload_len(attr);
	return 0;
}

static int take_pair(const struct nlattr *attr, uint32_t *ret_first, uint32_t *ret_second)
{
	uint32_t pair[2];

	if (mnl_attr_get_payload_len(attr) < sizeof(pair))
		return -EBADMSG;
	memcpy(pair, mnl_attr_get_payload(attr), sizeof(pair));
	*ret_first = pair[0];
	*ret_second = pair[1];
	return 0;
}

static int take_attribute(struct reading *reading, const struct nlattr *attr)
{
	struct unix_sight *s = reading->sight;
	struct arena *arena = reading->c->arena;
	uint32_t unused;
	int r = 0;

	switch (mnl_attr_get_type(attr)) {
	case UNIX_DIAG_NAME:
		return take_copy(arena, attr, &s->address, &s->address_len);
	case UNIX_DIAG_VFS:
		return take_pair(attr, &s->file_ino, &s->file_dev);
	case UNIX_DIAG_PEER:
		s->has_peer = true;
		return take_u32(attr, &s->peer);
	case UNIX_DIAG_ICONS:
		r = take_copy(arena, attr, &s->pending, &s->n_pending);
		s->n_pending /= sizeof(uint32_t);
		return r;
	case UNIX_DIAG_RQLEN:
		return take_pair(attr, &unused, s->listening ? &s->backlog : &s->unsent);
	case UNIX_DIAG_SHUTDOWN:
		s->shutdown = mnl_attr_get_payload_len(attr) > 0 ? mnl_attr_get_u8(attr) : 0;
		return 0;
	default:
		return 0;
	}
}

static int take_socket(const struct nlmsghdr *answer, void *data)
{
	struct reading *reading = data;
	struct arena *arena = reading->c->arena;
	const struct unix_diag_msg *msg = mnl_nlmsg_get_payload(answer);
	struct unix_sight **slot;
	const struct nlattr *attr;
	int r = 0;

	reading->sight = arena_new(arena, struct unix_sight);
	slot = arena_append(arena, &reading->sights->all, &reading->sights->n, sizeof(*slot));
	if (!reading->sight || !slot)
		return err_oom(reading->c->ctx);
	*slot = reading->sight;
	reading->sight->ino = msg->udiag_ino;
	reading->sight->type = msg->udiag_type;
	reading->sight->listening = msg->udiag_state == STATE_LISTEN;
	mnl_attr_for_each(attr, answer, sizeof(*msg))
	{
		r = take_attribute(reading, attr);
		if (r < 0)
			return err_sys(reading->c->ctx, r, "an answer of unix_diag");
	}
	if (msg->udiag_ino == 0)
		return 0;
	r = chains_add(&reading->sights->by_ino, msg->udiag_ino, &reading->sight->chain);
	return r < 0 ? err_oom(reading->c->ctx) : 0;
}

static void link_waiting(struct unix_sights *sights)
{
	for (size_t i = 0; i < sights->n; i++)
		for (size_t k = 0; k < sights->all[i]->n_pending; k++) {
			struct unix_sight *client =
				unix_sight_find(sights, sights->all[i]->pending[k]);

			if (client && client->ino != 0)
				client->waits_at = sights->all[i]->ino;
		}
}

static int read_sights(struct collect *c, struct unix_sights *sights)
{
	const struct unix_diag_req request = {
		.sdiag_family = AF_UNIX,
		.udiag_states = ~0U,
		.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER |
			      UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN,
	};
	struct reading reading = {.c = c, .sights = sights};
	_cleanup_(sock_diag_closep) struct sock_diag *diag = NULL;
	int r = sock_diag_open(c->ctx, &diag);

	if (r >= 0)
		r = sock_diag_ask(c->ctx, diag, &request, sizeof(request), NLM_F_DUMP, take_socket,
				  &reading);
	if (r == -ENOENT)
		return err_hint(c->ctx, r, "unix sockets need a kernel with CONFIG_UNIX_DIAG");
	if (r >= 0)
		link_waiting(sights);
	return r;
}

int unix_sights_get(struct collect *c, const struct unix_sights **ret)
{
	struct collect_files *files = c->files;
	struct unix_sights *sights = files->unix_sights;
	int r;

	if (!sights) {
		sights = arena_new(c->arena, struct unix_sights);
		if (!sights)
			return err_oom(c->ctx);
		chains_init(&sights->by_ino, c->arena);
		r = read_sights(c, sights);
		if (r < 0)
			return err_while(c->ctx, r, "asking about unix sockets");
		files->unix_sights = sights;
	}
	*ret = sights;
	return 0;
}

struct unix_sight *unix_sight_find(const struct unix_sights *sights, uint64_t ino)
{
	return (struct unix_sight *)chains_find(&sights->by_ino, ino);
}

bool unix_sight_same_name(const struct unix_sight *a, const struct unix_sight *b)
{
	return a->address_len == b->address_len && a->file_dev == b->file_dev &&
	       a->file_ino == b->file_ino &&
	       (a->address_len == 0 || memcmp(a->address, b->address, a->address_len) == 0);
}
