/* SPDX-License-Identifier: Apache-2.0 */
/* Where the library's words go: the log (stderr or a file), progress on a terminal, the error chain. */
#pragma once

#include "checkpoint/stage.h"
#include "util/context.h"

/* A context whose log and progress go to stderr; warnings and errors only, until output_verbose. */
void output_init(struct context *ctx);
/* One level more: info, then debug. */
void output_verbose(struct context *ctx);
/* Sends the log to @path (appended), at debug level. 0 or -errno with a chain. */
int output_log_file(struct context *ctx, const char *path);
/* Ends a progress line, if one is on the terminal. */
void output_progress_end(void);
/* A line per stage, on stdout. */
void output_stages(const struct stage_times *times);
