/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify(7), struct fsnotify_group: watches, each a descriptor (wd), an inode and a mask.
 *
 * The kernel gives out descriptors upwards and lets one set the next (INOTIFY_IOC_SETNEXTWD), so
 * each is had again. Which would be the next is in no file; where the kernel's memory does not show it
 * either, it is the one after the highest.
 *
 * Reading an event takes it away (inotify_read()), and nothing puts one back: an instance with
 * unread events is refused. What happens to the watched files while the tree does not exist is seen by nobody;
 * what the restore itself causes is taken out of the queue before the program goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file/anon.h"
#include "file/notify-view.h"
#include "file/state.h"
#include "file/watched.h"
#include "kernel/proc.h"
#include "kernel/uapi.h"
#include "util/cleanup.h"

static bool matches(const struct file_probe *probe)
{
	return file_is_anon(probe, "inotify");
}

/* ---- collect ------------------------------------------------------------------------------- */

static int queued(struct context *ctx, int fd, int *ret)
{
	return ioctl(fd, FIONREAD, ret) < 0 ? err_sys(ctx, -errno, "ioctl(FIONREAD) of an inotify")
					    : 0;
}

/* While a stub has it the events are our own doing; they are gone before it is the program's. */
static int check_queue(struct collect *c, const struct file_probe *probe, int fd)
{
	int bytes = 0;
	int r = c->stubs ? 0 : queued(c->ctx, fd, &bytes);

	if (r < 0 || bytes == 0)
		return r;
	return collect_refuse(c, "try again when the program has read them",
			      "%s, fd %d (%s): has %d bytes of events that were not read; they "
			      "cannot be put back into a new one",
			      collect_name(c, probe->process), probe->number, probe->link, bytes);
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__Inotify *msg = arena_new(c->arena, Coppice__Inotify);
	uint64_t next = 0;
	int r;

	if (!msg)
		return err_oom(c->ctx);
	coppice__inotify__init(msg);
	file->inotify = msg;
	r = notify_view_next(c, probe->fd, &next);
	if (r > 0 && next <= INT32_MAX)
		msg->next_wd = (int32_t)next;
	return r < 0 ? r : check_queue(c, probe, probe->fd);
}

static int by_wd(const void *a, const void *b)
{
	const struct fdinfo_mark *x = a;
	const struct fdinfo_mark *y = b;

	return (x->wd > y->wd) - (x->wd < y->wd);
}

static int add_watch(struct collect *c, const struct file_probe *probe,
		     const struct fdinfo_mark *mark, Coppice__Inotify *msg)
{
	Coppice__InotifyWatch *watch = arena_new(c->arena, Coppice__InotifyWatch);
	Coppice__InotifyWatch **slot =
		arena_append(c->arena, &msg->watches, &msg->n_watches, sizeof(*slot));
	int r;

	if (!watch || !slot)
		return err_oom(c->ctx);
	coppice__inotify_watch__init(watch);
	*slot = watch;
	watch->wd = mark->wd;
	watch->mask = mark->mask;
	r = watched_collect(c, mark, &watch->target);
	if (r < 0 || watch->target)
		return r;
	return collect_refuse(c, "have the program remove the watch before the dump",
			      "%s, fd %d (%s): nothing leads to inode %llu on device %llu:%llu, "
			      "which watch %d is on",
			      collect_name(c, probe->process), probe->number, probe->link,
			      (unsigned long long)mark->ino, (unsigned long long)mark->dev >> 20,
			      (unsigned long long)mark->dev & 0xfffff, mark->wd);
}

/* What is to be in the image is read by us, which its watches see. */
static bool watches_what_we_read(const Coppice__Inotify *msg)
{
	for (size_t i = 0; i < msg->n_watches; i++)
		if (msg->watches[i]->target && msg->watches[i]->target->inode)
			return true;
	return false;
}

/* When the inodes of the tree are known. */
static int collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	_cleanup_close_ int fd = -EBADF;
	struct fdinfo_mark *marks;
	size_t n;
	int r = parse_fdinfo_inotify(probe->info.rest, c->arena, &marks, &n);

	if (r < 0)
		return err_msg(c->ctx, r, "fdinfo of an inotify cannot be understood");
	if (n > 1)
		qsort(marks, n, sizeof(*marks), by_wd);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = add_watch(c, probe, &marks[i], file->inotify);
	if (r < 0 || watches_what_we_read(file->inotify))
		return r;
	r = file_probe_dup(c, probe, &fd);
	return r < 0 ? r : check_queue(c, probe, fd);
}

/* ---- rebuild ------------------------------------------------------------------------------- */

