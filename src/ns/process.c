/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The namespaces that a process lives in and has its children born into. All threads of a process
 * are in one PID namespace and, as setns() and unshare() of user namespaces want a process of a
 * single thread, in one user namespace. The PID namespace for children is each thread's own affair,
 * but a thread cannot be cloned while its parent's differs: so none but the leader's may.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "kernel/sys.h"
#include "ns/ns.h"
#include "ns/pid-numbers.h"
#include "util/cleanup.h"

struct collect_namespaces *ns_of(struct collect *c)
{
	if (!c->namespaces)
		c->namespaces = arena_new(c->arena, struct collect_namespaces);
	return c->namespaces;
}

uint32_t ns_known(const struct known_ns *list, size_t n, uint64_t ino)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].ino == ino)
			return (uint32_t)i + 1;
	return 0;
}

int ns_identify(struct context *ctx, int fd, uint64_t *ret_ino)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(ctx, -errno, "fstat(namespace)");
	*ret_ino = st.st_ino;
	return 0;
}

/* -ENOENT, without a chain: there is none. */
static int open_link(struct collect *c, const struct collect_process *p, int proc_fd,
		     const char *link, int *ret_fd)
{
	int fd = openat(proc_fd, link, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0)
		return err_sys(c->ctx, -errno, "open(/proc/%d/%s)", p->pid, link);
	*ret_fd = fd;
	return 0;
}

/* A namespace for children that has no init yet. */
static int open_unborn(struct collect *c, const struct collect_process *p, int *ret_fd)
{
	_cleanup_close_ int pidfd = sys_pidfd_open(p->pid, 0);
	int fd;

	if (pidfd < 0)
		return err_sys(c->ctx, pidfd, "pidfd_open(%d)", p->pid);
	fd = sys_pidfd_pid_ns_for_children(pidfd);
	if (fd == -ENOTTY) {
		int r = collect_refuse(c, "let it fork first, or use Linux 6.11 or newer",
				       "%s: has made a PID namespace for its children that has no "
				       "process yet, of which this kernel tells nothing",
				       collect_name(c, p));

		return r < 0 ? r : -ENOENT;
	}
	if (fd < 0)
		return err_sys(c->ctx, fd, "ioctl(PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE)");
	*ret_fd = fd;
	return 0;
}

static int collect_for_children(struct collect *c, struct collect_process *p)
{
	_cleanup_close_ int fd = -EBADF;
	uint32_t id = 0;
	int r;

	if (p->threads[0].tid != p->pid)
		return 0; /* with the leader it died; of the other threads see refuse_thread() */
	r = open_link(c, p, p->proc_fd, "ns/pid_for_children", &fd);
	if (r == -ENOENT)
		r = open_unborn(c, p, &fd);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = pid_ns_find(c, p, fd, &id);
	p->msg->pid_ns_for_children = id == p->msg->pid_ns ? 0 : id;
	return r;
}

static int refuse_thread(struct collect *c, struct collect_thread *th)
{
	return collect_refuse(c, NULL,
			      "%s, thread %d: has another PID namespace for its children than its "
			      "own; that is supported for the first thread of a process only",
			      collect_name(c, th->process), th->tid);
}

static int collect_own(struct collect *c, struct collect_process *p, int proc_fd)
{
	_cleanup_close_ int user = -EBADF, pid = -EBADF;
	int r = open_link(c, p, proc_fd, "ns/user", &user);

	if (r == -ENOENT)
		return 0; /* a kernel without user namespaces */
	if (r == 0)
		r = user_ns_find(c, p, user, &p->msg->user_ns);
	if (r == 0)
		r = open_link(c, p, proc_fd, "ns/pid", &pid);
	if (r == -ENOENT)
		return err_sys(c->ctx, -ESRCH, "open(/proc/%d/ns/pid)", p->pid);
	return r < 0 ? r : pid_ns_find(c, p, pid, &p->msg->pid_ns);
}

static bool is_init(const struct collect_process *p)
{
	const struct proc_ns_ids *ids = &p->status.ns_tgid;

	return ids->n > 1 && ids->id[ids->n - 1] == 1;
}

/* Of namespaces whose init is in the tree: of others the numbers are everybody's. */
static int collect_numbers(struct collect *c, const struct collect_process *p)
{
	Coppice__PidNs *msg;
	struct pid_numbers numbers;
	int r;

	if (!is_init(p) || p->msg->pid_ns == 0)
		return 0;
	r = pid_numbers_read(c->ctx, c->arena, p->puppet, &numbers);
	if (r < 0)
		return err_while(c->ctx, r, "reading the next PID in the namespace of %s",
				 collect_name(c, p));
	msg = c->cp->pid_namespaces[p->msg->pid_ns - 1];
	msg->last_pid = numbers.last_pid;
	msg->pid_max = numbers.own_pid_max ? numbers.pid_max : 0;
	msg->own_memfd_noexec = numbers.own_memfd_noexec;
	msg->memfd_noexec = numbers.own_memfd_noexec ? (uint32_t)numbers.memfd_noexec : 0;
	return 0;
}

int ns_reply(struct collect *c, struct collect_process *p, struct call_table *t _unused_,
	     uint32_t first _unused_)
{
	struct stat st;

	if (p->msg->user_ns == 0 || c->cp->mms[p->msg->mm - 1]->dumpable == 1)
		return 0;
	if (fstatat(p->proc_fd, "stat", &st, 0) < 0)
		return err_sys(c->ctx, -errno, "stat(/proc/%d/stat)", p->pid);
	if (st.st_uid == 0)
		return 0;
	return collect_refuse(c, "have it exec, or set PR_SET_DUMPABLE",
			      "%s: is not dumpable, and its memory belongs to a user namespace, "
			      "which only an exec in there can bring about",
			      collect_name(c, p));
}

/* Nearly all live where others do who were looked at before: no need to open anything. */
static bool is_ordinary(struct collect *c, struct collect_process *p,
			const uint64_t inodes[NAMESPACE_KINDS])
{
	const struct collect_namespaces *all = c->namespaces;

	if (!all || is_init(p) ||
	    inodes[NAMESPACE_USER] != c->surroundings->namespaces[NAMESPACE_USER] ||
	    inodes[NAMESPACE_PID] != inodes[NAMESPACE_PID_FOR_CHILDREN])
		return false;
	p->msg->pid_ns = ns_known(all->pid, all->n_pid, inodes[NAMESPACE_PID]);
	return p->msg->pid_ns != 0;
}

int ns_collect(struct collect *c, struct collect_thread *th, const uint64_t inodes[NAMESPACE_KINDS])
{
	struct collect_process *p = th->process;
	int r = 0;

	if (th->tid != p->pid && inodes[NAMESPACE_PID] != inodes[NAMESPACE_PID_FOR_CHILDREN])
		r = refuse_thread(c, th);
	if (r < 0 || th != &p->threads[0] || is_ordinary(c, p, inodes))
		return r;
	r = collect_own(c, p, p->proc_fd);
	if (r >= 0)
		r = collect_for_children(c, p);
	return r < 0 ? r : collect_numbers(c, p);
}

int ns_collect_zombie(struct collect *c, struct collect_process *p)
{
	_cleanup_close_ int proc_fd = -EBADF;
	int r;

	if (!p->zombie)
		return 0;
	r = proc_open(p->pid, &proc_fd);
	if (r < 0)
		return err_sys(c->ctx, r, "open(/proc/%d)", p->pid);
	return collect_own(c, p, proc_fd);
}
