/* SPDX-License-Identifier: Apache-2.0 */
/* coppice show: everything in an image but the content of memory. Safe on any bytes. */
#include "image/show.h"

#include "cli/cli.h"
#include "image/reader.h"
#include "util/arena.h"

static const char *arg_dir;
static bool arg_json;

enum { OPT_JSON = OPT_LONG_ONLY };

static const struct option options[] = {
	{"images-dir", required_argument, NULL, 'D'},
	{"json", no_argument, NULL, OPT_JSON},
	CLI_COMMON_OPTIONS,
};

static int show_image(struct context *ctx)
{
	_cleanup_image_reader_ struct image_reader *images = NULL;
	_cleanup_(arena_deinit) struct arena arena = {0};
	Coppice__Checkpoint *cp = NULL;
	int r;

	arena_init(&arena, ctx);
	r = image_reader_open(ctx, arg_dir, IMAGE_INSPECT, &images);
	if (r == 0)
		r = image_reader_load(ctx, images, &arena, &cp);
	if (r < 0)
		return r;
	return arg_json ? show_json(ctx, stdout, &cp->base) : show_text(ctx, stdout, &cp->base);
}

static int run(struct context *ctx, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "D:" CLI_COMMON_SHORT, options, NULL)) >= 0) {
		int status;

		switch (opt) {
		case 'D':
			arg_dir = optarg;
			break;
		case OPT_JSON:
			arg_json = true;
			break;
		default:
			status = cli_common_option(ctx, &cli_show, opt);
			if (status >= 0)
				return status;
		}
	}
	if (optind < argc)
		return cli_usage_error(&cli_show, "unexpected argument '%s'", argv[optind]);
	if (!arg_dir)
		return cli_usage_error(&cli_show, "-D DIR is needed");
	return show_image(ctx) < 0 ? cli_fail(ctx, "cannot show the image in %s", arg_dir)
				   : EXIT_OK;
}

const struct cli_command cli_show = {
	.name = "show",
	.summary = "print what is in an image",
	.usage =
		"-D DIR [OPTION...]\n\n"
		"  -D, --images-dir DIR   the image\n"
		"      --json             complete, as JSON; without it, as text in which zero "
		"and\n"
		"                         empty fields are left out and long byte strings are cut\n"
		"  -o, --log-file FILE    append a log to FILE\n"
		"  -v, --verbose          say more; twice: everything\n"
		"  -h, --help             this text\n",
	.run = run,
};
