/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timerfd_create(2), struct timerfd_ctx: a clock, how the timer was set, when it expires, its
 * interval, and how often it has expired without being read.
 *
 * A relative timer goes on with the time that remained when it was looked at. An absolute one
 * (TFD_TIMER_ABSTIME) expires when its clock says so, in the past too: what a program finds that
 * was stopped for as long. It was set before our clock reading, which makes it late by as many
 * microseconds as lie between the two, and never early. Where the machine was rebooted
 * (--keep-clocks), the monotonic clocks are others, and the time that remained counts.
 *
 * A timer runs while the tree is stopped, and nobody looks at it meanwhile: an expiration after our
 * look comes again in the restored tree. In the kernel a periodic timer stands still from one
 * expiration until somebody looks, who then gets all that were missed; asking for the remaining time
 * is such a look, and takes nothing away.
 *
 * The kernel remembers a jump of CLOCK_REALTIME for TFD_TIMER_CANCEL_ON_SET (moffs), shows it as an
 * expiration, and lets nobody but a setting of the clock bring it about: until it is read it is
 * refused. So are unread expirations that may be one.
 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>

#include "file/anon.h"
#include "file/state.h"
#include "kernel/fdinfo.h"
#include "kernel/proc.h"
#include "kernel/uapi.h"
#include "util/cleanup.h"

enum { LOOKS_MAX = 10 };
#define NS_PER_S 1000000000LL
/* As a time of any clock, or from now on: far in the future. */
#define FAR_NS (INT64_MAX / 2)

static bool matches(const struct file_probe *probe)
{
	return file_is_anon(probe, "[timerfd]");
}

static int64_t to_ns(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * NS_PER_S + ts->tv_nsec;
}

static struct timespec to_timespec(int64_t ns)
{
	return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

/* The clock that a timer's clock counts like, and that can be read. */
static clockid_t readable_clock(int clock)
{
	return clock == CLOCK_REALTIME_ALARM   ? CLOCK_REALTIME
	       : clock == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME
					       : clock;
}

static int64_t now_ns(int clock)
{
	struct timespec now = {};

	(void)clock_gettime(readable_clock(clock), &now); /* cannot fail for these clocks */
	return to_ns(&now);
}

/* ---- collect ------------------------------------------------------------------------------- */

static int read_info(struct context *ctx, struct arena *arena, int fd, struct fdinfo_timerfd *ret)
{
	struct proc_fdinfo info;
	int r = proc_read_own_fdinfo(fd, arena, &info);

	if (r >= 0)
		r = parse_fdinfo_timerfd(info.rest, ret);
	return r < 0 ? err_sys(ctx, r, "reading /proc/self/fdinfo/%d", fd) : 0;
}

/*
 * The kernel reads time and count of fdinfo one after the other: they belong together if the count
 * is the same as before. A periodic timer expires no more than once after timerfd_gettime().
 */
static int look(struct context *ctx, struct arena *arena, int fd, struct fdinfo_timerfd *ret)
{
	struct fdinfo_timerfd before;
	struct itimerspec left;
	int r;

	if (timerfd_gettime(fd, &left) < 0)
		return err_sys(ctx, -errno, "timerfd_gettime()");
	r = read_info(ctx, arena, fd, ret);
	for (int i = 0; r >= 0 && i < LOOKS_MAX; i++) {
		before = *ret;
		r = read_info(ctx, arena, fd, ret);
		if (before.ticks == ret->ticks)
			break;
	}
	/* It has expired right now, and does not go on before the next look. */
	if (r >= 0 && ret->value_ns == 0 && to_ns(&left.it_value) > 0)
		ret->value_ns = ret->interval_ns;
	return r;
}

static int fill(struct collect *c, const struct file_probe *probe, int fd, Coppice__TimerFd *msg)
{
	struct fdinfo_timerfd info = {};
	int r = look(c->ctx, c->arena, fd, &info);

	if (r < 0)
		return r;
	msg->clock = info.clock;
	msg->ticks = info.ticks;
	msg->flags = info.flags;
	msg->interval_ns = info.interval_ns;
	msg->value_ns = info.value_ns;
	if (info.value_ns > 0 && (info.flags & TFD_TIMER_ABSTIME))
		msg->value_ns += now_ns(info.clock);
	if (info.ticks > 0 && (info.flags & TFD_TIMER_CANCEL_ON_SET) &&
	    (info.value_ns > 0 || info.interval_ns > 0))
		return collect_refuse(c, "try again when the program has read it",
				      "%s, fd %d (%s): it has expired, or was cancelled because "
				      "the clock was set",
				      collect_name(c, probe->process), probe->number, probe->link);
	return 0;
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__TimerFd *msg = arena_new(c->arena, Coppice__TimerFd);

	if (!msg)
		return err_oom(c->ctx);
	coppice__timer_fd__init(msg);
	file->timerfd = msg;
	return fill(c, probe, probe->fd, msg);
}

/*
 * The time of a timer may be over before the interrupt has come that counts it: between the two it
 * looks like one that was never armed. By now it has come.
 */
static int collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (file->timerfd->value_ns > 0 || file->timerfd->ticks > 0)
		return 0;
	r = file_probe_dup(c, probe, &fd);
	return r < 0 ? r : fill(c, probe, fd, file->timerfd);
}

