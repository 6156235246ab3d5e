/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of which the kernel notes who made them: process number, effective ids and groups
 * (init_peercred() takes current and its credentials). The stubs have the right numbers already, but are
 * what coppice is: they change their effective ids for the call; the saved ones lead back. With the file
 * system uid back at ours before, permissions to the socket's file are ours too.
 *
 * A number whose process has died is taken by a child of ours for the time of the call; it shares our
 * descriptors, so what it makes is ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file/unix.h"
#include "puppet/puppet.h"
#include "util/cleanup.h"
#include "util/macro.h"

/* ---- here ---------------------------------------------------------------------------------- */

static int do_here(struct unix_deed *d)
{
	switch (d->what) {
	case UNIX_DEED_PAIR:
		return socketpair(AF_UNIX, d->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, d->pair);
	case UNIX_DEED_LISTEN:
		return listen(d->fd, d->backlog);
	case UNIX_DEED_CONNECT:
		return connect(d->fd, (const struct sockaddr *)&d->target->address, d->target->len);
	}
	errno = EINVAL;
	return -1;
}

static const char *deed_name(const struct unix_deed *d)
{
	static const char *const names[] = {
		[UNIX_DEED_PAIR] = "socketpair()",
		[UNIX_DEED_LISTEN] = "listen()",
		[UNIX_DEED_CONNECT] = "connect() of a unix socket",
	};

	return names[d->what];
}

/* ---- by a process of the tree ---------------------------------------------------------------- */

static struct rebuild_process *find_process(const struct rebuild *r, int32_t number)
{
	for (size_t i = 0; i < r->n_processes; i++)
		if (r->processes[i].msg->pid[0] == number && r->processes[i].n_threads > 0)
			return &r->processes[i];
	return NULL;
}

/* Ours, which the stubs have too. */
struct own_ids {
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	int n_groups;
};

static int own_ids_read(struct rebuild *r, struct own_ids *ret)
{
	*ret = (struct own_ids){.uid = geteuid(), .gid = getegid(), .n_groups = getgroups(0, NULL)};
	ret->groups = arena_new_n(r->arena, gid_t, (size_t)MAX(ret->n_groups, 0) + 1);
	if (!ret->groups)
		return err_oom(r->ctx);
	ret->n_groups = getgroups(ret->n_groups, ret->groups);
	return ret->n_groups < 0 ? err_sys(r->ctx, -errno, "getgroups()") : 0;
}

static bool are_own(const struct own_ids *own, const Coppice__UnixCredentials *who)
{
	return who->uid == own->uid && who->gid == own->gid &&
	       who->n_groups == (size_t)own->n_groups &&
	       (own->n_groups == 0 ||
		memcmp(who->groups, own->groups, who->n_groups * sizeof(*own->groups)) == 0);
}

static void add_groups(struct call_table *t, const gid_t *groups, size_t n)
{
	(void)call_add(t, "setgroups()", SYS_setgroups, CALL_IMM(n),
		       n > 0 ? CALL_DATA(call_space(t, groups, n * sizeof(*groups))) : CALL_IMM(0));
}

static void add_become(struct call_table *t, const Coppice__UnixCredentials *who, uid_t fs_uid)
{
	add_groups(t, who->groups, who->n_groups);
	(void)call_add(t, "setresgid()", SYS_setresgid, CALL_IMM(-1), CALL_IMM(who->gid),
		       CALL_IMM(-1));
	(void)call_add(t, "setresuid()", SYS_setresuid, CALL_IMM(-1), CALL_IMM(who->uid),
		       CALL_IMM(-1));
	(void)call_add(t, "setfsuid()", SYS_setfsuid, CALL_IMM(fs_uid));
}

static void add_be_again(struct call_table *t, const struct own_ids *own)
{
	(void)call_add(t, "setresuid()", SYS_setresuid, CALL_IMM(-1), CALL_IMM(own->uid),
		       CALL_IMM(-1));
	(void)call_add(t, "setresgid()", SYS_setresgid, CALL_IMM(-1), CALL_IMM(own->gid),
		       CALL_IMM(-1));
	add_groups(t, own->groups, (size_t)own->n_groups);
}

/* What the puppet is lent for the call: numbers there. */
struct lent {
	int fds[2];
	size_t n;
};

static int lend(struct rebuild *r, struct puppet *p, const struct unix_deed *d, struct lent *ret)
{
	int here[2];

	*ret = (struct lent){};
	if (d->what == UNIX_DEED_PAIR)
		return 0;
	here[ret->n++] = d->fd;
	if (d->what == UNIX_DEED_CONNECT && d->target->file >= 0)
		here[ret->n++] = d->target->file;
	return puppet_fds_in(r->ctx, p, here, ret->n, ret->fds);
}

static uint32_t add_deed(struct call_table *t, const struct unix_deed *d, const struct lent *lent,
			 uint32_t *ret_pair)
{
	struct sockaddr_un address;

	switch (d->what) {
	case UNIX_DEED_PAIR:
		*ret_pair = call_space(t, NULL, sizeof(int[2]));
		return call_add(t, deed_name(d), SYS_socketpair, CALL_IMM(AF_UNIX),
				CALL_IMM(d->type | SOCK_CLOEXEC | SOCK_NONBLOCK), CALL_IMM(0),
				CALL_DATA(*ret_pair));
	case UNIX_DEED_LISTEN:
		return call_add(t, deed_name(d), SYS_listen, CALL_IMM(lent->fds[0]),
				CALL_IMM(d->backlog));
	case UNIX_DEED_CONNECT:
		break;
	}
	address = d->target->address;
	if (lent->n > 1)
		(void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d",
			       lent->fds[1]);
	return call_add(t, deed_name(d), SYS_connect, CALL_IMM(lent->fds[0]),
			CALL_DATA(call_space(t, &address, sizeof(address))),
			CALL_IMM(d->target->len));
}

