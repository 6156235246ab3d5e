/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody else is faster: at each step of the growing of a tree a foreign process takes the number
 * that the plan wants next. A scaffold gets another one, and the restore succeeds; a process or
 * thread of the tree cannot, and the error names who has its number. Nothing is left over either
 * way. Prints TAP.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/dump.h"
#include "checkpoint/restore.h"
#include "image/reader.h"
#include "target.h"
#include "tree/planner.h"
#include "util/arena.h"
#include "util/context.h"

enum { LAST = 300 }; /* steps that no plan of ours has */

static char reason[4096];

static int fail(const char *what, uint64_t step, const struct context *ctx)
{
	int n = snprintf(reason, sizeof(reason), "%s, step %llu", what, (unsigned long long)step);

	for (unsigned int i = 0; ctx && i < ctx->err.frames && n < (int)sizeof(reason); i++)
		n += snprintf(reason + n, sizeof(reason) - (size_t)n, "\n#   %s",
			      ctx->err.frame[i]);
	return 1;
}

/* ---- the tree ------------------------------------------------------------------------------ */

enum { READY = 3 }; /* closed by everybody who is where he is to be dumped */

static _Noreturn void wait_for_ever(void)
{
	(void)close(READY);
	for (;;)
		(void)pause();
}

static void *wait_as_thread(void *unused)
{
	(void)unused;
	wait_for_ever();
}

/* Leads a session, leaves a child in it to the subreaper, and is gone. */
static void daemonise(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)setsid();
		if (fork() == 0)
			wait_for_ever();
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

static _Noreturn void be_tree(void)
{
	pthread_t thread;

	(void)setsid();
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int i = 0; i < 3; i++)
		daemonise();
	if (unshare(CLONE_NEWPID) < 0)
		_exit(95);
	for (int i = 0; i < 2; i++)
		if (fork() == 0)
			wait_for_ever();
	if (fork() == 0) {
		if (pthread_create(&thread, NULL, wait_as_thread, NULL) != 0)
			_exit(95);
		wait_for_ever();
	}
	wait_for_ever();
}

static pid_t start_tree(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)dup2(ready[1], READY);
		for (int i = 0; i < READY; i++) {
			(void)close(i);
			(void)open("/dev/null", O_RDWR);
		}
		(void)close_range(READY + 1, ~0U, 0);
		be_tree();
	}
	(void)close(ready[1]);
	(void)!read(ready[0], &byte, 1);
	(void)close(ready[0]);
	return pid;
}

/* ---- the thief ----------------------------------------------------------------------------- */

struct thief {
	const struct plan *plan;
	const Coppice__Checkpoint *cp;
	uint64_t step;	       /* when it strikes */
	pid_t pid;	       /* of the foreign process; 0: there was nothing to take */
	enum plan_role victim; /* whose number it has */
	bool came;	       /* that step was reached */
};

static pid_t take(pid_t number)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)&number,
		.set_tid_size = 1,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		wait_for_ever();
	return pid;
}

/* Threads follow the last step. */
static pid_t a_thread(const Coppice__Checkpoint *cp)
{
	for (size_t i = 0; i < cp->n_processes; i++)
		if (cp->processes[i]->n_threads > 1)
			return cp->processes[i]->threads[1]->tid[0];
	return 0;
}

static void strike(void *data, const char *stage, uint64_t done, uint64_t total _unused_)
{
	struct thief *t = data;
	const struct plan *plan = t->plan;

	if (strcmp(stage, "grow") != 0 || done != t->step || t->came)
		return;
	t->came = true;
	for (size_t i = done; i < plan->n_steps; i++)
		if (plan->steps[i].op == PLAN_CLONE) {
			const struct plan_process *p = &plan->processes[plan->steps[i].child];

			t->victim = p->role;
			t->pid = take(p->pid[0]);
			return;
		}
	t->victim = PLAN_ROLE_TREE;
	t->pid = take(a_thread(t->cp));
}

static void end_thief(struct thief *t)
{
	if (t->pid <= 0)
		return;
	(void)kill(t->pid, SIGKILL);
	(void)waitpid(t->pid, NULL, 0);
}

