/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fanotify(7), struct fsnotify_group: how it reports, and marks on inodes, mounts and file systems.
 *
 * As with inotify, reading an event takes it away: a group with unread events is refused. So is one
 * that decides about accesses (FAN_OPEN_PERM and the like): while its program is stopped, everybody waits for its
 * answer, coppice as well, and which questions it has read without answering yet nothing shows. And
 * so is one that was made without CAP_SYS_ADMIN (FANOTIFY_UNPRIV), or may have been: it is not told
 * the PIDs of others, and ours would be. fdinfo does not show it, and the kernel's memory to few.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file/anon.h"
#include "file/notify-view.h"
#include "file/state.h"
#include "file/watched.h"
#include "kernel/uapi.h"
#include "util/cleanup.h"

enum { CAP_BIT_SYS_ADMIN = 21 };

#define PERMISSION_EVENTS                                                                          \
	((uint32_t)(FAN_OPEN_PERM | FAN_ACCESS_PERM | FAN_OPEN_EXEC_PERM | UAPI_FAN_PRE_ACCESS))
/* What fanotify_init() lets anybody ask for, if FAN_REPORT_FID or FAN_REPORT_DIR_FID is among it. */
#define ANYBODYS_FLAGS                                                                             \
	((uint32_t)(FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID | FAN_REPORT_DIR_FID |             \
		    FAN_REPORT_NAME | FAN_REPORT_TARGET_FID))

static bool matches(const struct file_probe *probe)
{
	return file_is_anon(probe, "[fanotify]");
}

/* ---- collect ------------------------------------------------------------------------------- */

static int refuse(struct collect *c, const struct file_probe *probe, const char *hint,
		  const char *why)
{
	return collect_refuse(c, hint, "%s, fd %d (%s): %s", collect_name(c, probe->process),
			      probe->number, probe->link, why);
}

static bool is_privileged(const struct collect_process *p)
{
	return p->status.cap_effective >> CAP_BIT_SYS_ADMIN & 1;
}

static int check_group(struct collect *c, const struct file_probe *probe,
		       const struct fdinfo_fanotify *info)
{
	uint64_t flags = 0;
	int bytes = 0;
	int r = notify_view_flags(c, probe->fd, &flags);

	if (r < 0)
		return r;
	if (r > 0 ? flags & UAPI_FANOTIFY_UNPRIV
		  : !(info->flags & ~ANYBODYS_FLAGS) && !is_privileged(probe->process))
		return refuse(c, probe, "have the program close it before the dump",
			      r > 0 ? "was made without CAP_SYS_ADMIN, and so is not told the PIDs "
				      "of others"
				    : "whether it was made with CAP_SYS_ADMIN, which lets it tell "
				      "the PIDs of others, the kernel does not show");
	/* While a stub has it the events are our own doing; they are gone before it is the program's. */
	if (!c->stubs && ioctl(probe->fd, FIONREAD, &bytes) < 0)
		return err_sys(c->ctx, -errno, "ioctl(FIONREAD) of a fanotify");
	if (bytes > 0)
		return refuse(c, probe, "try again when the program has read them",
			      "has events that were not read; they cannot be put back into a new "
			      "one");
	return 0;
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__Fanotify *msg = arena_new(c->arena, Coppice__Fanotify);
	struct fdinfo_fanotify info = {};
	int r = parse_fdinfo_fanotify(probe->info.rest, c->arena, &info);

	if (!msg)
		return err_oom(c->ctx);
	if (r < 0)
		return err_msg(c->ctx, r, "fdinfo of a fanotify cannot be understood");
	coppice__fanotify__init(msg);
	file->fanotify = msg;
	msg->flags = info.flags;
	msg->event_flags = info.event_flags;
	return check_group(c, probe, &info);
}

static int refuse_mark(struct collect *c, const struct file_probe *probe, const char *why)
{
	return refuse(c, probe, "have the program remove the mark before the dump", why);
}

static int fill_mark(struct collect *c, const struct fdinfo_mark *mark, Coppice__FanotifyMark *msg)
{
	coppice__fanotify_mark__init(msg);
	msg->flags = mark->flags;
	msg->mask = mark->mask;
	msg->ignored = mark->ignored;
	switch (mark->on) {
	case MARK_INODE:
		msg->on = COPPICE__FANOTIFY_MARK__ON__INODE;
		return watched_collect(c, mark, &msg->target);
	case MARK_MOUNT:
		msg->on = COPPICE__FANOTIFY_MARK__ON__MOUNT;
		return watched_mount(c, mark, &msg->target);
	default:
		msg->on = COPPICE__FANOTIFY_MARK__ON__FILESYSTEM;
		return watched_mount(c, mark, &msg->target);
	}
}

static int add_mark(struct collect *c, const struct file_probe *probe,
		    const struct fdinfo_mark *mark, Coppice__Fanotify *group)
{
	Coppice__FanotifyMark *msg = arena_new(c->arena, Coppice__FanotifyMark);
	Coppice__FanotifyMark **slot =
		arena_append(c->arena, &group->marks, &group->n_marks, sizeof(*slot));
	int r;

	if (!msg || !slot)
		return err_oom(c->ctx);
	*slot = msg;
	r = fill_mark(c, mark, msg);
	if (r < 0)
		return r;
	if (mark->on == MARK_OTHER)
		return refuse_mark(c, probe, "a mark of a kind that is not known");
	if (mark->mask & PERMISSION_EVENTS)
		return refuse_mark(c, probe,
				   "it decides about accesses of others, who would wait "
				   "for it while its program is stopped");
	if (!msg->target)
		return refuse_mark(c, probe, "nothing leads to what one of its marks is on");
	return 0;
}