static int check(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__Inotify *msg = file->inotify;
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC);
	int32_t first = 1;
	int result = 0;

	if (fd < 0)
		return err_sys(r->ctx, -errno, "inotify_init1()");
	if ((msg->n_watches > 0 || msg->next_wd > 0) &&
	    ioctl(fd, UAPI_INOTIFY_SETNEXTWD, first) < 0)
		return rebuild_refuse(r, "use a kernel with CONFIG_CHECKPOINT_RESTORE",
				      "the numbers of inotify watches cannot be chosen here");
	for (size_t i = 0; result >= 0 && i < msg->n_watches; i++)
		result = watched_check(r, msg->watches[i]->target, "an inotify");
	return result;
}

static int create(struct rebuild *r, const Coppice__File *file _unused_, int *ret_fd)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0)
		return err_sys(r->ctx, -errno, "inotify_init1()");
	*ret_fd = fd;
	return 0;
}

static int set_next(struct rebuild *r, int fd, int wd)
{
	return ioctl(fd, UAPI_INOTIFY_SETNEXTWD, wd) < 0
		       ? err_sys(r->ctx, -errno, "ioctl(INOTIFY_IOC_SETNEXTWD, %d)", wd)
		       : 0;
}

static int watch_again(struct rebuild *r, const Coppice__InotifyWatch *watch, int fd)
{
	_cleanup_close_ int target = watched_open(r, watch->target);
	char path[32];
	int wd, result;

	if (target < 0)
		return err_sys(r->ctx, target, "opening %s", watched_name(watch->target));
	result = set_next(r, fd, watch->wd);
	if (result < 0)
		return result;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	wd = inotify_add_watch(fd, path, watch->mask);
	if (wd < 0)
		return err_hint(r->ctx,
				err_sys(r->ctx, -errno, "inotify_add_watch(%s)",
					watched_name(watch->target)),
				"see /proc/sys/fs/inotify/max_user_watches");
	if (wd != watch->wd)
		return err_msg(r->ctx, -EEXIST, "watch %d on %s became %d", watch->wd,
			       watched_name(watch->target), wd);
	return 0;
}

static int set_next_free(struct rebuild *r, const Coppice__Inotify *msg, int fd)
{
	int last = msg->n_watches > 0 ? msg->watches[msg->n_watches - 1]->wd : 0;
	int next = msg->next_wd > 0 ? msg->next_wd : last + (last < INT32_MAX);

	return msg->next_wd > 0 || last > 0 ? set_next(r, fd, next) : 0;
}

static int watch_all(struct rebuild *r, const Coppice__File *file, int fd)
{
	const Coppice__Inotify *msg = file->inotify;
	int result = 0;

	for (size_t i = 0; result >= 0 && i < msg->n_watches; i++)
		result = watch_again(r, msg->watches[i], fd);
	return result < 0 ? result : set_next_free(r, msg, fd);
}

static int drain(struct rebuild *r, int fd)
{
	char events[4096];
	int bytes = 0;
	int result = queued(r->ctx, fd, &bytes);

	while (result >= 0 && bytes > 0) {
		ssize_t n = read(fd, events, sizeof(events));

		if (n < 0)
			return err_sys(r->ctx, -errno, "read() of an inotify");
		bytes -= (int)n; /* what comes meanwhile stays */
	}
	return result;
}

static bool has_watch(const struct fdinfo_mark *marks, size_t n, int wd)
{
	for (size_t i = 0; i < n; i++)
		if (marks[i].wd == wd)
			return true;
	return false;
}

/* What we have done to a watched file meanwhile is not for the program, nor is it the one event that
 * ends a watch (IN_ONESHOT). */
static int resume(struct rebuild *r, const Coppice__File *file, int fd)
{
	const Coppice__Inotify *msg = file->inotify;
	struct proc_fdinfo info;
	struct fdinfo_mark *marks;
	size_t n, again = 0;
	int result = proc_read_own_fdinfo(fd, r->arena, &info);

	if (result >= 0)
		result = parse_fdinfo_inotify(info.rest, r->arena, &marks, &n);
	if (result < 0)
		return err_sys(r->ctx, result, "reading /proc/self/fdinfo/%d", fd);
	for (size_t i = 0; result >= 0 && n < msg->n_watches && i < msg->n_watches; i++)
		if (!has_watch(marks, n, msg->watches[i]->wd)) {
			result = watch_again(r, msg->watches[i], fd);
			again++;
		}
	if (result >= 0 && again > 0)
		result = set_next_free(r, msg, fd);
	return result < 0 ? result : drain(r, fd);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "inotify, %zu watches", file->inotify->n_watches);
}

const struct file_kind kind_inotify = {
	.name = "inotify",
	.which = COPPICE__FILE__KIND_INOTIFY,
	.matches = matches,
	.collect = collect,
	.collect_late = collect_late,
	.check = check,
	.create = create,
	.watch = watch_all,
	.resume = resume,
	.describe = describe,
};