static int fetch_pair(struct rebuild *r, struct puppet *p, struct unix_deed *d, const int there[2])
{
	int result = puppet_fd_out(r->ctx, p, there[0], &d->pair[0]);

	if (result >= 0)
		result = puppet_fd_out(r->ctx, p, there[1], &d->pair[1]);
	return result;
}

static int close_there(struct rebuild *r, struct puppet *p, const int *fds, size_t n)
{
	struct call_table t;

	call_table_init(&t, r->arena);
	for (size_t i = 0; i < n; i++)
		(void)call_add(&t, "close()", SYS_close, CALL_IMM(fds[i]));
	return n > 0 ? puppet_run(r->ctx, p, &t) : 0;
}

static int do_by_puppet(struct rebuild *r, struct rebuild_process *process,
			const Coppice__UnixCredentials *who, struct unix_deed *d)
{
	struct puppet *p = process->threads[0].puppet;
	struct own_ids own;
	struct call_table t;
	struct lent lent;
	uint32_t deed, pair = 0;
	bool other;
	int result = own_ids_read(r, &own);

	if (result >= 0)
		result = lend(r, p, d, &lent);
	if (result < 0)
		return result;
	other = !are_own(&own, who);
	call_table_init(&t, r->arena);
	if (other)
		add_become(&t, who, own.uid);
	deed = add_deed(&t, d, &lent, &pair);
	call_expect_any(&t, deed);
	if (other)
		add_be_again(&t, &own);
	result = puppet_run(r->ctx, p, &t);
	if (result >= 0 && call_result(&t, deed) < 0)
		result = err_sys(r->ctx, (int)call_result(&t, deed), "%s", deed_name(d));
	if (result >= 0 && d->what == UNIX_DEED_PAIR) {
		memcpy(lent.fds, call_bytes(&t, pair), sizeof(lent.fds));
		lent.n = 2;
		result = fetch_pair(r, p, d, lent.fds);
	}
	return result < 0 ? result : close_there(r, p, lent.fds, lent.n);
}

/* ---- by one that has died ------------------------------------------------------------------ */

/* As fork(), with the number @pid. */
static pid_t fork_as(pid_t pid, uint64_t flags)
{
	const struct clone_args args = {
		.flags = flags,
		.exit_signal = SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)&pid,
		.set_tid_size = 1,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int no_number(struct rebuild *r, pid_t pid, int error)
{
	int result = err_sys(r->ctx, -error, "clone3() with PID %d", pid);

	return err_hint(r->ctx, result,
			"the number belongs to a dead process that made a unix socket or sent "
			"something through it, and must be free");
}

/* In the child. What is shared with the parent is the page, and the descriptors. */
static _noreturn_ void do_as_child(const Coppice__UnixCredentials *who, struct unix_deed *d,
				   int *ret_error)
{
	uid_t uid = geteuid();

	if (syscall(SYS_setgroups, who->n_groups, who->groups) < 0 ||
	    syscall(SYS_setresgid, -1, who->gid, -1) < 0 ||
	    syscall(SYS_setresuid, -1, who->uid, -1) < 0) {
		*ret_error = errno;
		_exit(0);
	}
	(void)syscall(SYS_setfsuid, uid);
	*ret_error = do_here(d) < 0 ? errno : 0;
	_exit(0);
}

static int do_by_child(struct rebuild *r, const Coppice__UnixCredentials *who, struct unix_deed *d)
{
	struct {
		struct unix_deed deed;
		int error;
	} * shared;
	int status, result = 0;
	pid_t pid;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return err_sys(r->ctx, -errno, "mmap()");
	shared->deed = *d;
	shared->error = ESRCH; /* it died before it could say anything */
	pid = fork_as(who->pid, CLONE_FILES);
	if (pid == 0)
		do_as_child(who, &shared->deed, &shared->error);
	if (pid < 0)
		result = no_number(r, who->pid, errno);
	else
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	if (result >= 0 && shared->error != 0)
		result =
			err_sys(r->ctx, -shared->error, "%s as process %d", deed_name(d), who->pid);
	*d = shared->deed;
	(void)munmap(shared, sizeof(*shared));
	return result;
}

int unix_deed_do(struct rebuild *r, const Coppice__UnixCredentials *who, struct unix_deed *d)
{
	struct rebuild_process *process;

	d->pair[0] = d->pair[1] = -EBADF;
	if (!who)
		return do_here(d) < 0 ? err_sys(r->ctx, -errno, "%s", deed_name(d)) : 0;
	process = find_process(r, who->pid);
	return process ? do_by_puppet(r, process, who, d) : do_by_child(r, who, d);
}

/* ---- a number for a while ------------------------------------------------------------------ */

int unix_stand_in_start(struct rebuild *r, pid_t pid, struct unix_stand_in *ret)
{
	int ends[2];
	char byte;

	*ret = (struct unix_stand_in){.pipe = -EBADF};
	if (kill(pid, 0) >= 0 || errno != ESRCH)
		return 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(r->ctx, -errno, "pipe2()");
	ret->pid = fork_as(pid, 0);
	if (ret->pid == 0) {
		(void)close(ends[1]);
		(void)!read(ends[0], &byte, 1); /* until the other end is closed */
		_exit(0);
	}
	(void)close(ends[0]);
	ret->pipe = ends[1];
	if (ret->pid > 0)
		return 0;
	ret->pid = 0;
	return no_number(r, pid, errno);
}

void unix_stand_in_end(struct unix_stand_in *s)
{
	close_guard(&s->pipe);
	while (s->pid > 0 && waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*s = (struct unix_stand_in){.pipe = -EBADF};
}