/* When the inodes of the tree are known. The kernel lists the newest mark first. */
static int collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	struct fdinfo_fanotify info = {};
	int r = parse_fdinfo_fanotify(probe->info.rest, c->arena, &info);

	for (size_t i = info.n_marks; r >= 0 && i-- > 0;)
		r = add_mark(c, probe, &info.marks[i], file->fanotify);
	return r;
}

/* ---- rebuild ------------------------------------------------------------------------------- */

static int check(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__Fanotify *msg = file->fanotify;
	int fd = fanotify_init(msg->flags | FAN_CLOEXEC, msg->event_flags);
	int result = 0;

	if (fd < 0)
		return rebuild_refuse(
			r,
			"restore with CAP_SYS_ADMIN, on a kernel as new as that of "
			"the dump",
			"a fanotify group with the flags %#x cannot be made here (%s)", msg->flags,
			err_name(errno));
	close_guard(&fd);
	for (size_t i = 0; result >= 0 && i < msg->n_marks; i++)
		result = watched_check(r, msg->marks[i]->target, "a fanotify");
	return result;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	_cleanup_close_ int fd = fanotify_init(file->fanotify->flags, file->fanotify->event_flags);

	if (fd < 0)
		return err_sys(r->ctx, -errno, "fanotify_init(%#x)", file->fanotify->flags);
	/* the flags that it was made with are not those that it has now */
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(r->ctx, -errno, "fcntl()");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int add(struct rebuild *r, const Coppice__FanotifyMark *mark, int fd, int target,
	       unsigned int flags, uint64_t mask)
{
	static const unsigned int type[] = {
		[COPPICE__FANOTIFY_MARK__ON__INODE] = FAN_MARK_INODE,
		[COPPICE__FANOTIFY_MARK__ON__MOUNT] = FAN_MARK_MOUNT,
		[COPPICE__FANOTIFY_MARK__ON__FILESYSTEM] = FAN_MARK_FILESYSTEM,
	};
	char path[32];

	if (!mask)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	flags |= FAN_MARK_ADD | type[mark->on];
	return fanotify_mark(fd, flags, mask, AT_FDCWD, path) < 0
		       ? err_sys(r->ctx, -errno, "fanotify_mark(%#x, %#lx)", flags, mask)
		       : 0;
}

static int mark_again(struct rebuild *r, const Coppice__FanotifyMark *mark, int fd)
{
	const unsigned int lasting = mark->flags & FAN_MARK_EVICTABLE;
	unsigned int ignore =
		mark->flags & FAN_MARK_IGNORE ? FAN_MARK_IGNORE : FAN_MARK_IGNORED_MASK;
	_cleanup_close_ int target = watched_open(r, mark->target);
	int result;

	if (target < 0)
		return err_sys(r->ctx, target, "opening %s", watched_name(mark->target));
	ignore |= mark->flags & FAN_MARK_IGNORED_SURV_MODIFY;
	result = add(r, mark, fd, target, lasting, mark->mask);
	return result < 0 ? result : add(r, mark, fd, target, lasting | ignore, mark->ignored);
}

static int mark_all(struct rebuild *r, const Coppice__File *file, int fd)
{
	int result = 0;

	for (size_t i = 0; result >= 0 && i < file->fanotify->n_marks; i++)
		result = mark_again(r, file->fanotify->marks[i], fd);
	return result;
}

/* An event may bring descriptors with it. */
static void close_event(const struct fanotify_event_metadata *event)
{
	const char *at = (const char *)event + event->metadata_len;
	const char *end = (const char *)event + event->event_len;

	if (event->fd >= 0)
		(void)close(event->fd);
	while (end - at >= (ssize_t)sizeof(struct fanotify_event_info_header)) {
		const struct fanotify_event_info_header *info = (const void *)at;

		if (info->info_type == FAN_EVENT_INFO_TYPE_PIDFD &&
		    ((const struct fanotify_event_info_pidfd *)info)->pidfd >= 0)
			(void)close(((const struct fanotify_event_info_pidfd *)info)->pidfd);
		if (info->len == 0)
			break;
		at += info->len;
	}
}

/* What was seen until now is our own doing, or happened while the program did not exist. */
static int resume(struct rebuild *r, const Coppice__File *file _unused_, int fd)
{
	union {
		struct fanotify_event_metadata align;
		char bytes[8192];
	} buf;
	int queued = 0;
	ssize_t n;

	if (ioctl(fd, FIONREAD, &queued) < 0)
		return err_sys(r->ctx, -errno, "ioctl(FIONREAD) of a fanotify");
	/* it counts the heads of events */
	for (int left = queued / (int)FAN_EVENT_METADATA_LEN; left > 0;) {
		const struct fanotify_event_metadata *event = &buf.align;
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

		if (poll(&poll_fd, 1, 0) <= 0)
			break;
		n = read(fd, &buf, sizeof(buf));
		if (n < 0)
			return err_sys(r->ctx, -errno, "read() of a fanotify");
		for (; FAN_EVENT_OK(event, n); event = FAN_EVENT_NEXT(event, n), left--)
			close_event(event);
	}
	return 0;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "fanotify, %zu marks", file->fanotify->n_marks);
}

const struct file_kind kind_fanotify = {
	.name = "fanotify",
	.which = COPPICE__FILE__KIND_FANOTIFY,
	.matches = matches,
	.collect = collect,
	.collect_late = collect_late,
	.check = check,
	.create = create,
	.watch = mark_all,
	.resume = resume,
	.describe = describe,
};
