/* SPDX-License-Identifier: Apache-2.0 */
/* coppice dump */
#include "checkpoint/dump.h"

#include "cli/cli.h"
#include "cli/external.h"
#include "cli/output.h"

static struct dump_options arg_opt;
static struct resource *arg_external;
static bool arg_stats;

enum {
	OPT_CHECK_CONTENT = OPT_LONG_ONLY,
	OPT_EXT_UNIX,
	OPT_CHECKSUM_PAGES,
	OPT_EXTERNAL,
	OPT_STATS
};

static const struct option options[] = {
	{"tree", required_argument, NULL, 't'},
	{"images-dir", required_argument, NULL, 'D'},
	{"leave-running", no_argument, NULL, 'R'},
	{"leave-stopped", no_argument, NULL, 's'},
	{"shell-job", no_argument, NULL, 'j'},
	{"ext-unix-sk", no_argument, NULL, OPT_EXT_UNIX},
	{"check-content", no_argument, NULL, OPT_CHECK_CONTENT},
	{"checksum-pages", no_argument, NULL, OPT_CHECKSUM_PAGES},
	{"external", required_argument, NULL, OPT_EXTERNAL},
	{"stats", no_argument, NULL, OPT_STATS},
	CLI_TCP_OPTIONS,
	CLI_COMMON_OPTIONS,
};

bool cli_tcp_option(struct dump_options *dump, int opt)
{
	switch (opt) {
	case OPT_TCP_ESTABLISHED:
		return dump->tcp_established = true;
	case OPT_TCP_CLOSE:
		return dump->tcp_close = true;
	case OPT_SKIP_IN_FLIGHT:
		return dump->skip_in_flight = true;
	default:
		return false;
	}
}

/* Reads one option; -1 to go on, else the exit status. */
static int take_option(struct context *ctx, int opt)
{
	switch (opt) {
	case 't':
		arg_opt.root = cli_parse_pid(&cli_dump, optarg);
		return arg_opt.root > 0 ? -1 : EXIT_USAGE;
	case 'D':
		arg_opt.dir = optarg;
		return -1;
	case 'R':
	case 's':
		if (arg_opt.fate != FATE_KILL)
			return cli_usage_error(&cli_dump,
					       "-R and -s cannot be given together or twice");
		arg_opt.fate = opt == 'R' ? FATE_RUN : FATE_STOP;
		return -1;
	case 'j':
		arg_opt.shell_job = true;
		return -1;
	case OPT_EXT_UNIX:
		arg_opt.ext_unix = true;
		return -1;
	case OPT_CHECK_CONTENT:
		arg_opt.check_content = true;
		return -1;
	case OPT_CHECKSUM_PAGES:
		arg_opt.checksum_pages = true;
		return -1;
	case OPT_EXTERNAL:
		return cli_add_external(&cli_dump, optarg, &arg_external, &arg_opt.n_external);
	case OPT_STATS:
		arg_stats = true;
		return -1;
	default:
		if (cli_tcp_option(&arg_opt, opt))
			return -1;
		return cli_common_option(ctx, &cli_dump, opt);
	}
}

static int run(struct context *ctx, int argc, char **argv)
{
	struct dump_report report;
	int opt;

	arg_opt.fate = FATE_KILL;
	while ((opt = getopt_long(argc, argv, "t:D:Rsj" CLI_COMMON_SHORT, options, NULL)) >= 0) {
		int status = take_option(ctx, opt);

		if (status >= 0)
			return status;
	}
	if (optind < argc)
		return cli_usage_error(&cli_dump, "unexpected argument '%s'", argv[optind]);
	if (arg_opt.root == 0 || !arg_opt.dir)
		return cli_usage_error(&cli_dump, "-t PID and -D DIR are needed");
	arg_opt.external = arg_external;
	if (dump_tree(ctx, &arg_opt, &report) < 0)
		return cli_fail(ctx, "cannot dump process %d", arg_opt.root);
	output_progress_end();
	if (arg_stats) {
		output_stages(&report.times);
		(void)printf("%-10s %8.3f ms\n", "frozen", (double)report.frozen_ns / 1e6);
		(void)printf("%zu processes, %zu threads, %.1f MiB of pages\n", report.n_processes,
			     report.n_threads, (double)report.page_bytes / 1048576);
	}
	return EXIT_OK;
}

const struct cli_command cli_dump = {
	.name = "dump",
	.summary = "stop a process tree and write it to a directory",
	.usage = "-t PID -D DIR [OPTION...]\n\n"
		 "  -t, --tree PID         the topmost process of the tree\n"
		 "  -D, --images-dir DIR   where the image goes; made if it is not there\n"
		 "  -R, --leave-running    let the tree run on afterwards\n"
		 "  -s, --leave-stopped    leave the tree stopped (SIGSTOP) afterwards\n"
		 "  -j, --shell-job        its session and terminal belong to the shell that "
		 "started it\n"
		 "      --ext-unix-sk      datagram sockets may be connected to the outside\n"
		 "      --tcp-established  keep TCP connections; their packets are held back until "
		 "the "
		 "restore\n"
		 "      --tcp-close        give them up: the program will find them ended\n"
		 "      --skip-in-flight   drop connections that wait to be accepted\n"
		 "      --check-content    hash files that are found again by path\n"
		 "      --checksum-pages   keep checksums of the memory's content\n"
		 "      --external RESOURCE  an open file that belongs to the outside, such as\n"
		 "                         pipe:[12345]; restore has to be given another\n"
		 "      --stats            print how long each stage took\n"
		 "  -o, --log-file FILE    append a log to FILE\n"
		 "  -v, --verbose          say more; twice: everything\n"
		 "  -h, --help             this text\n\n"
		 "Without -R or -s the tree is killed once its image is complete.\n",
	.run = run,
};
