/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/output.h"

static const struct cli_command *const commands[] = {
	&cli_dump, &cli_restore, &cli_check, &cli_plan, &cli_show,
};

static volatile int arg_cancel; /* the signal that asked us to stop, or 0 */

static void on_signal(int sig)
{
	arg_cancel = sig;
}

/*
 * SIGTERM, SIGINT and SIGHUP end an operation at its next safe point, so that the tree is let go
 * and nothing is left behind. A second signal does nothing more: the way out is under way. SIGXFSZ
 * and SIGPIPE become the EFBIG and EPIPE of the call.
 */
static void install_signals(void)
{
	struct sigaction stop = {.sa_handler = on_signal};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	(void)sigaction(SIGTERM, &stop, NULL); /* cannot fail: valid signals and pointers */
	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGHUP, &stop, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGXFSZ, &ignore, NULL);
}

static void print_help(FILE *out)
{
	(void)fputs("usage: coppice COMMAND [OPTION...]\n\n"
		    "Checkpoints a running process tree to files and restores it.\n\n",
		    out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		(void)fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
	(void)fputs("\n'coppice COMMAND --help' and coppice-COMMAND(1) say more.\n", out);
}

int main(int argc, char **argv)
{
	struct context ctx;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help(stdout);
		return EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		(void)printf("coppice %s\n", COPPICE_VERSION);
		return EXIT_OK;
	}
	output_init(&ctx);
	ctx.cancel = &arg_cancel;
	install_signals();
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(argv[1], commands[i]->name) == 0)
			return commands[i]->run(&ctx, argc - 1, argv + 1);
	(void)fprintf(stderr, "coppice: unknown command '%s'; see 'coppice --help'\n", argv[1]);
	return EXIT_USAGE;
}
