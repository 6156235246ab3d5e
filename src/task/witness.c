/* SPDX-License-Identifier: Apache-2.0 */
#include "task/witness.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/io.h"

struct witnesses {
	struct witness *list;
	size_t n;
	int32_t own_key; /* see struct witness; of the coordinator */
	bool has_own_key;
};

/* ---- keys ----------------------------------------------------------------------------------- */

enum { KEY_SECONDS = 600 };

/*
 * Whoever possesses a new keyring may search it, other processes of the user may only see it
 * (key_create_or_update()); linked into the user's session keyring it is possessed by all that
 * have this one for theirs. The name is unique: one of the same name would take its place.
 */
int32_t witness_key_make(void)
{
	struct timespec now;
	char name[64];
	long key;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)snprintf(name, sizeof(name), "coppice-%d-%lld%09ld", getpid(), (long long)now.tv_sec,
		       now.tv_nsec);
	key = syscall(SYS_add_key, "keyring", name, NULL, 0, KEY_SPEC_USER_SESSION_KEYRING);
	if (key < 0)
		return errno == ENOSYS ? 0 : -errno;
	(void)syscall(SYS_keyctl, KEYCTL_SET_TIMEOUT, key, KEY_SECONDS); /* only if we are killed */
	return (int32_t)key;
}

void witness_key_drop(int32_t key)
{
	if (key > 0) /* if it fails the key expires */
		(void)syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_USER_SESSION_KEYRING);
}

/* ---- processes ------------------------------------------------------------------------------ */

/* What the coordinator was allowed to do must not be possible here. */
static void become_ordinary(uid_t uid, gid_t gid)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	/* Without privilege these fail, but then the user is ours anyway, and groups do not matter. */
	(void)syscall(SYS_setgroups, 0, NULL);
	(void)syscall(SYS_setresgid, gid, gid, gid);
	(void)syscall(SYS_setresuid, uid, uid, uid);
	(void)syscall(SYS_capset, &header, none);
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/* In the child: lives until the coordinator closes its end or dies. */
static _noreturn_ void be_witness(uid_t uid, gid_t gid, int socket)
{
	int32_t key;
	char byte;

	(void)dup2(socket, 0);
	(void)syscall(SYS_close_range, 1, ~0u, 0);
	become_ordinary(uid, gid);
	key = witness_key_make();
	if (io_write_all(0, &key, sizeof(key)) == 0)
		while (read(0, &byte, 1) < 0 && errno == EINTR)
			;
	witness_key_drop(key);
	_exit(0);
}

static void end_witness(struct witness *w)
{
	close_guard(&w->socket);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int start_witness(struct context *ctx, struct witness *w)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_sys(ctx, -errno, "socketpair()");
	w->pid = fork();
	if (w->pid == 0)
		be_witness(w->uid, w->gid, sockets[1]);
	close_guard(&sockets[1]);
	w->socket = sockets[0];
	if (w->pid < 0) {
		int r = -errno;

		close_guard(&w->socket);
		return err_sys(ctx, r, "fork()");
	}
	if (recv(w->socket, &w->key, sizeof(w->key), MSG_WAITALL) != sizeof(w->key)) {
		end_witness(w);
		return err_msg(ctx, -EIO, "a process of coppice's own died at its start");
	}
	return 0;
}

void witnesses_free(struct witnesses *witnesses)
{
	if (!witnesses)
		return;
	witness_key_drop(witnesses->own_key);
	for (size_t i = 0; i < witnesses->n; i++)
		end_witness(&witnesses->list[i]);
}

static int get_witnesses(struct collect *c)
{
	if (!c->witnesses)
		c->witnesses = arena_new(c->arena, struct witnesses);
	return c->witnesses ? 0 : err_oom(c->ctx);
}

int witness_find(struct collect *c, uid_t uid, gid_t gid, const struct witness **ret)
{
	struct witness w = {.uid = uid, .gid = gid, .socket = -EBADF};
	struct witness *slot;
	int r = get_witnesses(c);

	if (r < 0)
		return r;
	for (size_t i = 0; i < c->witnesses->n; i++) {
		slot = &c->witnesses->list[i];
		if (slot->uid == uid && slot->gid == gid) {
			*ret = slot;
			return 0;
		}
	}
	r = start_witness(c->ctx, &w);
	if (r < 0)
		return r;
	slot = arena_append(c->arena, &c->witnesses->list, &c->witnesses->n, sizeof(*slot));
	if (!slot) {
		end_witness(&w);
		return err_oom(c->ctx);
	}
	*slot = w;
	*ret = slot;
	return 0;
}

int witness_key_of(struct collect *c, uid_t uid, gid_t gid, int32_t *ret)
{
	const struct witness *witness;
	int32_t key;
	int r = get_witnesses(c);

	if (r < 0)
		return r;
	if (uid == getuid()) {
		if (!c->witnesses->has_own_key)
			c->witnesses->own_key = witness_key_make();
		c->witnesses->has_own_key = true;
		key = c->witnesses->own_key;
	} else {
		r = witness_find(c, uid, gid, &witness);
		if (r < 0)
			return r;
		key = witness->key;
	}
	if (key < 0)
		return err_sys(c->ctx, key, "add_key(keyring) as user %u", uid);
	*ret = key;
	return 0;
}
