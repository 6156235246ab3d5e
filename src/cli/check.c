/* SPDX-License-Identifier: Apache-2.0 */
/* coppice check: can this tree be dumped, can this image be restored here; if not, every reason. */
#include "checkpoint/check.h"

#include "cli/cli.h"
#include "cli/external.h"
#include "cli/output.h"
#include "kernel/feature.h"
#include "kind/rebuild.h"

static struct dump_options arg_dump;
static struct rebuild_options arg_rebuild;
static struct resource *arg_external;
static struct inherited_fd *arg_inherited;

enum {
	OPT_CHECK_CONTENT = OPT_LONG_ONLY,
	OPT_EXT_UNIX,
	OPT_CHECK_PAGES,
	OPT_EXTERNAL,
	OPT_INHERIT_FD,
	OPT_KEEP_CLOCKS
};

static const struct option options[] = {
	{"tree", required_argument, NULL, 't'},
	{"images-dir", required_argument, NULL, 'D'},
	{"shell-job", no_argument, NULL, 'j'},
	{"ext-unix-sk", no_argument, NULL, OPT_EXT_UNIX},
	{"check-content", no_argument, NULL, OPT_CHECK_CONTENT},
	{"check-pages", no_argument, NULL, OPT_CHECK_PAGES},
	{"external", required_argument, NULL, OPT_EXTERNAL},
	{"inherit-fd", required_argument, NULL, OPT_INHERIT_FD},
	{"keep-clocks", no_argument, NULL, OPT_KEEP_CLOCKS},
	CLI_TCP_OPTIONS,
	CLI_COMMON_OPTIONS,
};

static int take_option(struct context *ctx, int opt)
{
	switch (opt) {
	case 't':
		arg_dump.root = cli_parse_pid(&cli_check, optarg);
		return arg_dump.root > 0 ? -1 : EXIT_USAGE;
	case 'D':
		arg_dump.dir = optarg;
		return -1;
	case 'j':
		arg_dump.shell_job = arg_rebuild.shell_job = true;
		return -1;
	case OPT_EXT_UNIX:
		arg_dump.ext_unix = true;
		return -1;
	case OPT_CHECK_CONTENT:
		arg_rebuild.check_content = true;
		return -1;
	case OPT_CHECK_PAGES:
		arg_rebuild.check_pages = true;
		return -1;
	case OPT_EXTERNAL:
		return cli_add_external(&cli_check, optarg, &arg_external, &arg_dump.n_external);
	case OPT_INHERIT_FD:
		return cli_add_inherited(&cli_check, optarg, &arg_inherited,
					 &arg_rebuild.n_inherited);
	case OPT_KEEP_CLOCKS:
		arg_rebuild.keep_clocks = true;
		return -1;
	default:
		if (cli_tcp_option(&arg_dump, opt))
			return -1;
		return cli_common_option(ctx, &cli_check, opt);
	}
}

static int print_result(struct check_result *result, const char *yes, const char *no)
{
	int status = result->n_refusals == 0 ? EXIT_OK : EXIT_FAILED;

	(void)printf("%s (%zu processes", status == EXIT_OK ? yes : no, result->n_processes);
	if (result->stopped_ns > 0)
		(void)printf(", stopped for %.1f ms", (double)result->stopped_ns / 1e6);
	(void)puts(status == EXIT_OK ? ")" : "):");
	for (size_t i = 0; i < result->n_refusals; i++)
		cli_print_refusal(stdout, result->refusals[i].text, result->refusals[i].hint);
	check_result_deinit(result);
	return status;
}

/* Nothing here is an error: each missing feature has a fallback or a refusal of what needs it. */
static int print_features(void)
{
	for (int i = 0; i < FEATURES; i++) {
		int there = feature_probe((enum feature)i);

		(void)printf("%-4s %s",
			     there > 0	  ? "yes"
			     : there == 0 ? "no"
					  : "?",
			     feature_name((enum feature)i));
		if (there <= 0)
			(void)printf(": %s", feature_without((enum feature)i));
		(void)putchar('\n');
	}
	return EXIT_OK;
}

static int run(struct context *ctx, int argc, char **argv)
{
	struct check_result result;
	int opt;

	while ((opt = getopt_long(argc, argv, "t:D:j" CLI_COMMON_SHORT, options, NULL)) >= 0) {
		int status = take_option(ctx, opt);

		if (status >= 0)
			return status;
	}
	if (optind < argc)
		return cli_usage_error(&cli_check, "unexpected argument '%s'", argv[optind]);
	arg_dump.external = arg_external;
	arg_rebuild.inherited = arg_inherited;
	if (arg_dump.root > 0 && arg_dump.dir)
		return cli_usage_error(&cli_check, "-t and -D cannot be given together");
	if (arg_dump.root > 0) {
		if (check_dump(ctx, &arg_dump, &result) < 0)
			return cli_fail(ctx, "cannot check process %d", arg_dump.root);
		return print_result(&result, "can be dumped", "cannot be dumped");
	}
	if (arg_dump.dir) {
		if (check_restore(ctx, arg_dump.dir, &arg_rebuild, &result) < 0)
			return cli_fail(ctx, "cannot check the image in %s", arg_dump.dir);
		return print_result(&result, "can be restored here", "cannot be restored here");
	}
	return print_features();
}

const struct cli_command cli_check = {
	.name = "check",
	.summary =
		"say whether a tree can be dumped or an image restored, and every reason why not",
	.usage = "[-t PID | -D DIR] [OPTION...]\n\n"
		 "  -t, --tree PID         can this tree be dumped? It is stopped for some "
		 "milliseconds\n"
		 "  -D, --images-dir DIR   can this image be restored on this machine, now?\n"
		 "  -j, --shell-job        as for dump and restore\n"
		 "      --ext-unix-sk      as for dump\n"
		 "      --tcp-established, --tcp-close, --skip-in-flight\n"
		 "                         as for dump\n"
		 "      --check-content    as for restore\n"
		 "      --check-pages      as for restore\n"
		 "      --keep-clocks      as for restore\n"
		 "      --external RESOURCE, --inherit-fd 'fd[N]:RESOURCE'  as for dump and "
		 "restore\n"
		 "  -o, --log-file FILE    append a log to FILE\n"
		 "  -v, --verbose          say more; twice: everything\n"
		 "  -h, --help             this text\n\n"
		 "Without -t or -D: which of the kernel's features coppice finds here.\n",
	.run = run,
};
