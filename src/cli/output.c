/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

static FILE *arg_log;		    /* NULL: stderr */
static struct timespec arg_start;   /* when the command began */
static char arg_progress_stage[32]; /* the stage on the terminal's progress line, or "" */
static int arg_progress_percent;

static double seconds_since_start(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (double)(now.tv_sec - arg_start.tv_sec) +
	       (double)(now.tv_nsec - arg_start.tv_nsec) / 1e9;
}

void output_progress_end(void)
{
	if (arg_progress_stage[0] == '\0')
		return;
	(void)fputs("\r\033[K", stderr);
	arg_progress_stage[0] = '\0';
}

static void log_to_stream(void *data _unused_, enum log_level level, const char *text)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};

	if (arg_log) {
		(void)fprintf(arg_log, "%10.6f %s: %s\n", seconds_since_start(), names[level],
			      text);
		return;
	}
	output_progress_end();
	(void)fprintf(stderr, "%s: %s\n", names[level], text);
}

/* A line on a terminal, once the command has run for a second, at most one per percent. */
static void show_progress(void *data _unused_, const char *stage, uint64_t done, uint64_t total)
{
	int percent = total > 0 ? (int)(done * 100 / total) : 0;

	if (seconds_since_start() < 1.0)
		return;
	if (strcmp(stage, arg_progress_stage) == 0 && percent == arg_progress_percent)
		return;
	(void)snprintf(arg_progress_stage, sizeof(arg_progress_stage), "%s", stage);
	arg_progress_percent = percent;
	(void)fprintf(stderr, "\r%s %d%%\033[K", stage, percent);
	(void)fflush(stderr);
}

void output_init(struct context *ctx)
{
	memset(ctx, 0, sizeof(*ctx));
	ctx->level = LOG_WARN;
	ctx->sink = log_to_stream;
	if (isatty(STDERR_FILENO))
		ctx->progress = show_progress;
	(void)clock_gettime(CLOCK_MONOTONIC, &arg_start); /* cannot fail */
}

void output_verbose(struct context *ctx)
{
	if (ctx->level < LOG_DEBUG)
		ctx->level++;
}

int output_log_file(struct context *ctx, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *f;

	if (fd < 0)
		return err_sys(ctx, -errno, "open(%s)", path);
	f = fdopen(fd, "a");
	if (!f) {
		(void)close(fd); /* nothing was written */
		return err_oom(ctx);
	}
	(void)setvbuf(f, NULL, _IOLBF, 0); /* a full buffer would be lost by SIGKILL */
	arg_log = f;
	ctx->level = LOG_DEBUG;
	return 0;
}

void output_stages(const struct stage_times *times)
{
	for (size_t i = 0; i < times->n; i++)
		(void)printf("%-10s %8.3f ms\n", times->stage[i].name,
			     (double)times->stage[i].ns / 1e6);
}

int cli_common_option(struct context *ctx, const struct cli_command *command, int opt)
{
	switch (opt) {
	case 'v':
		output_verbose(ctx);
		return -1;
	case 'o':
		if (output_log_file(ctx, optarg) < 0)
			return cli_fail(ctx, "cannot write the log");
		return -1;
	case 'h':
		(void)printf("usage: coppice %s %s", command->name, command->usage);
		return EXIT_OK;
	default:
		(void)fprintf(stderr, "see 'coppice %s --help'\n", command->name);
		return EXIT_USAGE;
	}
}

int cli_usage_error(const struct cli_command *command, const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "coppice %s: ", command->name);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fprintf(stderr, "; see 'coppice %s --help'\n", command->name);
	return EXIT_USAGE;
}

pid_t cli_parse_pid(const struct cli_command *command, const char *text)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || pid <= 0 || pid > 4194304) {
		(void)cli_usage_error(command, "'%s' is no PID", text);
		return 0;
	}
	return (pid_t)pid;
}

int cli_fail(struct context *ctx, const char *headline, ...)
{
	const struct err *err = &ctx->err;
	va_list ap;

	output_progress_end();
	(void)fputs("error: ", stderr);
	va_start(ap, headline);
	(void)vfprintf(stderr, headline, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	for (unsigned int i = err->frames; i > 0; i--)
		(void)fprintf(stderr, "  %s%s\n", i > 1 ? "while " : "", err->frame[i - 1]);
	if (err->hint[0] != '\0')
		(void)fprintf(stderr, "  try: %s\n", err->hint);
	return EXIT_FAILED;
}

void cli_print_refusal(FILE *out, const char *text, const char *hint)
{
	(void)fprintf(out, "  - %s\n", text);
	if (hint)
		(void)fprintf(out, "    try: %s\n", hint);
}
