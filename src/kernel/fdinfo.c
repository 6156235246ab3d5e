/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fdinfo.h"

#include <errno.h>
#include <limits.h>

#include "kernel/scan.h"
#include "util/arena.h"

/* Moves to the line that begins with @key, and past the key. */
static bool find_line(const char **at, const char *key)
{
	for (const char *p = *at; *p != '\0'; p = scan_next_line(p))
		if (scan_literal(&p, key)) {
			*at = p;
			return true;
		}
	return false;
}

/* A line "key" with one number behind blanks. */
static bool find_u64(const char **at, const char *key, unsigned int base, uint64_t *ret)
{
	if (!find_line(at, key))
		return false;
	scan_blanks(at);
	return scan_u64(at, base, ret) && scan_char(at, '\n');
}

/* fs/eventfd.c, eventfd_show_fdinfo() */
int parse_fdinfo_eventfd(const char *rest, struct fdinfo_eventfd *ret)
{
	struct fdinfo_eventfd info = {};
	const char *at = rest;
	uint64_t semaphore = 0;

	if (!find_u64(&at, "eventfd-count:", 16, &info.count))
		return -EBADMSG;
	at = rest;
	info.semaphore_known = find_u64(&at, "eventfd-semaphore:", 10, &semaphore);
	info.semaphore = semaphore != 0;
	*ret = info;
	return 0;
}

/* "(seconds, nanoseconds)" */
static bool scan_time(const char **at, int64_t *ret_ns)
{
	enum { NS_PER_S = 1000000000 };
	int64_t seconds, ns;

	if (!scan_literal(at, " (") || !scan_i64(at, &seconds) || !scan_literal(at, ", ") ||
	    !scan_i64(at, &ns) || !scan_literal(at, ")\n"))
		return false;
	/* the kernel has it as an int64_t of nanoseconds */
	return seconds >= 0 && ns >= 0 && ns < NS_PER_S &&
	       !__builtin_mul_overflow(seconds, (int64_t)NS_PER_S, &seconds) &&
	       !__builtin_add_overflow(seconds, ns, ret_ns);
}

/* fs/timerfd.c, timerfd_show() */
int parse_fdinfo_timerfd(const char *rest, struct fdinfo_timerfd *ret)
{
	struct fdinfo_timerfd info = {};
	const char *at = rest;

	if (!find_line(&at, "clockid: ") || !scan_int(&at, &info.clock) ||
	    !scan_literal(&at, "\nticks: ") || !scan_u64(&at, 10, &info.ticks) ||
	    !scan_literal(&at, "\nsettime flags: ") || !scan_u32(&at, 8, &info.flags) ||
	    !scan_literal(&at, "\nit_value:") || !scan_time(&at, &info.value_ns) ||
	    !scan_literal(&at, "it_interval:") || !scan_time(&at, &info.interval_ns))
		return -EBADMSG;
	*ret = info;
	return 0;
}

/* fs/signalfd.c, signalfd_show_fdinfo() */
int parse_fdinfo_signalfd(const char *rest, uint64_t *ret_mask)
{
	return find_u64(&rest, "sigmask:", 16, ret_mask) ? 0 : -EBADMSG;
}

/* fs/pidfs.c, pidfd_show_fdinfo() */
int parse_fdinfo_pidfd(const char *rest, pid_t *ret_pid)
{
	return find_line(&rest, "Pid:\t") && scan_int(&rest, ret_pid) && scan_char(&rest, '\n')
		       ? 0
		       : -EBADMSG;
}

static bool scan_epoll_entry(const char **at, struct fdinfo_epoll_entry *entry)
{
	int64_t pos;

	scan_blanks(at);
	if (!scan_u32(at, 10, &entry->number) || !scan_literal(at, " events:"))
		return false;
	scan_blanks(at);
	if (!scan_u32(at, 16, &entry->events) || !scan_literal(at, " data:"))
		return false;
	scan_blanks(at);
	if (!scan_u64(at, 16, &entry->data) || !scan_literal(at, "  pos:") || !scan_i64(at, &pos))
		return false;
	return scan_literal(at, " ino:") && scan_u64(at, 16, &entry->ino) &&
	       scan_literal(at, " sdev:") && scan_u64(at, 16, &entry->dev) && scan_char(at, '\n');
}

