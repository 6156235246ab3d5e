/* SPDX-License-Identifier: Apache-2.0 */
/* coppice restore */
#include "checkpoint/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/external.h"
#include "cli/output.h"
#include "util/cleanup.h"
#include "util/io.h"

static struct restore_options arg_opt = {.verify = true};
static struct inherited_fd *arg_inherited;
static bool arg_detached;
static bool arg_stats;
static const char *arg_pidfile;

enum {
	OPT_PIDFILE = OPT_LONG_ONLY,
	OPT_CHECK_CONTENT,
	OPT_CHECK_PAGES,
	OPT_INHERIT_FD,
	OPT_KEEP_CLOCKS,
	OPT_NO_VERIFY,
	OPT_STATS
};

static const struct option options[] = {
	{"images-dir", required_argument, NULL, 'D'},
	{"restore-detached", no_argument, NULL, 'd'},
	{"leave-stopped", no_argument, NULL, 's'},
	{"shell-job", no_argument, NULL, 'j'},
	{"pidfile", required_argument, NULL, OPT_PIDFILE},
	{"check-content", no_argument, NULL, OPT_CHECK_CONTENT},
	{"check-pages", no_argument, NULL, OPT_CHECK_PAGES},
	{"keep-clocks", no_argument, NULL, OPT_KEEP_CLOCKS},
	{"no-verify", no_argument, NULL, OPT_NO_VERIFY},
	{"inherit-fd", required_argument, NULL, OPT_INHERIT_FD},
	{"stats", no_argument, NULL, OPT_STATS},
	CLI_COMMON_OPTIONS,
};

static int take_option(struct context *ctx, int opt)
{
	switch (opt) {
	case 'D':
		arg_opt.dir = optarg;
		return -1;
	case 'd':
		arg_detached = arg_opt.rebuild.detached = true;
		return -1;
	case 's':
		arg_opt.leave_stopped = true;
		return -1;
	case 'j':
		arg_opt.rebuild.shell_job = true;
		return -1;
	case OPT_PIDFILE:
		arg_pidfile = optarg;
		return -1;
	case OPT_CHECK_CONTENT:
		arg_opt.rebuild.check_content = true;
		return -1;
	case OPT_CHECK_PAGES:
		arg_opt.rebuild.check_pages = true;
		return -1;
	case OPT_KEEP_CLOCKS:
		arg_opt.rebuild.keep_clocks = true;
		return -1;
	case OPT_NO_VERIFY:
		arg_opt.verify = false;
		return -1;
	case OPT_INHERIT_FD:
		return cli_add_inherited(&cli_restore, optarg, &arg_inherited,
					 &arg_opt.rebuild.n_inherited);
	case OPT_STATS:
		arg_stats = true;
		return -1;
	default:
		return cli_common_option(ctx, &cli_restore, opt);
	}
}

static int write_pidfile(struct context *ctx, pid_t pid)
{
	_cleanup_close_ int fd = open(arg_pidfile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", pid);
	int r;

	if (fd < 0)
		return err_sys(ctx, -errno, "open(%s)", arg_pidfile);
	r = io_write_all(fd, text, (size_t)len);
	return r < 0 ? err_sys(ctx, r, "write(%s)", arg_pidfile) : 0;
}

/* SIGTERM and the like reach the restored root, as they would have reached the program itself. */
static void forward_signal(pid_t root, const struct context *ctx)
{
	if (*ctx->cancel != 0)
		(void)kill(root, *ctx->cancel); /* gone already: then its status follows */
}

/*
 * Waits for the restored root and ends as it did. Those who had joined its PID namespace from outside
 * are our children, too, and an init stays until all in its namespace are reaped.
 */
static int wait_for(struct context *ctx, pid_t root)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) != root) {
		if (pid > 0)
			continue;
		if (errno != EINTR) {
			(void)err_sys(ctx, -errno, "waitpid(%d)", root);
			(void)cli_fail(ctx, "cannot wait for the restored process");
			return EXIT_OWN_FAILURE;
		}
		forward_signal(root, ctx);
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return 128 + WTERMSIG(status);
}

static int run(struct context *ctx, int argc, char **argv)
{
	int failure = EXIT_FAILED;
	struct restore_report report;
	int opt;

	while ((opt = getopt_long(argc, argv, "D:dsj" CLI_COMMON_SHORT, options, NULL)) >= 0) {
		int status = take_option(ctx, opt);

		if (status >= 0)
			return status;
	}
	if (optind < argc)
		return cli_usage_error(&cli_restore, "unexpected argument '%s'", argv[optind]);
	if (!arg_opt.dir)
		return cli_usage_error(&cli_restore, "-D DIR is needed");
	arg_opt.rebuild.inherited = arg_inherited;
	if (!arg_detached)
		failure = EXIT_OWN_FAILURE;
	if (restore_tree(ctx, &arg_opt, &report) < 0) {
		(void)cli_fail(ctx, "cannot restore the image in %s", arg_opt.dir);
		return failure;
	}
	output_progress_end();
	cli_close_inherited(arg_inherited, arg_opt.rebuild.n_inherited);
	if (arg_stats)
		output_stages(&report.times);
	if (arg_pidfile && write_pidfile(ctx, report.root) < 0) {
		(void)cli_fail(ctx, "process %d was restored, but its PID could not be written",
			       report.root);
		return failure;
	}
	return arg_detached ? EXIT_OK : wait_for(ctx, report.root);
}

const struct cli_command cli_restore = {
	.name = "restore",
	.summary = "bring the process tree in a directory back",
	.usage =
		"-D DIR [OPTION...]\n\n"
		"  -D, --images-dir DIR   where the image is\n"
		"  -d, --restore-detached end once the tree runs, instead of waiting for its root\n"
		"      --pidfile FILE     write the root's PID to FILE\n"
		"  -s, --leave-stopped    leave the tree stopped (SIGSTOP)\n"
		"  -j, --shell-job        put the tree into this session, on this terminal\n"
		"      --check-content    compare the content of files found by path with its "
		"hash\n"
		"      --check-pages      compare page files with their checksums first\n"
		"      --keep-clocks      restore although CLOCK_MONOTONIC jumps (after a reboot)\n"
		"      --no-verify        do not compare the restored tree with the image\n"
		"      --inherit-fd 'fd[N]:RESOURCE'  give descriptor N, open now, for an open "
		"file\n"
		"                         of the image: what the dump's --external named, or a "
		"path\n"
		"      --stats            print how long each stage took\n"
		"  -o, --log-file FILE    append a log to FILE\n"
		"  -v, --verbose          say more; twice: everything\n"
		"  -h, --help             this text\n\n"
		"In the foreground (without -d) it exits as the restored root does; 125 is "
		"coppice's own failure.\n",
	.run = run,
};
