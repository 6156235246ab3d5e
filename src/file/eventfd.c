/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eventfd(2), struct eventfd_ctx: a counter, which fdinfo shows without taking it away, and whether a
 * read takes one or all (EFD_SEMAPHORE).
 *
 * Who else adds to it from within the kernel is not the eventfd's state but that of an AIO request,
 * an io_uring or a device. One that such a source has driven to the very end of the range is
 * refused: write() stops one short of that.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "file/anon.h"
#include "kernel/fdinfo.h"
#include "util/cleanup.h"

static bool matches(const struct file_probe *probe)
{
	return file_is_anon(probe, "[eventfd]");
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__EventFd *msg = arena_new(c->arena, Coppice__EventFd);
	struct fdinfo_eventfd info = {};
	int r = parse_fdinfo_eventfd(probe->info.rest, &info);

	if (!msg)
		return err_oom(c->ctx);
	if (r < 0)
		return err_msg(c->ctx, r, "fdinfo of an eventfd: %s", probe->info.rest);
	coppice__event_fd__init(msg);
	file->eventfd = msg;
	msg->count = info.count;
	msg->semaphore = info.semaphore;
	if (!info.semaphore_known)
		return collect_refuse(c, "use Linux 6.5 or newer",
				      "%s, fd %d (%s): this kernel does not tell whether a read "
				      "takes one or all (EFD_SEMAPHORE)",
				      collect_name(c, probe->process), probe->number, probe->link);
	if (info.count == UINT64_MAX)
		return collect_refuse(c, "try again when the program has read it",
				      "%s, fd %d (%s): its counter has overflown",
				      collect_name(c, probe->process), probe->number, probe->link);
	return 0;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const Coppice__EventFd *msg = file->eventfd;
	_cleanup_close_ int fd =
		eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (msg->semaphore ? EFD_SEMAPHORE : 0));

	if (fd < 0)
		return err_sys(r->ctx, -errno, "eventfd()");
	if (msg->count > 0 && write(fd, &msg->count, sizeof(msg->count)) < 0)
		return err_sys(r->ctx, -errno, "write() of %llu to an eventfd",
			       (unsigned long long)msg->count);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "eventfd, %llu%s", (unsigned long long)file->eventfd->count,
		       file->eventfd->semaphore ? ", semaphore" : "");
}

const struct file_kind kind_eventfd = {
	.name = "eventfd",
	.which = COPPICE__FILE__KIND_EVENTFD,
	.matches = matches,
	.collect = collect,
	.create = create,
	.describe = describe,
};
