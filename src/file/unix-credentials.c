/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SO_PEERCRED: who called socketpair(), listen() or connect(), noted at that moment (init_peercred(),
 * net/unix/af_unix.c). Nothing sets it: a process with that number and those ids makes the call again. It
 * is a process of the tree, or one that has died, whose number is free now. A living one outside would have
 * to make the call itself.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "file/chains.h"
#include "file/unix-queue.h"
#include "file/unix.h"
#include "kernel/proc.h"

static int refuse(struct collect *c, const struct file_probe *probe, pid_t pid, const char *why)
{
	return collect_refuse(c, "have a process of the tree make the socket",
			      "%s, fd %d (%s): its peer credentials (SO_PEERCRED) are those of "
			      "process %d, %s",
			      collect_name(c, probe->process), probe->number, probe->link, pid,
			      why);
}

static const struct collect_process *find_process(const struct collect *c, pid_t pid)
{
	for (size_t i = 0; i < c->n_processes; i++)
		if (c->processes[i].pid == pid)
			return &c->processes[i];
	return NULL;
}

/* A group or session of this number lives on, and keeps it from being given to a process. */
static bool is_group(const struct collect *c, pid_t pid)
{
	for (size_t i = 0; i < c->n_processes; i++)
		if (c->processes[i].stat.pgrp == pid || c->processes[i].stat.session == pid)
			return true;
	return false;
}

static int check_pid(struct collect *c, const struct file_probe *probe, pid_t pid)
{
	const struct collect_process *p = find_process(c, pid);

	if (p && p->zombie)
		return refuse(c, probe, pid, "which is a zombie");
	if (p)
		return p->msg->user_ns == 0
			       ? 0
			       : refuse(c, probe, pid, "which is in a user namespace of its own");
	if (pid == 0)
		return refuse(c, probe, pid, "which is in no PID namespace that coppice sees");
	if (kill(pid, 0) >= 0 || errno == EPERM)
		return refuse(c, probe, pid, "which is outside the tree");
	if (c->processes[0].status.ns_tgid.n != 1)
		return refuse(c, probe, pid,
			      "which has died, and whose number in the tree's PID namespace is not "
			      "known");
	return is_group(c, pid)
		       ? refuse(c, probe, pid,
				"which has died, but whose number a process group still has")
		       : 0;
}

static int read_groups(struct collect *c, int fd, Coppice__UnixCredentials *credentials)
{
	socklen_t len = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) >= 0 || errno != ERANGE)
		return 0;
	credentials->groups = arena_alloc(c->arena, len);
	if (!credentials->groups)
		return err_oom(c->ctx);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, credentials->groups, &len) < 0)
		return err_sys(c->ctx, -errno, "getsockopt(SO_PEERGROUPS)");
	credentials->n_groups = len / sizeof(gid_t);
	return 0;
}

int unix_credentials_collect(struct collect *c, const struct file_probe *probe,
			     Coppice__UnixCredentials **ret)
{
	Coppice__UnixCredentials *credentials;
	struct ucred ucred;
	socklen_t len = sizeof(ucred);
	int r;

	if (getsockopt(probe->fd, SOL_SOCKET, SO_PEERCRED, &ucred, &len) < 0)
		return err_sys(c->ctx, -errno, "getsockopt(SO_PEERCRED)");
	if (ucred.pid == 0 && ucred.uid == (uid_t)-1)
		return 0;
	credentials = arena_new(c->arena, Coppice__UnixCredentials);
	if (!credentials)
		return err_oom(c->ctx);
	coppice__unix_credentials__init(credentials);
	credentials->pid = unix_pid_in_tree(c, ucred.pid);
	credentials->uid = ucred.uid;
	credentials->gid = ucred.gid;
	r = read_groups(c, probe->fd, credentials);
	if (r < 0)
		return r;
	*ret = credentials;
	return check_pid(c, probe, ucred.pid);
}

bool unix_credentials_same(const Coppice__UnixCredentials *a, const Coppice__UnixCredentials *b)
{
	if (!a || !b)
		return a == b;
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid &&
	       a->n_groups == b->n_groups &&
	       (a->n_groups == 0 ||
		memcmp(a->groups, b->groups, a->n_groups * sizeof(*a->groups)) == 0);
}
