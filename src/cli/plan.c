/* SPDX-License-Identifier: Apache-2.0 */
/* coppice plan: how a process tree would be grown again, step by step, and why. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "checkpoint/check.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "image/reader.h"
#include "tree/planner.h"
#include "tree/print.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { OPT_TREE_FILE = OPT_LONG_ONLY, OPT_JSON, OPT_DOT };

static struct dump_options arg_dump;
static const char *arg_dir;
static const char *arg_file;
static void (*arg_print)(const struct tree *tree, const struct plan *plan, struct strbuf *out);

static const struct option options[] = {
	{"tree", required_argument, NULL, OPT_TREE_FILE},
	{"images-dir", required_argument, NULL, 'D'},
	{"shell-job", no_argument, NULL, 'j'},
	{"json", no_argument, NULL, OPT_JSON},
	{"dot", no_argument, NULL, OPT_DOT},
	CLI_COMMON_OPTIONS,
};

/* Reads one option; -1 to go on, else the exit status. */
static int take_option(struct context *ctx, int opt)
{
	switch (opt) {
	case 't':
		arg_dump.root = cli_parse_pid(&cli_plan, optarg);
		return arg_dump.root > 0 ? -1 : EXIT_USAGE;
	case 'D':
		arg_dir = optarg;
		return -1;
	case 'j':
		arg_dump.shell_job = true;
		return -1;
	case OPT_TREE_FILE:
		arg_file = optarg;
		return -1;
	case OPT_JSON:
		arg_print = print_plan_json;
		return -1;
	case OPT_DOT:
		arg_print = print_plan_dot;
		return -1;
	default:
		return cli_common_option(ctx, &cli_plan, opt);
	}
}

static int tree_from_file(struct context *ctx, struct arena *arena, struct tree **ret_tree)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = io_read_file(AT_FDCWD, arg_file, &text, &len);
	if (r < 0)
		return err_sys(ctx, r, "open(%s)", arg_file);
	r = tree_from_json(ctx, arena, text, len, ret_tree);
	return r < 0 ? err_while(ctx, r, "reading the tree file %s", arg_file) : 0;
}

static int tree_from_image(struct context *ctx, struct arena *arena, struct tree **ret_tree)
{
	_cleanup_image_reader_ struct image_reader *reader = NULL;
	Coppice__Checkpoint *cp;
	int r;

	r = image_reader_open(ctx, arg_dir, IMAGE_INSPECT, &reader);
	if (r == 0)
		r = image_reader_load(ctx, reader, arena, &cp);
	if (r == 0)
		r = tree_from_checkpoint(ctx, arena, cp, ret_tree);
	return r < 0 ? err_while(ctx, r, "reading the image in %s", arg_dir) : 0;
}

static int get_tree(struct context *ctx, struct arena *arena, struct tree **ret_tree)
{
	if (arg_file)
		return tree_from_file(ctx, arena, ret_tree);
	if (arg_dir)
		return tree_from_image(ctx, arena, ret_tree);
	return check_tree(ctx, &arg_dump, arena, ret_tree);
}

static int plan(struct context *ctx, struct arena *arena, struct strbuf *out)
{
	struct tree *tree;
	struct plan *found;
	int r;

	r = get_tree(ctx, arena, &tree);
	if (r == 0)
		r = planner_run_checked(ctx, arena, tree, &found);
	if (r < 0)
		return r;
	arg_print(tree, found, out);
	return strbuf_text(out) ? 0 : err_oom(ctx);
}

/* An error chain that says which of the ways to have no plan this is. */
static const char *headline(const struct context *ctx)
{
	switch (ctx->err.code) {
	case -EDOM:
		return "there is no plan: no history of the kernel ends in this tree";
	case -ETIME:
		return "no plan was found in the time that is allowed";
	default:
		return "cannot plan this tree";
	}
}

static int print_plan(struct context *ctx)
{
	_cleanup_strbuf_ struct strbuf out = {0};
	struct arena arena;
	int r;

	arena_init(&arena, ctx);
	r = plan(ctx, &arena, &out);
	arena_deinit(&arena);
	output_progress_end();
	if (r < 0)
		return cli_fail(ctx, "%s", headline(ctx));
	(void)fputs(strbuf_text(&out), stdout);
	return EXIT_OK;
}

static int run(struct context *ctx, int argc, char **argv)
{
	int opt;

	arg_print = print_plan_text;
	while ((opt = getopt_long(argc, argv, "t:D:j" CLI_COMMON_SHORT, options, NULL)) >= 0) {
		int status = take_option(ctx, opt);

		if (status >= 0)
			return status;
	}
	if (optind < argc)
		return cli_usage_error(&cli_plan, "unexpected argument '%s'", argv[optind]);
	if ((arg_dump.root > 0) + (arg_dir != NULL) + (arg_file != NULL) != 1)
		return cli_usage_error(&cli_plan, "one of -t, -D and --tree is needed");
	return print_plan(ctx);
}

const struct cli_command cli_plan = {
	.name = "plan",
	.summary = "show how a process tree would be grown again, step by step",
	.usage = "-t PID | -D DIR | --tree FILE [OPTION...]\n\n"
		 "  -t PID                 plan for the running tree below PID; it is stopped for "
		 "some milliseconds\n"
		 "  -D, --images-dir DIR   plan for the image in DIR\n"
		 "      --tree FILE        plan for the tree that FILE describes (JSON)\n"
		 "  -j, --shell-job        as for dump\n"
		 "      --json             print the plan as JSON\n"
		 "      --dot              print the plan as a graph for dot(1)\n"
		 "  -o, --log-file FILE    append a log to FILE\n"
		 "  -v, --verbose          say more; twice: everything\n"
		 "  -h, --help             this text\n",
	.run = run,
};
