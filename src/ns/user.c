/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User namespaces: nesting, owner, maps, whether setgroups() is denied. Only those below the
 * coordinator's own can be looked into, and made again.
 *
 * Not to be seen: the owner's group (user_namespace.group, which nothing asks for), and whether the
 * maker had CAP_SETFCAP (parent_could_setfcap: matters to who writes the first map from within).
 */
#include <errno.h>

#include "kernel/sys.h"
#include "ns/ns.h"
#include "util/cleanup.h"

static int add(struct collect *c, const struct collect_process *p, int fd, uint64_t ino,
	       uint32_t parent, int parent_fd, uint32_t *ret_id)
{
	struct collect_namespaces *all = c->namespaces;
	struct known_ns *known = arena_append(c->arena, &all->user, &all->n_user, sizeof(*known));
	Coppice__UserNs **slot = arena_append(c->arena, &c->cp->user_namespaces,
					      &c->cp->n_user_namespaces, sizeof(Coppice__UserNs *));
	Coppice__UserNs *msg = arena_new(c->arena, Coppice__UserNs);
	int r;

	if (!known || !slot || !msg)
		return err_oom(c->ctx);
	*known = (struct known_ns){.ino = ino};
	*slot = msg;
	coppice__user_ns__init(msg);
	msg->id = (uint32_t)c->cp->n_user_namespaces;
	msg->parent = parent;
	*ret_id = msg->id;
	r = user_ns_read_owner(c->ctx, fd, parent ? parent_fd : -EBADF, &msg->owner_uid);
	return r < 0 ? r : user_ns_read(c, p, fd, msg);
}

int user_ns_find(struct collect *c, const struct collect_process *p, int fd, uint32_t *ret_id)
{
	struct collect_namespaces *all = ns_of(c);
	_cleanup_close_ int above = -EBADF;
	const struct surroundings *s;
	uint64_t ino;
	uint32_t parent = 0;
	bool own;
	int r;

	if (!all)
		return err_oom(c->ctx);
	r = surroundings_get(c->ctx, c->arena, &c->surroundings, &s);
	if (r == 0)
		r = ns_identify(c->ctx, fd, &ino);
	if (r < 0)
		return r;
	own = s->namespaces[NAMESPACE_USER] == ino;
	*ret_id = own ? 0 : ns_known(all->user, all->n_user, ino);
	if (own || *ret_id)
		return 0;
	above = sys_ns_parent(fd);
	if (above == -EPERM)
		return collect_refuse(c, "run coppice in a user namespace above it",
				      "%s: its user namespace is not below coppice's own",
				      collect_name(c, p));
	if (above < 0)
		return err_sys(c->ctx, above, "ioctl(NS_GET_PARENT)");
	r = user_ns_find(c, p, above, &parent);
	return r < 0 ? r : add(c, p, fd, ino, parent, above, ret_id);
}
