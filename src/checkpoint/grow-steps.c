/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a plan, each executed by a stub and checked. Clones are grow-clone.c's. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "checkpoint/grow-steps.h"
#include "task/creds.h"
#include "task/stub.h"

static struct grown_process *process_of(struct grown *g, uint32_t index)
{
	return &g->processes[index];
}

pid_t grown_number_for(const struct grown_process *observer, const struct grown_process *p)
{
	unsigned int level = observer->plan->n_pid - 1;

	return level == 0 ? p->number : p->plan->pid[level];
}

static int call(struct grown *g, uint32_t process, const char *what, uint64_t nr,
		const struct call_arg arg[6], int64_t *ret_result)
{
	int64_t result = puppet_call(g->ctx, process_of(g, process)->puppet, what, nr, arg);

	if (result < 0)
		return (int)result;
	if (ret_result)
		*ret_result = result;
	return 0;
}

#define CALL(g, process, what, nr, ...)                                                            \
	call((g), (process), (what), (nr), (const struct call_arg[6]){__VA_ARGS__}, NULL)

/* ---- the other steps ----------------------------------------------------------------------- */

static int do_setsid(struct grown *g, const struct plan_step *step)
{
	return CALL(g, step->process, "setsid", SYS_setsid, CALL_IMM(0));
}

/* Groups outside are seen in the coordinator's namespace alone, those who act from there see it. */
static int do_setpgid(struct grown *g, const struct plan_step *step)
{
	const struct grown_process *caller =
		step->process == PLAN_NONE ? NULL : process_of(g, step->process);
	const struct grown_process *target = process_of(g, step->target);
	pid_t who = caller ? grown_number_for(caller, target) : target->here;
	pid_t group = step->group == PLAN_NONE ? g->leaders[step->outside_group]->tid
		      : caller ? grown_number_for(caller, process_of(g, step->group))
			       : process_of(g, step->group)->here;
	char what[64];
	int64_t r;

	(void)snprintf(what, sizeof(what), "setpgid(%d, %d)", who, group);
	r = puppet_call(g->ctx, caller ? caller->puppet : g->leaders[step->outside], what,
			SYS_setpgid, (const struct call_arg[6]){CALL_IMM(who), CALL_IMM(group)});
	return r < 0 ? (int)r : 0;
}

static int do_subreaper(struct grown *g, const struct plan_step *step)
{
	if (step->process == PLAN_NONE)
		return prctl(PR_SET_CHILD_SUBREAPER, step->on) < 0
			       ? err_sys(g->ctx, -errno, "prctl(PR_SET_CHILD_SUBREAPER)")
			       : 0;
	return CALL(g, step->process, "prctl(PR_SET_CHILD_SUBREAPER)", SYS_prctl,
		    CALL_IMM(PR_SET_CHILD_SUBREAPER), CALL_IMM(step->on));
}

int grow_remains(struct grown *g, const struct rebuild_process *p, struct puppet *puppet)
{
	const Coppice__Process *msg = p->msg;
	const struct stub_origin *origin;
	struct call_table t;
	int r = stub_origin(g->rebuild, &origin);

	if (r < 0)
		return r;
	call_table_init(&t, &g->arena);
	call_add(&t, "prctl(PR_SET_NAME)", SYS_prctl, CALL_IMM(PR_SET_NAME),
		 CALL_DATA(call_string(&t, msg->comm)));
	if (msg->creds) {
		Coppice__Creds creds = *msg->creds;

		/* of a dead task nobody sees them */
		creds.securebits = msg->user_ns ? 0 : origin->creds.securebits;
		r = creds_enter(g->rebuild, p, puppet, &creds, &t);
	}
	return r < 0 ? r : puppet_run(g->ctx, puppet, &t);
}

static int do_exit(struct grown *g, const struct plan_step *step)
{
	struct grown_process *p = process_of(g, step->process);
	int r = p->rebuild ? grow_remains(g, p->rebuild, p->puppet) : 0;

	if (r == 0)
		r = puppet_die(g->ctx, p->puppet, step->status);
	p->puppet = NULL;
	if (p->rebuild)
		p->rebuild->puppet = NULL;
	return r;
}

static int reap(struct grown *g, pid_t number)
{
	pid_t pid;

	do
		pid = waitpid(number, NULL, __WALL);
	while (pid < 0 && errno == EINTR);
	if (pid == number)
		return 0;
	/* Its tracer's wait was its parent's, too: both are us. */
	return errno == ECHILD ? 0 : err_sys(g->ctx, -errno, "waitpid(%d)", number);
}

