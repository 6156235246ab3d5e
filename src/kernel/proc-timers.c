/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/timers: the POSIX timers of a process, four lines each (show_timer() in
 * fs/proc/base.c). Not told here, and asked of the process itself: the times and the overrun count.
 */
#include "kernel/proc.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "kernel/proc-ahead.h"
#include "kernel/scan.h"
#include "util/cleanup.h"

static bool scan_notify(const char **at, struct proc_timer *timer)
{
	if (scan_literal(at, "signal/"))
		timer->notify = SIGEV_SIGNAL;
	else if (scan_literal(at, "none/"))
		timer->notify = SIGEV_NONE;
	else if (scan_literal(at, "thread/"))
		timer->notify = SIGEV_THREAD;
	else
		return false;
	timer->to_thread = **at == 't';
	return scan_literal(at, timer->to_thread ? "tid." : "pid.") && scan_int(at, &timer->target);
}

static bool scan_timer(const char **at, struct proc_timer *timer)
{
	return scan_literal(at, "ID: ") && scan_int(at, &timer->id) &&
	       scan_literal(at, "\nsignal: ") && scan_int(at, &timer->signal) &&
	       scan_char(at, '/') && scan_u64(at, 16, &timer->sigval) &&
	       scan_literal(at, "\nnotify: ") && scan_notify(at, timer) &&
	       scan_literal(at, "\nClockID: ") && scan_int(at, &timer->clock) &&
	       scan_char(at, '\n');
}

int parse_timers(const char *text, struct arena *arena, struct proc_timer **ret, size_t *ret_n)
{
	struct proc_timer *timers = NULL;
	size_t n = 0;

	for (const char *at = text; *at != '\0';) {
		struct proc_timer timer;
		struct proc_timer *slot;

		if (!scan_timer(&at, &timer))
			return -EBADMSG;
		slot = arena_append(arena, &timers, &n, sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		*slot = timer;
	}
	*ret = timers;
	*ret_n = n;
	return 0;
}

int proc_read_timers(const struct proc_dir *dir, struct arena *arena, struct proc_timer **ret,
		     size_t *ret_n)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = proc_dir_read(dir, "timers", &text, NULL);
	if (r < 0)
		return r;
	return parse_timers(text, arena, ret, ret_n);
}
