/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one file per subcommand, each ending in one const struct cli_command. This
 * layer is the only one that prints or exits.
 *
 * Exit status: 0 done, 1 failed (the error chain is on stderr), 2 wrong usage; a foreground restore
 * exits as the program did, 125 for coppice's own failure.
 */
#pragma once

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "util/context.h"

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_OWN_FAILURE = 125,
};

struct cli_command {
	const char *name;
	const char *summary;
	const char *usage; /* the text after "usage: coppice NAME", options included */
	int (*run)(struct context *ctx, int argc, char **argv);
};

extern const struct cli_command cli_dump, cli_restore, cli_check, cli_plan, cli_show;

/* Long-option values without a short form start here; each command counts on from it. */
enum { OPT_LONG_ONLY = 256, OPT_COMMON = 512 };

/* Options every command has: -v/--verbose, -o/--log-file (also --log), --help. */
#define CLI_COMMON_OPTIONS                                                                         \
	{"verbose", no_argument, NULL, 'v'}, {"log-file", required_argument, NULL, 'o'},           \
		{"log", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'},           \
	{                                                                                          \
		NULL, 0, NULL, 0                                                                   \
	}
#define CLI_COMMON_SHORT "vo:h"

/*
 * Handles an option of CLI_COMMON_OPTIONS, or getopt's '?'. Returns -1 to go on, or the exit status to
 * leave with.
 */
int cli_common_option(struct context *ctx, const struct cli_command *command, int opt);

/* Options about connections, of those commands that stop a tree. */
enum { OPT_TCP_ESTABLISHED = OPT_COMMON, OPT_TCP_CLOSE, OPT_SKIP_IN_FLIGHT };
#define CLI_TCP_OPTIONS                                                                            \
	{"tcp-established", no_argument, NULL, OPT_TCP_ESTABLISHED},                               \
		{"tcp-close", no_argument, NULL, OPT_TCP_CLOSE},                                   \
	{                                                                                          \
		"skip-in-flight", no_argument, NULL, OPT_SKIP_IN_FLIGHT                            \
	}
struct dump_options;
/* True if @opt is one of CLI_TCP_OPTIONS. */
bool cli_tcp_option(struct dump_options *dump, int opt);

/* Prints "coppice NAME: text" and a pointer to --help; returns EXIT_USAGE. */
int cli_usage_error(const struct cli_command *command, const char *fmt, ...) _printf_(2, 3);

/* A PID from the command line: > 0, or 0 after a usage error was printed. */
pid_t cli_parse_pid(const struct cli_command *command, const char *text);

/* Prints the error chain under "error: HEADLINE" and returns EXIT_FAILED. */
int cli_fail(struct context *ctx, const char *headline, ...) _printf_(2, 3);

/* Prints one refusal ("  - text", its hint below) on @out. */
void cli_print_refusal(FILE *out, const char *text, const char *hint);
