/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a plan, each executed by a stub and checked.
 *
 * Clones by one process that stand together go into one table. Scaffolds are cloned one by one:
 * their number is only a proposal, and another is tried if somebody outside the tree has it.
 */
#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "checkpoint/grow-steps.h"
#include "task/creds.h"
#include "task/memory.h"
#include "task/stub.h"
#include "tree/print.h"
#include "util/macro.h"

enum { CLONE_BATCH = 128, SCAFFOLD_TRIES = 1000 };

static struct grown_process *process_of(struct grown *g, uint32_t index)
{
	return &g->processes[index];
}

/* Its number as @observer sees it, which is on the observer's own level. */
static pid_t number_for(const struct grown_process *observer, const struct grown_process *p)
{
	unsigned int level = observer->plan->n_pid - 1;

	return p->plan->n_pid == 1 ? p->number : p->plan->pid[level];
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

/* ---- clone --------------------------------------------------------------------------------- */

static struct puppet_clone clone_of(const struct plan_step *step, pid_t *set_tid, size_t n)
{
	return (struct puppet_clone){
		.flags = step->flags,
		/* A sibling gets its forker's; the kernel wants 0 then. */
		.exit_signal = step->flags & CLONE_PARENT ? 0 : step->exit_signal,
		.set_tid = set_tid,
		.n_set_tid = n,
	};
}

/* The image and the plan have the outermost number first, clone3 wants the innermost. */
static void reverse_numbers(const struct grown_process *p, pid_t *ret_set_tid)
{
	for (unsigned int i = 0; i < p->plan->n_pid; i++)
		ret_set_tid[i] = p->plan->pid[p->plan->n_pid - 1 - i];
}

static int born(struct grown *g, const struct plan_step *step, struct puppet *puppet)
{
	struct grown_process *forker = process_of(g, step->process);
	struct grown_process *child = process_of(g, step->child);
	struct rebuild_process *parent = forker->rebuild;

	child->puppet = puppet;
	child->number = puppet->tid;
	child->inherits = parent && parent->filled ? parent : forker->inherits;
	if (child->rebuild) {
		child->rebuild->puppet = puppet;
		child->rebuild->inherits = child->inherits;
	}
	return grown_add_task(g, puppet);
}

/* Takes over what was made, however the table ended. */
static int all_born(struct grown *g, const struct plan_step *steps, struct puppet **children,
		    size_t n, int r)
{
	for (size_t i = 0; i < n; i++) {
		int rc = children[i] ? born(g, &steps[i], children[i]) : 0;

		if (rc < 0 && r == 0)
			r = rc;
	}
	return r;
}

static int clone_batch(struct grown *g, const struct plan_step *steps, size_t n)
{
	struct puppet *children[CLONE_BATCH];
	struct puppet_clone how[CLONE_BATCH];
	pid_t set_tid[CLONE_BATCH];
	int r;

	for (size_t i = 0; i < n; i++) {
		reverse_numbers(process_of(g, steps[i].child), &set_tid[i]);
		how[i] = clone_of(&steps[i], &set_tid[i], 1);
	}
	r = puppet_clone_many(g->ctx, process_of(g, steps[0].process)->puppet, how, n, children);
	return all_born(g, steps, children, n, r);
}

static int clone_scaffold(struct grown *g, const struct plan_step *step)
{
	pid_t number = process_of(g, step->child)->plan->pid[0];
	struct puppet_clone how = clone_of(step, &number, 1);
	struct puppet *child = NULL;
	int r = -EEXIST;

	for (int i = 0; r == -EEXIST && i < SCAFFOLD_TRIES; i++, number++)
		if (i == 0 || !grown_needs(g, number))
			r = puppet_clone_many(g->ctx, process_of(g, step->process)->puppet, &how, 1,
					      &child);
	return all_born(g, step, &child, 1, r);
}

static int check_clone(struct grown *g, const struct plan_step *step)
{
	if (step->process == PLAN_NONE || process_of(g, step->child)->plan->n_pid != 1)
		return err_msg(g->ctx, -EOPNOTSUPP, "nested PID namespaces cannot be restored yet");
	return 0;
}

static bool stands_with(struct grown *g, const struct plan_step *first,
			const struct plan_step *step)
{
	const struct grown_process *child;

	if (step->op != PLAN_CLONE || step->process != first->process)
		return false;
	child = process_of(g, step->child);
	return child->plan->role != PLAN_ROLE_SCAFFOLD && child->plan->n_pid == 1 &&
	       (!child->fill_first || child->fill_first->filled);
}

/*
 * CLONE_IO shares what the forker has, and a stub has no I/O context until it sets a priority; which
 * one it is to have is set at the end.
 */
static int make_io_context(struct grown *g, const struct plan_step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (steps[i].flags & CLONE_IO)
			return CALL(g, steps[i].process, "ioprio_set", SYS_ioprio_set,
				    CALL_IMM(IOPRIO_WHO_PROCESS), CALL_IMM(0), CALL_IMM(0));
	return 0;
}

/* Returns how many steps were done. */
static int do_clones(struct grown *g, const struct plan_step *step, size_t left, size_t *ret_done)
{
	struct grown_process *child = process_of(g, step->child);
	size_t n = 1;
	int r = check_clone(g, step);

	if (r == 0 && child->fill_first && !child->fill_first->filled)
		r = memory_fill_one(g->rebuild, child->fill_first);
	if (r < 0)
		return r;
	if (child->plan->role != PLAN_ROLE_SCAFFOLD)
		while (n < MIN(left, (size_t)CLONE_BATCH) && stands_with(g, step, &step[n]))
			n++;
	*ret_done = n;
	r = make_io_context(g, step, n);
	if (r < 0)
		return r;
	return child->plan->role == PLAN_ROLE_SCAFFOLD ? clone_scaffold(g, step)
						       : clone_batch(g, step, n);
}

/* ---- the other steps ----------------------------------------------------------------------- */

static int do_setsid(struct grown *g, const struct plan_step *step)
{
	return CALL(g, step->process, "setsid", SYS_setsid, CALL_IMM(0));
}

static int do_setpgid(struct grown *g, const struct plan_step *step)
{
	const struct grown_process *caller = process_of(g, step->process);
	pid_t target = number_for(caller, process_of(g, step->target));
	pid_t group = number_for(caller, process_of(g, step->group));
	char what[64];

	(void)snprintf(what, sizeof(what), "setpgid(%d, %d)", target, group);
	return CALL(g, step->process, what, SYS_setpgid, CALL_IMM(target), CALL_IMM(group));
}

static int do_subreaper(struct grown *g, const struct plan_step *step)
{
	return CALL(g, step->process, "prctl(PR_SET_CHILD_SUBREAPER)", SYS_prctl,
		    CALL_IMM(PR_SET_CHILD_SUBREAPER), CALL_IMM(step->on));
}

int grow_remains(struct grown *g, struct puppet *puppet, const Coppice__Process *msg)
{
	const struct stub_origin *origin;
	struct call_table t;
	int r;

	call_table_init(&t, &g->arena);
	call_add(&t, "prctl(PR_SET_NAME)", SYS_prctl, CALL_IMM(PR_SET_NAME),
		 CALL_DATA(call_string(&t, msg->comm)));
	if (msg->creds) {
		Coppice__Creds creds = *msg->creds;

		r = stub_origin(g->rebuild, &origin);
		if (r < 0)
			return r;
		creds.securebits = origin->creds.securebits; /* of a dead task nobody sees them */
		creds_add(&t, &origin->creds, &creds);
	}
	return puppet_run(g->ctx, puppet, &t);
}

static int do_exit(struct grown *g, const struct plan_step *step)
{
	struct grown_process *p = process_of(g, step->process);
	int r = p->rebuild ? grow_remains(g, p->puppet, p->rebuild->msg) : 0;

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
		return reap(g, child->number);
	want = number_for(process_of(g, step->process), child);
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
		return do_clones(g, step, left, ret_done);
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
	case PLAN_USER_JOIN:
	case PLAN_NS_NEW:
	case PLAN_NS_ENTER:
		return err_msg(g->ctx, -EOPNOTSUPP, "%s is not supported yet",
			       plan_op_name(step->op));
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
