/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Masters of pseudo terminals: what a terminal emulator, sshd, tmux or script has of the terminal it
 * plays. Each pair has one such open file. The state of the pair is collected with it: pty-state.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "file/ptys.h"
#include "file/state.h"

enum { TTYAUX_MAJOR = 5, PTMX_MINOR = 2 };

static bool matches(const struct file_probe *probe)
{
	return S_ISCHR(probe->st.st_mode) && !(probe->info.flags & O_PATH) &&
	       probe->st.st_rdev == makedev(TTYAUX_MAJOR, PTMX_MINOR);
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__PtyMaster *master = arena_new(c->arena, Coppice__PtyMaster);
	struct pty_node *node;
	int r;

	if (!master)
		return err_oom(c->ctx);
	coppice__pty_master__init(master);
	file->ptmx = master;
	master->path = arena_strdup(c->arena, probe->link);
	if (!master->path)
		return err_oom(c->ctx);
	r = pty_get_master(c, probe, &node);
	if (r < 0 || !node)
		return r;
	node->async |= (file->flags & O_ASYNC) != 0;
	master->pty = node->msg->id;
	return 0;
}

static int collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	(void)probe; /* the node has it */
	return pty_collect_state(c, c->files->ptys[file->ptmx->pty - 1]);
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const struct rebuild_file_state *state = rebuild_file_state_get(r);
	int fd;

	if (!state)
		return err_oom(r->ctx);
	fd = fcntl(state->ptys[file->ptmx->pty - 1].master, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(r->ctx, -errno, "fcntl(F_DUPFD_CLOEXEC)");
	*ret_fd = fd;
	return 0;
}

static int connect_pty(struct rebuild *r, const Coppice__File *file, int fd)
{
	(void)fd;
	return ptys_connect(r, file->ptmx->pty);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "master of pseudo terminal %u", file->ptmx->pty);
}

const struct file_kind kind_ptmx = {
	.name = "pseudo terminal master",
	.which = COPPICE__FILE__KIND_PTMX,
	.matches = matches,
	.collect = collect,
	.collect_late = collect_late,
	.create = create,
	.connect = connect_pty,
	.describe = describe,
};
