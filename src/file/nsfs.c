/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of namespaces: opened as /proc/PID/ns/..., or what ioctls of such ones and of pidfds give
 * (O_LARGEFILE, which open() sets and those do not, tells which way it was). A namespace
 * is known by its inode number: it is coppice's own, or a PID or user namespace of the tree, which is made
 * anew with the processes. All others are refused; also one that is open by the path of a mount
 * (ip netns), since that is the file to open again then.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file/open.h"
#include "kernel/sys.h"
#include "kind/file.h"
#include "ns/ns.h"
#include "task/surroundings.h"
#include "util/cleanup.h"

enum { LARGEFILE = 0100000 }; /* as the kernel has it; for libraries of 64 bits it is 0 */

static bool matches(const struct file_probe *probe)
{
	return probe->fs_type == NSFS_MAGIC;
}

/* ---- collect ------------------------------------------------------------------------------- */

static int refuse(struct collect *c, const struct file_probe *probe, const char *hint,
		  const char *why)
{
	return collect_refuse(c, hint, "%s, fd %d (%s): %s", collect_name(c, probe->process),
			      probe->number, probe->link, why);
}

/* "net:[4026531833]": which of the kinds; NAMESPACE_KINDS: none. */
static size_t kind_of(const char *link)
{
	const char *colon = strchr(link, ':');
	size_t i = 0;

	for (; colon && i < NAMESPACE_KINDS; i++)
		if (strlen(namespace_kinds[i].link) == (size_t)(colon - link) &&
		    strncmp(link, namespace_kinds[i].link, (size_t)(colon - link)) == 0)
			return i;
	return NAMESPACE_KINDS;
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	const struct collect_namespaces *all = ns_of(c);
	Coppice__NsFile *ns = arena_new(c->arena, Coppice__NsFile);
	size_t kind = kind_of(probe->link);
	const struct surroundings *s;
	uint64_t ino = probe->st.st_ino;
	int r = surroundings_get(c->ctx, c->arena, &c->surroundings, &s);

	if (r < 0)
		return r;
	if (!ns || !all)
		return err_oom(c->ctx);
	coppice__ns_file__init(ns);
	file->ns = ns;
	if (kind == NAMESPACE_KINDS)
		return refuse(c, probe, NULL,
			      "is a namespace that is open by the path of a mount; this is not "
			      "supported yet");
	ns->kind = arena_strdup(c->arena, namespace_kinds[kind].link);
	if (!ns->kind)
		return err_oom(c->ctx);
	if (kind == NAMESPACE_PID)
		ns->pid_ns = ns_known(all->pid, all->n_pid, ino);
	if (kind == NAMESPACE_USER)
		ns->user_ns = ns_known(all->user, all->n_user, ino);
	if (ns->user_ns && !(file->flags & (LARGEFILE | O_PATH)))
		return refuse(c, probe, "close it before the dump",
			      "is a user namespace of the tree's that was not opened by name");
	if (ns->pid_ns || ns->user_ns || s->namespaces[kind] == ino)
		return 0;
	return refuse(c, probe, "close it before the dump",
		      "is a namespace that is neither coppice's own nor one of the tree's");
}

/* ---- rebuild ------------------------------------------------------------------------------- */

/* By a process that is in it; of one that nobody lives in, by one whose children would. */
static int open_of_process(pid_t pid, const char *kind, uint32_t flags)
{
	_cleanup_close_ int pidfd = -EBADF;
	char path[64];
	int fd;

	if (flags & (LARGEFILE | O_PATH)) {
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
		fd = open(path, (int)(open_time_flags(flags) | O_CLOEXEC));
		return fd < 0 ? -errno : fd;
	}
	pidfd = sys_pidfd_open(pid, 0);
	return pidfd < 0 ? pidfd : sys_pidfd_namespace(pidfd, kind);
}

static int open_pid_ns(struct rebuild *r, uint32_t id, uint32_t flags)
{
	for (size_t i = 0; i < r->n_processes; i++) {
		const struct rebuild_process *p = &r->processes[i];

		if (p->msg->state == COPPICE__RUN_STATE__RUN_STATE_ZOMBIE)
			continue;
		if (p->msg->pid_ns == id)
			return open_of_process(p->pid, "pid", flags);
		if (p->msg->pid_ns_for_children == id)
			return open_of_process(p->pid, "pid_for_children", flags);
	}
	return -ESRCH;
}

/* No process need be in it by now: they join with their credentials. */
static int open_user_ns(const struct rebuild *r, uint32_t id, uint32_t flags)
{
	int ns = r->user_ns[id - 1], fd;

	if (ns < 0)
		return -EBADF;
	if (flags & (LARGEFILE | O_PATH))
		return open_again(ns, flags);
	fd = fcntl(ns, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const Coppice__NsFile *ns = file->ns;
	int fd = ns->pid_ns    ? open_pid_ns(r, ns->pid_ns, file->flags)
		 : ns->user_ns ? open_user_ns(r, ns->user_ns, file->flags)
			       : open_of_process(getpid(), ns->kind, file->flags);

	if (fd < 0)
		return err_sys(r->ctx, fd, "opening a namespace (%s)", ns->kind);
	*ret_fd = fd;
	return 0;
}

static int check(struct rebuild *r, const Coppice__File *file)
{
	for (size_t i = 0; i < NAMESPACE_KINDS; i++)
		if (strcmp(namespace_kinds[i].link, file->ns->kind) == 0)
			return 0;
	return rebuild_refuse(r, NULL, "there are no namespaces of kind %s", file->ns->kind);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "namespace (%s)", file->ns->kind);
}

const struct file_kind kind_nsfs = {
	.name = "namespace",
	.which = COPPICE__FILE__KIND_NS,
	.matches = matches,
	.collect = collect,
	.check = check,
	.create = create,
	.describe = describe,
};
