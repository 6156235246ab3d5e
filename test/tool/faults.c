/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault loop. Every point at which dump or restore may fail (allocation, remote call, entry of
 * a call table, system call of the image) strikes once, in turn; then the same points at which the
 * coordinator is killed, and at which the target is, or is stopped. After each: a dumped tree goes on and nothing is left of
 * an image; a failed restore leaves no process; the error chain names a cause.
 *
 *	faults MODE...		MODE: dump-error dump-kill dump-target dump-stop restore-error
 *				restore-kill
 *
 * FAULT_SECONDS (default: until a clean pass) bounds each mode; where that cuts it short it says how far
 * it came, and the points are spread evenly over what is left. Prints TAP.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/dump.h"
#include "checkpoint/restore.h"
#include "target.h"
#include "util/context.h"

static const char *arg_mode;
static char reason[2048];

/* What is struck with. */
static int strike_error(void *data)
{
	return *(int *)data;
}

static int strike_self(void *data)
{
	(void)data;
	(void)kill(getpid(), SIGKILL);
	return 0;
}

static int strike_target(void *data)
{
	(void)kill(*(pid_t *)data, SIGKILL);
	return 0;
}

static int strike_stop(void *data)
{
	(void)kill(*(pid_t *)data, SIGSTOP);
	return 0;
}

static bool fail(const char *what, uint64_t at, const struct context *ctx)
{
	int n = snprintf(reason, sizeof(reason), "%s, fault point %llu", what,
			 (unsigned long long)at);

	for (unsigned int i = 0; ctx && i < ctx->err.frames && n < (int)sizeof(reason); i++)
		n += snprintf(reason + n, sizeof(reason) - (size_t)n, "\n#   %s",
			      ctx->err.frame[i]);
	return false;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void remove_image(void)
{
	if (system("rm -rf image") != 0)
		abort();
}

static int dump_now(struct context *ctx, const struct target *target, enum puppet_fate fate)
{
	const struct dump_options opt = {.root = target->pid, .dir = "image", .fate = fate};
	struct dump_report report;

	return dump_tree(ctx, &opt, &report);
}

static int restore_now(struct context *ctx)
{
	const struct restore_options opt = {.dir = "image", .verify = true};
	struct restore_report report;

	return restore_tree(ctx, &opt, &report);
}

/* A tree that was restored and ran has changed its files: its image is of the past. */
static bool dump_afresh(struct target *target)
{
	struct context ctx = {0};
	int r;

	target_kill(target);
	target_start(target);
	remove_image();
	r = dump_now(&ctx, target, FATE_KILL);
	target_reap();
	return r >= 0 || fail("a dump without a fault fails", 0, &ctx);
}

/* One struck dump in this process. True: as it must be; *ret_clean: the point was not reached. */
static bool dump_error(struct target *target, uint64_t at, int error, bool *ret_clean)
{
	struct context ctx = {.fault = {.at = at, .strike = strike_error, .data = &error}};
	int r = dump_now(&ctx, target, FATE_RUN);

	*ret_clean = ctx.fault.count < at;
	if (!target_goes_on(target))
		return fail("the target was harmed", at, &ctx);
	if (r < 0 && exists("image/manifest.img"))
		return fail("a failed dump left an image", at, &ctx);
	if (r < 0 && exists("image"))
		return fail("a failed dump left its directory", at, &ctx);
	if (r < 0 && ctx.err.frames == 0)
		return fail("a failed dump without a cause", at, &ctx);
	if (*ret_clean && r < 0)
		return fail("a dump failed without a fault", at, &ctx);
	remove_image();
	return true;
}

/* The coordinator is a child that kills itself at the point. */
static bool in_child(int (*function)(struct context *ctx, const struct target *target),
		     const struct target *target, uint64_t at, bool *ret_clean)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct context ctx = {.fault = {.at = at, .strike = strike_self}};

		if (function(&ctx, target) >= 0)
			_exit(0);
		(void)fail("failed without a fault", at, &ctx);
		(void)printf("# %s\n", reason);
		(void)fflush(stdout);
		_exit(1);
	}
	if (waitpid(pid, &status, 0) < 0)
		return fail("no child", at, NULL);
	*ret_clean = !WIFSIGNALED(status);
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return fail("the child says why", at, NULL);
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		return fail(strsignal(WTERMSIG(status)), at, NULL);
	return true;
}

static int dump_in_child(struct context *ctx, const struct target *target)
{
	return dump_now(ctx, target, FATE_RUN);
}

static int restore_in_child(struct context *ctx, const struct target *target)
{
	(void)target;
	return restore_now(ctx);
}

static bool dump_kill(struct target *target, uint64_t at, int error, bool *ret_clean)
{
	(void)error;
	if (!in_child(dump_in_child, target, at, ret_clean))
		return false;
	if (!target_goes_on(target))
		return fail("the target was harmed by the coordinator's death", at, NULL);
	remove_image();
	/* An area may be left in it, so that the next dump would have more points. */
	target_kill(target);
	target_start(target);
	return true;
}

/* The target dies under the dump: an error, no hang, no image of half a tree. */
static bool dump_target(struct target *target, uint64_t at, int error, bool *ret_clean)
{
	pid_t victim = target->pid;
	struct context ctx = {.fault = {.at = at, .strike = strike_target, .data = &victim}};
	int r = dump_now(&ctx, target, FATE_RUN);

	(void)error;
	*ret_clean = ctx.fault.count < at;
	if (r < 0 && (exists("image") || ctx.err.frames == 0))
		return fail("a failed dump left something, or has no cause", at, &ctx);
	if (*ret_clean && r < 0)
		return fail("a dump failed without a fault", at, &ctx);
	remove_image();
	if (!*ret_clean) {
		target_kill(target);
		target_start(target);
	}
	return true;
}

