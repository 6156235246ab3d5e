/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context: what every operation of coppice is given first. It carries the error chain, the
 * log sink and, in tests, the fault that is to be injected. There is no global state; a program
 * may hold several contexts.
 *
 * The error model
 * ---------------
 * Functions return 0 or -errno; an expected outcome that is no error is a documented positive
 * value. The *cause* of an error travels in the context as a chain of frames:
 *
 *	fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
 *	if (fd < 0)
 *		return err_sys(ctx, -errno, "openat(%s)", name);
 *	...
 *	r = restore_eventfd(ctx, ...);
 *	if (r < 0)
 *		return err_while(ctx, r, "restoring fd %d (eventfd)", n);
 *
 * err_sys and err_msg start a new chain (what was there before had been handled). err_while
 * adds a frame where a new noun becomes known, err_hint says what the user can do about it.
 * Only src/cli prints the chain. A context's chain has room for ERR_FRAMES frames of ERR_TEXT
 * bytes and never allocates, so that running out of memory can be reported too.
 */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/macro.h"

#define ERR_FRAMES 12
#define ERR_TEXT   512

struct err {
	int code;	     /* -errno of the cause, 0: no error recorded */
	unsigned int frames; /* frames in use; [0] is the cause */
	char frame[ERR_FRAMES][ERR_TEXT];
	char hint[ERR_TEXT]; /* "" when there is none */
};

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
};

typedef void (*log_sink)(void *data, enum log_level level, const char *text);

/* Where the next injected failure strikes; see test/tool/faults.c. */
struct fault {
	uint64_t at;	/* strike at the at-th point from the start, 0: never */
	uint64_t count; /* points passed so far */
	/* What happens there: returns the -errno that the point fails with, or 0 to go on. */
	int (*strike)(void *data);
	void *data;
};

struct context {
	struct err err;
	enum log_level level;
	log_sink sink;
	void *sink_data;
	struct fault fault;
	/* Called at stage borders and during bulk work; may be NULL. done/total are bytes or items.
	 */
	void (*progress)(void *data, const char *stage, uint64_t done, uint64_t total);
	void *progress_data;
	/* Set from a signal handler of src/cli (SIGTERM, SIGINT): stop at the next safe point. */
	const volatile int *cancel;
};

/* Starts a chain with a failed system call. @r is the -errno. Returns @r. */
int err_sys(struct context *ctx, int r, const char *fmt, ...) _printf_(3, 4);
/* Starts a chain with a cause that is no system call; @r says which class (-EINVAL, ...). */
int err_msg(struct context *ctx, int r, const char *fmt, ...) _printf_(3, 4);
/* Starts a chain for a failed allocation. Returns -ENOMEM. */
int err_oom(struct context *ctx);
/* Adds a frame: what was being done, to which object. Returns @r. */
int err_while(struct context *ctx, int r, const char *fmt, ...) _printf_(3, 4);
/* Sets what to try; the innermost hint wins. Returns @r. */
int err_hint(struct context *ctx, int r, const char *fmt, ...) _printf_(3, 4);
/* Forgets the chain, after an error was handled. */
void err_clear(struct context *ctx);
/* The symbolic name of an errno value ("ENOENT"), or "?" */
const char *err_name(int code);

#ifdef __clang_analyzer__
/* What the contract says and the analyzer cannot see: the result is an error. */
#define err_sys(...)   ((void)err_sys(__VA_ARGS__), -EIO)
#define err_msg(...)   ((void)err_msg(__VA_ARGS__), -EIO)
#define err_oom(...)   ((void)err_oom(__VA_ARGS__), -ENOMEM)
#define err_while(...) ((void)err_while(__VA_ARGS__), -EIO)
#define err_hint(...)  ((void)err_hint(__VA_ARGS__), -EIO)
#endif

void log_msg(struct context *ctx, enum log_level level, const char *fmt, ...) _printf_(3, 4);
#define log_debug(ctx, ...) log_msg(ctx, LOG_DEBUG, __VA_ARGS__)
#define log_info(ctx, ...)  log_msg(ctx, LOG_INFO, __VA_ARGS__)
#define log_warn(ctx, ...)  log_msg(ctx, LOG_WARN, __VA_ARGS__)

/* A point where a test may inject a failure: 0, or the -errno with a chain that says so. */
int fault_point(struct context *ctx, const char *what);

/* 0, or -ECANCELED with a chain once the user asked to stop. Call it at safe points. */
int cancel_point(struct context *ctx);

static inline void progress(struct context *ctx, const char *stage, uint64_t done, uint64_t total)
{
	if (ctx->progress)
		ctx->progress(ctx->progress_data, stage, done, total);
}