/* ---- rebuild ------------------------------------------------------------------------------- */

static int set_ticks(struct context *ctx, int fd, uint64_t ticks)
{
	if (ticks > 0 && ioctl(fd, TFD_IOC_SET_TICKS, &ticks) < 0)
		return err_sys(ctx, -errno, "ioctl(TFD_IOC_SET_TICKS)");
	return 0;
}

static int check(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__TimerFd *msg = file->timerfd;
	_cleanup_close_ int fd = timerfd_create(msg->clock, TFD_CLOEXEC);
	int result;

	if (fd < 0 && errno == EPERM)
		return rebuild_refuse(r, "restore with CAP_WAKE_ALARM",
				      "a timerfd that wakes the machine may not be made here");
	if (fd < 0)
		return err_sys(r->ctx, -errno, "timerfd_create(%d)", msg->clock);
	result = set_ticks(r->ctx, fd, msg->ticks);
	if (result == -ENOTTY)
		return rebuild_refuse(r, "use a kernel with CONFIG_CHECKPOINT_RESTORE",
				      "the unread expirations of a timerfd cannot be given to it "
				      "here");
	return result;
}

static int arm(struct context *ctx, int fd, const Coppice__TimerFd *msg, int64_t value_ns)
{
	const struct itimerspec time = {
		.it_value = to_timespec(value_ns),
		.it_interval = to_timespec(msg->interval_ns),
	};
	int r = timerfd_settime(fd, (int)msg->flags, &time, NULL);

	/* The clock was set since the last time, and the timer is armed all the same. */
	if (r < 0 && errno == ECANCELED)
		r = timerfd_settime(fd, (int)msg->flags, &time, NULL);
	return r < 0 ? err_sys(ctx, -errno, "timerfd_settime()") : 0;
}

/* Until the program goes on, an armed timer must not expire. */
static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const Coppice__TimerFd *msg = file->timerfd;
	_cleanup_close_ int fd = timerfd_create(msg->clock, TFD_CLOEXEC | TFD_NONBLOCK);
	int result;

	if (fd < 0)
		return err_sys(r->ctx, -errno, "timerfd_create(%d)", msg->clock);
	result = arm(r->ctx, fd, msg, msg->value_ns > 0 ? FAR_NS : 0);
	if (result >= 0)
		result = set_ticks(r->ctx, fd, msg->ticks);
	if (result < 0)
		return result;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* What the time of an absolute timer is on the clocks of this boot. */
static int64_t value_here(const struct rebuild *r, const Coppice__TimerFd *msg)
{
	const Coppice__Origin *o = r->cp->origin;
	clockid_t clock = readable_clock(msg->clock);
	int64_t then = clock == CLOCK_MONOTONIC ? o->monotonic_ns : o->boottime_ns;
	int64_t value;

	if (!(msg->flags & TFD_TIMER_ABSTIME) || !r->other_boot || clock == CLOCK_REALTIME)
		return msg->value_ns;
	if (__builtin_sub_overflow(msg->value_ns, then, &value) || value < 0)
		value = 0; /* was due */
	if (__builtin_add_overflow(value, now_ns(clock), &value))
		value = INT64_MAX;
	return value;
}

static int resume(struct rebuild *r, const Coppice__File *file, int fd)
{
	const Coppice__TimerFd *msg = file->timerfd;
	struct fdinfo_timerfd info = {};
	int result;

	if (msg->value_ns == 0)
		return 0;
	result = arm(r->ctx, fd, msg, value_here(r, msg)); /* sets the count to 0 */
	if (result < 0 || msg->ticks == 0)
		return result;
	result = set_ticks(r->ctx, fd, msg->ticks);
	if (result >= 0)
		result = read_info(r->ctx, r->arena, fd, &info);
	/* It expired at once, and was counted before the count was set. */
	if (result >= 0 && info.value_ns == 0 && info.ticks == msg->ticks)
		result = set_ticks(r->ctx, fd, msg->ticks + 1);
	return result;
}

/* Armed as it is until it goes on, it has no expirations but those that it is given. */
static int rouse(struct rebuild *r, const Coppice__File *file, int fd, bool on)
{
	const Coppice__TimerFd *msg = file->timerfd;
	int result;

	if (on)
		return set_ticks(r->ctx, fd, 1);
	result = arm(r->ctx, fd, msg, msg->value_ns > 0 ? FAR_NS : 0);
	return result < 0 ? result : set_ticks(r->ctx, fd, msg->ticks);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	const Coppice__TimerFd *msg = file->timerfd;

	(void)snprintf(buf, size, "timerfd, clock %d, %s, %llu unread", msg->clock,
		       msg->value_ns > 0 ? "armed" : "disarmed", (unsigned long long)msg->ticks);
}

const struct file_kind kind_timerfd = {
	.name = "timerfd",
	.which = COPPICE__FILE__KIND_TIMERFD,
	.matches = matches,
	.collect = collect,
	.collect_late = collect_late,
	.check = check,
	.create = create,
	.rouse = rouse,
	.resume = resume,
	.describe = describe,
};
