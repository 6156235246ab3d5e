/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pidfd_open(2): a process, or with PIDFD_THREAD a thread, of the tree; alive, a zombie, or dead and
 * gone. Of one that is gone nothing is left but how it ended (PIDFD_GET_INFO, since 6.15), and that
 * several descriptors refer to the same one (the inode, since 6.9). A process is made for it that
 * ends in the same way, and that nobody has waited for until all descriptors of it are open.
 *
 * The inode's number is the kernel's. A process outside the tree, and one that died with a core dump
 * and is gone, are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file/anon.h"
#include "file/number.h"
#include "file/pidfd.h"
#include "file/state.h"
#include "kernel/fdinfo.h"
#include "kernel/sys.h"
#include "kernel/uapi.h"
#include "util/cleanup.h"

static bool matches(const struct file_probe *probe)
{
	return file_is_anon(probe, "[pidfd]") ||
	       (!(probe->info.flags & O_PATH) && probe->fs_type == UAPI_PIDFS_MAGIC);
}

/* ---- collect ------------------------------------------------------------------------------- */

static int refuse(struct collect *c, const struct file_probe *probe, const char *hint,
		  const char *why)
{
	return collect_refuse(c, hint, "%s, fd %d (%s): %s", collect_name(c, probe->process),
			      probe->number, probe->link, why);
}

/* Those of the same process have the same inode; before 6.9 nothing tells which these are. */
static uint32_t group_of(const struct collect *c, const struct file_probe *probe)
{
	uint32_t last = 0;

	for (size_t i = 0; i < c->files->n_nodes; i++) {
		const struct file_node *node = c->files->nodes[i];

		if (node->msg->kind_case != COPPICE__FILE__KIND_PIDFD || !node->msg->pidfd->dead)
			continue;
		if (probe->fs_type == UAPI_PIDFS_MAGIC && node->probe.st.st_ino == probe->st.st_ino)
			return node->msg->pidfd->dead;
		last = MAX(last, node->msg->pidfd->dead);
	}
	return last + 1;
}

static int collect_dead(struct collect *c, const struct file_probe *probe, Coppice__PidFd *msg)
{
	struct uapi_pidfd_info info = {.mask = UAPI_PIDFD_INFO_EXIT};

	msg->dead = group_of(c, probe);
	if (ioctl(probe->fd, UAPI_PIDFD_GET_INFO, &info) == 0 && (info.mask & UAPI_PIDFD_INFO_EXIT))
		msg->exit_status = info.exit_code;
	if (WIFSIGNALED(msg->exit_status) && WCOREDUMP(msg->exit_status))
		return refuse(c, probe, "have the program close it before the dump",
			      "its process died with a core dump, which cannot be done again");
	return 0;
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__PidFd *msg = arena_new(c->arena, Coppice__PidFd);
	pid_t pid = 0;
	int r = parse_fdinfo_pidfd(probe->info.rest, &pid);

	if (!msg)
		return err_oom(c->ctx);
	if (r < 0)
		return err_msg(c->ctx, r, "fdinfo of a pidfd: %s", probe->info.rest);
	coppice__pid_fd__init(msg);
	file->pidfd = msg;
	if (flistxattr(probe->fd, NULL, 0) > 0)
		return refuse(c, probe, "remove them before the dump",
			      "its process has extended attributes");
	if (pid < 0)
		return collect_dead(c, probe, msg);
	if (file->flags & PIDFD_THREAD)
		msg->pid = number_in_tree(c, F_OWNER_TID, pid);
	if (msg->pid == 0) /* a leader that is dead is no task any more */
		msg->pid = number_in_tree(c, F_OWNER_PID, pid);
	if (msg->pid == 0)
		return refuse(
			c, probe, "dump that process as well, or have the program close it",
			arena_printf(c->arena, "is of process %d, which is outside the tree", pid));
	return 0;
}

/* ---- rebuild ------------------------------------------------------------------------------- */

/* As the process that is gone has ended. */
static _noreturn_ void end(int status)
{
	const struct rlimit no_core = {};
	sigset_t all;

	if (WIFSIGNALED(status)) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)prctl(PR_SET_DUMPABLE, 0); /* a core_pattern with a pipe ignores the limit */
		(void)signal(WTERMSIG(status), SIG_DFL);
		(void)sigfillset(&all);
		(void)sigprocmask(SIG_UNBLOCK, &all, NULL);
		(void)raise(WTERMSIG(status));
	}
	_exit(WEXITSTATUS(status));
}

/* The process that stands for one that is gone: made at first sight, a zombie from then on. */
static int stand_in(struct rebuild *r, const Coppice__PidFd *msg, pid_t *ret)
{
	struct rebuild_file_state *state = rebuild_file_state_get(r);
	siginfo_t info;
	pid_t *pid;

	if (!state)
		return err_oom(r->ctx);
	pid = &state->stand_ins[msg->dead - 1];
	if (*pid == 0) {
		*pid = fork();
		if (*pid == 0)
			end(msg->exit_status);
		if (*pid < 0) {
			*pid = 0;
			return err_sys(r->ctx, -errno, "fork()");
		}
	}
	while (waitid(P_PID, (id_t)*pid, &info, WEXITED | WNOWAIT) < 0)
		if (errno != EINTR)
			return err_sys(r->ctx, -errno, "waitid(%d)", *pid);
	*ret = *pid;
	return 0;
}

static void reap(struct rebuild *r, uint32_t group)
{
	struct rebuild_file_state *state = r->file_state;
	pid_t *pid = &state->stand_ins[group - 1];

	if (*pid > 0)
		while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
			;
	*pid = 0;
}

void pidfd_rebuild_deinit(struct rebuild *r)
{
	for (size_t i = 0; r->file_state && i < r->n_files; i++)
		reap(r, (uint32_t)i + 1);
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const Coppice__PidFd *msg = file->pidfd;
	pid_t pid = 0;
	int fd;

	if (msg->dead) {
		int result = stand_in(r, msg, &pid);

		if (result < 0)
			return result;
	} else {
		if (file->flags & PIDFD_THREAD)
			pid = number_here(r, F_OWNER_TID, msg->pid);
		if (pid == 0)
			pid = number_here(r, F_OWNER_PID, msg->pid);
		if (pid == 0)
			return err_msg(r->ctx, -EBADMSG, "its process, %d, is not in the tree",
				       msg->pid);
	}
	fd = sys_pidfd_open(pid, (file->flags & PIDFD_THREAD) | O_NONBLOCK);
	if (fd < 0)
		return err_sys(r->ctx, fd, "pidfd_open(%d)", pid);
	*ret_fd = fd;
	return 0;
}

/* All descriptors are open. */
static int connect_gone(struct rebuild *r, const Coppice__File *file, int fd _unused_)
{
	if (file->pidfd->dead)
		reap(r, file->pidfd->dead);
	return 0;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	const Coppice__PidFd *msg = file->pidfd;

	if (msg->dead)
		(void)snprintf(buf, size, "pidfd, gone, status %#x", msg->exit_status);
	else
		(void)snprintf(buf, size, "pidfd, %s %d",
			       file->flags & PIDFD_THREAD ? "thread" : "process", msg->pid);
}

const struct file_kind kind_pidfd = {
	.name = "pidfd",
	.which = COPPICE__FILE__KIND_PIDFD,
	.matches = matches,
	.collect = collect,
	.create = create,
	.connect = connect_gone,
	.describe = describe,
};