/* ---- what is left -------------------------------------------------------------------------- */

static bool anybody_else(pid_t thief)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	while (dir && (entry = readdir(dir))) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		found |= pid > 1 && pid != thief;
	}
	(void)closedir(dir);
	return found;
}

static void end_tree(pid_t root)
{
	const struct timespec moment = {.tv_nsec = 300000};

	(void)kill(-1, SIGKILL);
	(void)kill(root, SIGKILL);
	do {
		target_reap();
		(void)nanosleep(&moment, NULL);
	} while (anybody_else(0));
}

/* ---- one restore --------------------------------------------------------------------------- */

/* 0: as it must be; 1: not; -1: the step was not reached, there are no more. */
static int restore_robbed(struct thief *t)
{
	const struct restore_options opt = {.dir = "image", .verify = true};
	struct context ctx = {.progress = strike, .progress_data = t};
	struct restore_report report = {0};
	char named[64];
	int r = restore_tree(&ctx, &opt, &report);

	if (r < 0)
		target_reap();
	if (r < 0 && anybody_else(t->pid))
		return fail("a failed restore left somebody", t->step, &ctx);
	if (r < 0 && t->pid <= 0)
		return fail("a restore fails though nothing was taken", t->step, &ctx);
	if (r < 0 && t->victim == PLAN_ROLE_SCAFFOLD)
		return fail("a scaffold's number is any", t->step, &ctx);
	if (r >= 0 && t->pid > 0 && t->victim != PLAN_ROLE_SCAFFOLD)
		return fail("a taken number was given twice", t->step, NULL);
	(void)snprintf(named, sizeof(named), "PID %d is in use by process or thread %d", t->pid,
		       t->pid);
	if (r < 0 && !strstr(ctx.err.frame[0], named))
		return fail("the error does not say who has the number", t->step, &ctx);
	end_thief(t);
	if (r >= 0)
		end_tree(report.root);
	return t->came ? 0 : -1;
}

static int load_plan(struct context *ctx, struct arena *arena, struct thief *t)
{
	struct image_reader *images;
	Coppice__Checkpoint *cp;
	struct tree *tree;
	struct plan *plan;
	int r = image_reader_open(ctx, "image", IMAGE_RESTORE, &images);

	if (r < 0)
		return r;
	r = image_reader_load(ctx, images, arena, &cp);
	image_reader_free(images);
	if (r >= 0)
		r = tree_from_checkpoint(ctx, arena, cp, &tree);
	if (r >= 0)
		r = planner_run_checked(ctx, arena, tree, &plan);
	if (r >= 0)
		*t = (struct thief){.plan = plan, .cp = cp};
	return r;
}

static int run(void)
{
	struct dump_options opt = {.dir = "image", .fate = FATE_KILL};
	struct dump_report report;
	struct context ctx = {0};
	struct thief thief = {0};
	struct arena arena;
	int r = 0, steps = 0;

	arena_init(&arena, &ctx);
	opt.root = start_tree();
	if (dump_tree(&ctx, &opt, &report) < 0 || load_plan(&ctx, &arena, &thief) < 0)
		r = fail("the dump fails", 0, &ctx);
	end_tree(opt.root);
	for (uint64_t step = 0; r == 0 && step < LAST; step++) {
		struct thief t = {.plan = thief.plan, .cp = thief.cp, .step = step};

		if (step > thief.plan->n_steps)
			break;
		r = restore_robbed(&t);
		steps += t.came;
		if (r < 0) /* clones that stand together are one step of the executor's */
			r = 0;
	}
	arena_deinit(&arena);
	if (r)
		(void)printf("not ok 1 - numbers\n# %s\n", reason);
	else
		(void)printf("ok 1 - numbers, taken at %d steps\n", steps);
	return r;
}

int main(void)
{
	(void)printf("1..1\n");
	if (geteuid() != 0) {
		(void)printf("ok 1 - numbers # SKIP not root\n");
		return 0;
	}
	(void)fflush(stdout);
	return target_in_namespace(run);
}
