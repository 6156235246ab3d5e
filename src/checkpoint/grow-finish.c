/* SPDX-License-Identifier: Apache-2.0 */
/* What follows the plan: threads (grow-threads.c), dead leaders, stopped jobs. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "checkpoint/grow-steps.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

enum { DEATH_TRIES = 2000 }; /* times 1 ms */

static bool has_died(pid_t pid)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_stat stat;

	return proc_open(pid, &fd) < 0 || proc_read_stat(fd, &stat) < 0 || stat.state == 'Z';
}

static int end_leader(struct grown *g, struct rebuild_process *p)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	pid_t pid = p->pid;
	int r;

	r = grow_remains(g, p, p->puppet);
	if (r == 0)
		r = puppet_exit_task(g->ctx, p->puppet, WEXITSTATUS(p->msg->exit_status));
	if (r < 0)
		return r;
	/* The door is in the descriptor table, which lives on. */
	p->threads[0].puppet->socket = TAKE_FD(p->puppet->socket);
	p->puppet = p->threads[0].puppet;
	for (int i = 0; i < DEATH_TRIES; i++) {
		if (has_died(pid))
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return err_msg(g->ctx, -ETIMEDOUT, "thread-group leader %d does not exit", pid);
}

/* The parent takes note of the stop, as a shell has long done when its job is dumped. */
static int acknowledge_stop(struct grown *g, struct rebuild_process *p)
{
	const struct rebuild_process *parent;
	int64_t r;

	if (p->msg->parent == 0)
		return 0;
	parent = &g->rebuild->processes[p->msg->parent - 1];
	/* on the level of its parent, who waits */
	r = puppet_call(g->ctx, parent->puppet, "wait4", SYS_wait4,
			(const struct call_arg[6]){CALL_IMM(p->msg->pid[parent->msg->n_pid - 1]),
						   CALL_IMM(0),
						   CALL_IMM(__WALL | WNOHANG | WUNTRACED)});
	return r < 0 ? (int)r : 0;
}

static int stop_process(struct grown *g, struct rebuild_process *p, int signal)
{
	struct puppet **tasks = arena_new_n(&g->arena, struct puppet *, p->n_threads);

	if (!tasks)
		return err_oom(g->ctx);
	for (size_t i = 0; i < p->n_threads; i++)
		tasks[i] = p->threads[i].puppet;
	return puppet_job_stop(g->ctx, tasks, p->n_threads, signal);
}

static int stop_job(struct grown *g, struct rebuild_process *p)
{
	int r = stop_process(g, p, p->msg->stop_signal ? p->msg->stop_signal : SIGSTOP);

	return r < 0 || p->msg->stop_unnoticed ? r : acknowledge_stop(g, p);
}

/*
 * Signals that growing has left pending: SIGCHLD or another exit signal of a zombie or stopped
 * child, SIGHUP and SIGCONT of a lost terminal. The kernel drops what is pending when a signal's
 * action becomes to ignore it.
 */
static int forget_signals(struct grown *g, struct rebuild_process *p)
{
	/* The kernel's struct sigaction: handler, flags, restorer, mask. */
	const uint64_t ignore[4] = {(uint64_t)(uintptr_t)SIG_IGN};
	const uint64_t by_default[4] = {(uint64_t)(uintptr_t)SIG_DFL};
	struct call_table t;
	uint32_t actions[2];

	call_table_init(&t, &g->arena);
	actions[0] = call_space(&t, ignore, sizeof(ignore));
	actions[1] = call_space(&t, by_default, sizeof(by_default));
	for (int sig = 1; sig < _NSIG; sig++)
		for (int i = 0; i < 2; i++)
			if (sig != SIGKILL && sig != SIGSTOP && sig != SIGTRAP)
				call_add(&t, "rt_sigaction", SYS_rt_sigaction, CALL_IMM(sig),
					 CALL_DATA(actions[i]), CALL_IMM(0), CALL_IMM(8));
	return puppet_run(g->ctx, p->puppet, &t);
}

static bool leaves_signals(const struct grown *g)
{
	for (size_t i = 0; i < g->plan->n_steps; i++)
		if (g->plan->steps[i].op == PLAN_EXIT || g->plan->steps[i].op == PLAN_TTY_DROP)
			return true;
	for (size_t i = 0; i < g->rebuild->n_processes; i++)
		if (g->rebuild->processes[i].msg->state == COPPICE__RUN_STATE__RUN_STATE_STOPPED)
			return true;
	return false;
}

static int for_all(struct grown *g, int (*step)(struct grown *g, struct rebuild_process *p))
{
	struct rebuild *r = g->rebuild;

	for (size_t i = 0; i < r->n_processes; i++) {
		struct rebuild_process *p = &r->processes[i];
		int rc;

		if (p->msg->state == COPPICE__RUN_STATE__RUN_STATE_ZOMBIE)
			continue;
		rc = step(g, p);
		if (rc < 0)
			return err_while(g->ctx, rc, "growing %s", rebuild_name(r, p));
	}
	return 0;
}

static int finish_tasks(struct grown *g, struct rebuild_process *p)
{
	int r = grow_threads(g, p);

	return r == 0 && p->msg->leader_dead ? end_leader(g, p) : r;
}

static int finish_stopped(struct grown *g, struct rebuild_process *p)
{
	return p->msg->state == COPPICE__RUN_STATE__RUN_STATE_STOPPED ? stop_job(g, p) : 0;
}

int grow_finish(struct grown *g)
{
	int r = for_all(g, finish_tasks);

	if (r == 0)
		r = for_all(g, finish_stopped);
	if (r == 0 && leaves_signals(g))
		r = for_all(g, forget_signals);
	return r;
}

static int stop_running(struct grown *g, struct rebuild_process *p)
{
	return p->msg->state == COPPICE__RUN_STATE__RUN_STATE_STOPPED ? 0
								      : stop_process(g, p, SIGSTOP);
}

int grow_stop_all(struct grown *g)
{
	return for_all(g, stop_running);
}
