/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the parsers of /proc/PID/fdinfo/N: of what all files have, and of single kinds. */

#include "fuzz.h"
#include "kernel/fdinfo.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

static void parse_kinds(const char *rest, struct arena *arena)
{
	struct fdinfo_eventfd eventfd;
	struct fdinfo_timerfd timerfd;
	struct fdinfo_epoll_entry *entries;
	struct fdinfo_fanotify fanotify;
	struct fdinfo_mark *marks;
	uint64_t mask;
	pid_t pid;
	size_t n;

	(void)parse_fdinfo_pidfd(rest, &pid);
	if (parse_fdinfo_fanotify(rest, arena, &fanotify) == 0 && fanotify.n_marks > strlen(rest))
		abort();
	if (parse_fdinfo_inotify(rest, arena, &marks, &n) == 0 && n > strlen(rest))
		abort();
	(void)parse_fdinfo_eventfd(rest, &eventfd);
	(void)parse_fdinfo_signalfd(rest, &mask);
	if (parse_fdinfo_timerfd(rest, &timerfd) == 0 &&
	    (timerfd.value_ns < 0 || timerfd.interval_ns < 0))
		abort();
	if (parse_fdinfo_epoll(rest, arena, &entries, &n) == 0 && n > strlen(rest))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_(arena_deinit) struct arena arena;
	struct proc_fdinfo info;

	arena_init(&arena, NULL);
	if (parse_fdinfo(text, &arena, &info) == 0) {
		if (strlen(info.rest) > size)
			abort();
		parse_kinds(info.rest, &arena);
	}
	return 0;
}