static int do_wait(struct grown *g, const struct plan_step *step)
{
	const struct grown_process *child = process_of(g, step->child);
	int64_t pid = 0;
	pid_t want;
	int r;

	if (step->process == PLAN_NONE)
		return reap(g, child->here);
	want = grown_number_for(process_of(g, step->process), child);
	/* WNOHANG: a child that is no zombie of the caller is an error here, not something to
	 * wait for. */
	r = call(
		g, step->process, "wait4", SYS_wait4,
		(const struct call_arg[6]){CALL_IMM(want), CALL_IMM(0), CALL_IMM(__WALL | WNOHANG)},
		&pid);
	if (r < 0)
		return r;
	return pid == want ? 0
			   : err_msg(g->ctx, -ECHILD, "wait4(%d) gave %lld", want, (long long)pid);
}

static int do_step(struct grown *g, const struct plan_step *step, size_t left, size_t *ret_done)
{
	*ret_done = 1;
	switch (step->op) {
	case PLAN_CLONE:
		return grow_clones(g, step, left, ret_done);
	case PLAN_SETSID:
		return do_setsid(g, step);
	case PLAN_SETPGID:
		return do_setpgid(g, step);
	case PLAN_SUBREAPER:
		return do_subreaper(g, step);
	case PLAN_EXIT:
		return do_exit(g, step);
	case PLAN_WAIT:
		return do_wait(g, step);
	case PLAN_TTY_OPEN:
		return grow_tty_open(g, step);
	case PLAN_TTY_DROP:
		return grow_tty_drop(g, step);
	case PLAN_TTY_FOREGROUND:
		return grow_tty_foreground(g, step);
	case PLAN_USER_NEW:
		return 0; /* before the first step: grow_user_namespaces() */
	case PLAN_USER_JOIN:
		return grow_user_join(g, step);
	case PLAN_NS_NEW:
		return grow_ns_new(g, step);
	case PLAN_NS_ENTER:
		return grow_ns_enter(g, step);
	}
	return err_msg(g->ctx, -EINVAL, "unknown step %d", step->op);
}

/* "step 12, process 812 (nginx) starts a session (so that ...)" */
static int step_failed(struct grown *g, int r, const struct plan_step *step, size_t index)
{
	static const char *const verbs[] = {
		[PLAN_CLONE] = "clones",
		[PLAN_SETSID] = "starts a session",
		[PLAN_SETPGID] = "sets the process group of",
		[PLAN_SUBREAPER] = "changes its subreaper flag",
		[PLAN_EXIT] = "exits",
		[PLAN_WAIT] = "reaps",
		[PLAN_TTY_OPEN] = "opens its terminal",
		[PLAN_TTY_DROP] = "gives up its terminal",
		[PLAN_TTY_FOREGROUND] = "sets the foreground group",
		[PLAN_USER_NEW] = "makes a user namespace",
		[PLAN_USER_JOIN] = "joins a user namespace",
		[PLAN_NS_NEW] = "makes a PID namespace",
		[PLAN_NS_ENTER] = "enters a PID namespace for its children",
	};
	uint32_t object = step->op == PLAN_CLONE || step->op == PLAN_WAIT ? step->child
			  : step->op == PLAN_SETPGID			  ? step->target
									  : PLAN_NONE;

	return err_while(g->ctx, r, "step %zu: %s %s%s%s (%s)", index + 1,
			 step->process == PLAN_NONE ? "coppice" : grown_name(g, step->process),
			 verbs[step->op], object == PLAN_NONE ? "" : " ",
			 object == PLAN_NONE ? "" : grown_name(g, object), step->reason);
}

int grow_steps(struct grown *g)
{
	const struct plan *plan = g->plan;
	size_t done = 1;

	progress(g->ctx, "grow", 0, plan->n_steps);
	for (size_t i = 0; i < plan->n_steps; i += done) {
		int r = cancel_point(g->ctx);

		if (r == 0)
			r = do_step(g, &plan->steps[i], plan->n_steps - i, &done);
		if (r < 0)
			return step_failed(g, r, &plan->steps[i], i);
		progress(g->ctx, "grow", i + done, plan->n_steps);
	}
	return 0;
}