/* fs/eventpoll.c, ep_show_fdinfo() */
int parse_fdinfo_epoll(const char *rest, struct arena *arena, struct fdinfo_epoll_entry **ret,
		       size_t *ret_n)
{
	struct fdinfo_epoll_entry *entries = NULL;
	size_t n = 0;

	while (find_line(&rest, "tfd:")) {
		struct fdinfo_epoll_entry entry = {};
		struct fdinfo_epoll_entry *slot;

		if (!scan_epoll_entry(&rest, &entry))
			return -EBADMSG;
		slot = arena_append(arena, &entries, &n, sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		*slot = entry;
	}
	*ret = entries;
	*ret_n = n;
	return 0;
}

/* " fhandle-bytes:c fhandle-type:81 f_handle:0100..." */
static bool scan_handle(const char **at, struct fdinfo_mark *mark)
{
	if (!scan_literal(at, " fhandle-bytes:"))
		return true; /* a file system without */
	if (!scan_u32(at, 16, &mark->handle_len) || mark->handle_len > FDINFO_HANDLE_MAX ||
	    !scan_literal(at, " fhandle-type:") || !scan_u32(at, 16, &mark->handle_type) ||
	    !scan_literal(at, " f_handle:"))
		return false;
	for (uint32_t i = 0; i < mark->handle_len; i++) {
		unsigned int high = scan_digit(**at);
		unsigned int low = high < 16 ? scan_digit((*at)[1]) : 16;

		if (low > 15)
			return false;
		mark->handle[i] = (unsigned char)(high << 4 | low);
		*at += 2;
	}
	return true;
}

static bool scan_masks(const char **at, struct fdinfo_mark *mark)
{
	return scan_literal(at, " mask:") && scan_u32(at, 16, &mark->mask) &&
	       scan_literal(at, " ignored_mask:") && scan_u32(at, 16, &mark->ignored);
}

static bool scan_inotify(const char **at, struct fdinfo_mark *mark)
{
	uint32_t wd;

	if (!scan_u32(at, 16, &wd) || wd > INT_MAX || !scan_literal(at, " ino:") ||
	    !scan_u64(at, 16, &mark->ino) || !scan_literal(at, " sdev:") ||
	    !scan_u64(at, 16, &mark->dev) || !scan_masks(at, mark) || !scan_handle(at, mark))
		return false;
	mark->wd = (int)wd;
	scan_blanks(at);
	return scan_char(at, '\n');
}

/* fs/notify/fdinfo.c, inotify_fdinfo() */
int parse_fdinfo_inotify(const char *rest, struct arena *arena, struct fdinfo_mark **ret,
			 size_t *ret_n)
{
	struct fdinfo_mark *marks = NULL;
	size_t n = 0;

	while (find_line(&rest, "inotify wd:")) {
		struct fdinfo_mark *mark = arena_append(arena, &marks, &n, sizeof(*mark));

		if (!mark)
			return -ENOMEM;
		if (!scan_inotify(&rest, mark))
			return -EBADMSG;
	}
	*ret = marks;
	*ret_n = n;
	return 0;
}

/* What the mark is on: "ino:... sdev:...", "mnt_id:..." or "sdev:..." */
static bool scan_place(const char **at, struct fdinfo_mark *mark)
{
	if (scan_literal(at, "ino:")) {
		mark->on = MARK_INODE;
		return scan_u64(at, 16, &mark->ino) && scan_literal(at, " sdev:") &&
		       scan_u64(at, 16, &mark->dev);
	}
	if (scan_literal(at, "mnt_id:")) {
		mark->on = MARK_MOUNT;
		return scan_u32(at, 16, &mark->mount);
	}
	mark->on = MARK_FILESYSTEM;
	return scan_literal(at, "sdev:") && scan_u64(at, 16, &mark->dev);
}

static bool scan_fanotify(const char **at, struct fdinfo_mark *mark)
{
	if (scan_literal(at, "mnt_ns:")) { /* since 6.14 */
		mark->on = MARK_OTHER;
		*at = scan_line_end(*at);
		return true;
	}
	if (!scan_place(at, mark) || !scan_literal(at, " mflags:") ||
	    !scan_u32(at, 16, &mark->flags) || !scan_masks(at, mark) || !scan_handle(at, mark))
		return false;
	scan_blanks(at);
	return scan_char(at, '\n');
}

/* fs/notify/fdinfo.c, fanotify_show_fdinfo() */
int parse_fdinfo_fanotify(const char *rest, struct arena *arena, struct fdinfo_fanotify *ret)
{
	struct fdinfo_fanotify info = {};

	if (!find_line(&rest, "fanotify flags:") || !scan_u32(&rest, 16, &info.flags) ||
	    !scan_literal(&rest, " event-flags:") || !scan_u32(&rest, 16, &info.event_flags) ||
	    !scan_char(&rest, '\n'))
		return -EBADMSG;
	while (find_line(&rest, "fanotify ")) {
		struct fdinfo_mark *mark =
			arena_append(arena, &info.marks, &info.n_marks, sizeof(*mark));

		if (!mark)
			return -ENOMEM;
		if (!scan_fanotify(&rest, mark))
			return -EBADMSG;
	}
	*ret = info;
	return 0;
}
