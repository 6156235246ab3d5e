/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live tests: a program makes a resource, waits while the runner (test/live/run) dumps, kills and
 * restores it, and then checks itself. The runner compares /proc text before and after by its own
 * reader as well.
 *
 *	static int make_simple(void) { ... return 0; }
 *	static int check_simple(void) { CHECK_EQ(value, 42); return 0; }
 *	static const struct live_row rows[] = {{"simple", make_simple, check_simple}, ...};
 *	int main(int argc, char **argv) { return live_main(argc, argv, rows, ARRAY_SIZE(rows)); }
 *
 * The program waits in sigwaitinfo(SIGUSR1), with SIGUSR1 blocked in the main thread before make()
 * is called; a row may use any other signal. It runs as a child of the init of a PID namespace of
 * its own, in a session of its own, with descriptors 0-2 on /dev/null; a scratch directory is the
 * working directory. What check() says on failure goes into the file `result` there.
 *
 * One source file per kind, listed in test/live/meson.build.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct live_row {
	const char *name;
	int (*make)(void);	  /* 0, or 77 to skip (say why with live_fail), else failed */
	int (*check)(void);	  /* after the last restore: 0 or 1 */
	const char *dump_options; /* further options, space-separated, or NULL */
	const char *restore_options;
	const char *refused; /* dump must fail with this text in its error chain */
};

int live_main(int argc, char **argv, const struct live_row *rows, size_t n_rows);

/* Waits until @is_so() holds, looking again and again; the runner ends what takes too long. Returns 0. */
int live_await(bool (*is_so)(void));
/* The same for a task of this process that is to sleep (in whatever call). */
int live_await_asleep(pid_t tid);

/* Records why a check failed; returns 1. */
int live_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What it was told last. */
const char *live_failure(void);

/* Fails the surrounding function unless @cond holds. */
#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			return live_fail("%s:%d: %s", __FILE__, __LINE__, #cond);                  \
	} while (0)

/* The same for two integers, both shown. */
#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		long long _a = (long long)(a), _b = (long long)(b);                                \
		if (_a != _b)                                                                      \
			return live_fail("%s:%d: %s is %lld (%#llx), expected %s = %lld (%#llx)",  \
					 __FILE__, __LINE__, #a, _a, (unsigned long long)_a, #b,   \
					 _b, (unsigned long long)_b);                              \
	} while (0)
