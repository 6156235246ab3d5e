/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signalfd(2), struct signalfd_ctx: a set of signals. Whose signals it shows depends on who reads,
 * polls or watches it: always those of the calling task (so an epoll instance that watches one is
 * connected with it by the process itself, see epoll.c). The signals are those tasks' state.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file/anon.h"
#include "kernel/fdinfo.h"

static bool matches(const struct file_probe *probe)
{
	return file_is_anon(probe, "[signalfd]");
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__SignalFd *msg = arena_new(c->arena, Coppice__SignalFd);
	int r;

	if (!msg)
		return err_oom(c->ctx);
	coppice__signal_fd__init(msg);
	file->signalfd = msg;
	r = parse_fdinfo_signalfd(probe->info.rest, &msg->mask);
	return r < 0 ? err_msg(c->ctx, r, "fdinfo of a signalfd: %s", probe->info.rest) : 0;
}

/* Without glibc, whose signalfd() takes a sigset_t of its own. */
static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	long fd = syscall(SYS_signalfd4, -1, &file->signalfd->mask, sizeof(file->signalfd->mask),
			  SFD_CLOEXEC | SFD_NONBLOCK);

	if (fd < 0)
		return err_sys(r->ctx, -errno, "signalfd4()");
	*ret_fd = (int)fd;
	return 0;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "signalfd, mask %#llx", (unsigned long long)file->signalfd->mask);
}

const struct file_kind kind_signalfd = {
	.name = "signalfd",
	.which = COPPICE__FILE__KIND_SIGNALFD,
	.poll_has_effects = true,
	.matches = matches,
	.collect = collect,
	.create = create,
	.describe = describe,
};
