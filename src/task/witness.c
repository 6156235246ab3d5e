/* SPDX-License-Identifier: Apache-2.0 */
#include "task/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <sched.h>
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

/*
 * What the coordinator was allowed to do must not be possible here. To get into another user
 * namespace takes the capabilities that a change of the uid must not take along.
 */
static int become_ordinary(const struct witness *w, int user_ns)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	/* Without privilege these fail, but then the user is ours anyway, and groups do not matter. */
	(void)syscall(SYS_setgroups, 0, NULL);
	(void)syscall(SYS_setresgid, w->gid, w->gid, w->gid);
	if (user_ns >= 0)
		(void)prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
	(void)syscall(SYS_setresuid, w->uid, w->uid, w->uid);
	if (user_ns >= 0 && setns(user_ns, CLONE_NEWUSER) < 0)
		return -errno;
	(void)syscall(SYS_capset, &header, none);
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return 0;
}

/* In the child: lives until the coordinator closes its end or dies. */
static _noreturn_ void be_witness(const struct witness *w, int user_ns, int socket)
{
	int32_t key;
	char byte;

	if (become_ordinary(w, user_ns) < 0)
		_exit(1);
	(void)dup2(socket, 0);
	(void)syscall(SYS_close_range, 1, ~0u, 0);
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

/* @user_ns: a descriptor; -EBADF for the coordinator's own. */
static int start_witness(struct context *ctx, struct witness *w, int user_ns)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_sys(ctx, -errno, "socketpair()");
	w->pid = fork();
	if (w->pid == 0)
		be_witness(w, user_ns, sockets[1]);
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

static int open_user_ns(struct collect *c, const struct collect_thread *th, int *ret_fd)
{
	char path[48];
	int fd;

	(void)snprintf(path, sizeof(path), "task/%d/ns/user", th->tid);
	fd = openat(th->process->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(c->ctx, -errno, "open(/proc/%d/%s)", th->process->pid, path);
	*ret_fd = fd;
	return 0;
}

int witness_same_user_ns(struct collect *c, const struct collect_thread *th)
{
	const struct surroundings *s;
	int r = surroundings_get(c->ctx, c->arena, &c->surroundings, &s);

	return r < 0 ? r : s->namespaces[NAMESPACE_USER] == th->user_ns;
}

static struct witness *known(const struct witnesses *witnesses, const struct witness *w)
{
	for (size_t i = 0; i < witnesses->n; i++) {
		struct witness *other = &witnesses->list[i];

		if (other->uid == w->uid && other->gid == w->gid && other->user_ns == w->user_ns)
			return other;
	}
	return NULL;
}

/* Adds it to those that are known; *@w is complete then. */
static int add_witness(struct collect *c, const struct collect_thread *th, struct witness *w)
{
	_cleanup_close_ int user_ns = -EBADF;
	struct witness *slot;
	int r = witness_same_user_ns(c, th);

	if (r == 0)
		r = open_user_ns(c, th, &user_ns);
	if (r >= 0)
		r = start_witness(c->ctx, w, user_ns);
	if (r < 0)
		return r;
	slot = arena_append(c->arena, &c->witnesses->list, &c->witnesses->n, sizeof(*slot));
	if (!slot) {
		end_witness(w);
		return err_oom(c->ctx);
	}
	*slot = *w;
	return 0;
}

int witness_find(struct collect *c, const struct collect_thread *th, const struct witness **ret)
{
	struct witness w = {
		.uid = th->status.uid[0],
		.gid = th->status.gid[0],
		.user_ns = th->user_ns,
		.socket = -EBADF,
	};
	int r = get_witnesses(c);

	if (r >= 0 && !known(c->witnesses, &w))
		r = add_witness(c, th, &w);
	if (r >= 0)
		*ret = known(c->witnesses, &w);
	return r < 0 ? r : 0;
}

int witness_key_of(struct collect *c, const struct collect_thread *th, int32_t *ret)
{
	const struct witness *witness;
	uid_t uid = th->status.uid[0];
	int r = get_witnesses(c), own;
	int32_t key;

	if (r < 0)
		return r;
	own = uid == getuid() ? witness_same_user_ns(c, th) : 0;
	if (own < 0)
		return own;
	if (own) {
		if (!c->witnesses->has_own_key)
			c->witnesses->own_key = witness_key_make();
		c->witnesses->has_own_key = true;
		key = c->witnesses->own_key;
	} else {
		r = witness_find(c, th, &witness);
		if (r < 0)
			return r;
		key = witness->key;
	}
	if (key < 0)
		return err_sys(c->ctx, key, "add_key(keyring) as user %u", uid);
	*ret = key;
	return 0;
}