/* One of the tree is stopped by somebody: it is dumped, and comes back stopped or running. */
static bool dump_stop(struct target *target, uint64_t at, int error, bool *ret_clean)
{
	pid_t victim = at % 2 ? target->pid : target->progress->child_pid;
	struct context ctx = {.fault = {.at = at, .strike = strike_stop, .data = &victim}};
	struct context undisturbed = {0};

	(void)error;
	if (dump_now(&ctx, target, FATE_KILL) < 0)
		return fail("a dump fails when a process is stopped", at, &ctx);
	*ret_clean = ctx.fault.count < at;
	target_reap();
	if (restore_now(&undisturbed) < 0)
		return fail("what was stopped cannot be restored", at, &undisturbed);
	(void)kill(victim, SIGCONT);
	if (!target_goes_on(target))
		return fail("what was stopped does not go on", at, NULL);
	remove_image();
	return true;
}

static bool restore_error(struct target *target, uint64_t at, int error, bool *ret_clean)
{
	struct context ctx = {.fault = {.at = at, .strike = strike_error, .data = &error}};
	int r = restore_now(&ctx);

	*ret_clean = ctx.fault.count < at;
	if (r < 0 && !target_is_gone(target))
		return fail("a failed restore left a process", at, &ctx);
	if (r < 0 && ctx.err.frames == 0)
		return fail("a failed restore without a cause", at, &ctx);
	if (*ret_clean && r < 0)
		return fail("a restore failed without a fault", at, &ctx);
	if (r >= 0 && !target_goes_on(target))
		return fail("a restored tree does not go on", at, &ctx);
	return r < 0 || dump_afresh(target);
}

static bool restore_kill(struct target *target, uint64_t at, int error, bool *ret_clean)
{
	(void)error;
	if (!in_child(restore_in_child, target, at, ret_clean))
		return false;
	if (*ret_clean && !target_goes_on(target))
		return fail("a restored tree does not go on", at, NULL);
	if (*ret_clean)
		return dump_afresh(target);
	/* The stubs die with their tracer, but not at the same instant. */
	while (!target_is_gone(target))
		(void)usleep(100);
	return true;
}

static const struct mode {
	const char *name;
	bool restores;
	bool (*once)(struct target *target, uint64_t at, int error, bool *ret_clean);
} modes[] = {
	{"dump-error", false, dump_error},	{"dump-kill", false, dump_kill},
	{"dump-target", false, dump_target},	{"dump-stop", false, dump_stop},
	{"restore-error", true, restore_error}, {"restore-kill", true, restore_kill},
};

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How many points a clean pass has. */
static uint64_t count_points(const struct mode *mode, struct target *target)
{
	struct context ctx = {.fault = {.at = 0}};

	if (!mode->restores) {
		if (dump_now(&ctx, target, FATE_RUN) < 0)
			return 0;
		remove_image();
		return ctx.fault.count;
	}
	if (dump_now(&ctx, target, FATE_KILL) < 0)
		return 0;
	target_reap();
	ctx.fault.count = 0;
	if (restore_now(&ctx) < 0)
		return 0;
	return dump_afresh(target) ? ctx.fault.count : 0;
}

static bool all_points(const struct mode *mode, struct target *target, double seconds,
		       uint64_t *ret_done, uint64_t *ret_total)
{
	static const int errors[] = {-EIO, -ENOMEM, -ENOSPC, -EPERM};
	double began = now();
	uint64_t total = count_points(mode, target);
	uint64_t step = 1;
	bool clean = false;

	*ret_total = total;
	*ret_done = 0;
	if (total == 0)
		return fail("dump or restore fails without any fault", 0, NULL);
	for (uint64_t at = 1; !clean; at += step) {
		if (!mode->once(target, at, errors[at % 4], &clean))
			return false;
		(*ret_done)++;
		/* What time is left is spread over the points that are left. */
		if (seconds > 0 && at < total) {
			double each = (now() - began) / (double)*ret_done;
			double left = seconds - (now() - began);

			step = left <= 0 ? total + 1
					 : 1 + (uint64_t)((double)(total - at) * each / left);
		}
	}
	return true;
}

static int run_mode(void)
{
	const char *limit = getenv("FAULT_SECONDS");
	struct target target = {};
	uint64_t done;
	uint64_t total;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		bool good;

		if (strcmp(modes[i].name, arg_mode) != 0)
			continue;
		target_start(&target);
		good = all_points(&modes[i], &target, limit ? atof(limit) : 0, &done, &total);
		(void)printf("# %s: struck %llu times at %llu points\n", arg_mode,
			     (unsigned long long)done, (unsigned long long)total);
		if (!good)
			(void)printf("# %s\n", reason);
		return good ? 0 : 1;
	}
	return 2;
}

int main(int argc, char **argv)
{
	int bad = 0;
	int n = argc > 1 ? argc - 1 : (int)ARRAY_SIZE(modes);

	(void)printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		int r;

		arg_mode = argc > 1 ? argv[i + 1] : modes[i].name;
		(void)fflush(stdout);
		r = target_in_namespace(run_mode);
		if (r > 1)
			(void)printf("# ended with %d before it could say why\n", r);
		(void)printf("%sok %d - %s\n", r == 0 ? "" : "not ", i + 1, arg_mode);
		bad |= r;
	}
	return bad != 0;
}
