/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting until every task of a tree has come to its stop.
 *
 * A task that runs or sleeps interruptibly stops at once. One in uninterruptible sleep does when it
 * wakes. A parent in vfork wakes when its child execs or exits, but that child may be stopped by
 * us: so it is let run, for a bounded time, and stopped again when the parent has come.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <time.h>

#include "kernel/proc.h"
#include "kernel/sys.h"
#include "puppet/attach.h"
#include "puppet/freezer.h"
#include "puppet/seize.h"
#include "puppet/trace.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/macro.h"

/* When a task that does not stop is looked at, and when it is given up, milliseconds. */
enum { LOOK_MS = 20, GIVE_UP_MS = 3000 };

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Handles what a task has to tell. 1: it came to its stop, or died; 0: not yet. */
static int look(struct seizure *s, struct puppet *p)
{
	struct trace_stop stop;
	int r;

	while (true) {
		r = trace_poll(s->ctx, p, &stop);
		if (r > 0 && stop.kind == TRACE_CHILD)
			r = seizure_announce(s, stop.child) < 0 ? -ENOMEM : 1;
		if (r > 0 && stop.kind == TRACE_PARKED)
			r = attach_stopped(s->ctx, p);
		else if (r > 0) {
			r = trace_pass_to_park(s->ctx, p, &stop);
			if (r == 0)
				continue;
		} else if (r == 0) {
			return 0;
		}
		if (r == -ESRCH) {
			s->died = true;
			return 1;
		}
		return r < 0 ? r : 1;
	}
}

/* One look at each task that has not stopped; *@ret_left: how many there are, *@ret_first one. */
static int look_at_all(struct seizure *s, size_t *ret_left, struct puppet **ret_first)
{
	*ret_left = 0;
	*ret_first = NULL;
	for (size_t i = 0; i < s->n_processes; i++) {
		struct seized *process = &s->processes[i];

		for (size_t k = 0; k < process->n_tasks; k++) {
			int r;

			if (process->tasks[k]->state != PUPPET_NONE)
				continue;
			r = look(s, process->tasks[k]);
			if (r < 0)
				return r;
			if (r > 0)
				continue;
			(*ret_left)++;
			if (!*ret_first)
				*ret_first = process->tasks[k];
		}
	}
	return 0;
}

static char state_of(const struct puppet *p, char *comm, size_t size)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_stat stat;
	int proc_fd, r;

	(void)snprintf(comm, size, "?");
	if (proc_open(p->tgid, &proc_fd) < 0)
		return 'X';
	r = proc_open_task(proc_fd, p->tid, &fd);
	(void)close(proc_fd);
	if (r < 0 || proc_read_stat(fd, &stat) < 0)
		return 'X';
	(void)snprintf(comm, size, "%s", stat.comm);
	return stat.state;
}

/* Has the stopped tasks of all children of @parent run on, or stop again. Returns how many. */
static size_t children_go(struct seizure *s, pid_t parent, bool go)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_processes; i++) {
		struct seized *process = &s->processes[i];

		if (process->ppid != parent)
			continue;
		for (size_t k = 0; k < process->n_tasks; k++) {
			struct puppet *p = process->tasks[k];

			if (go && p->state == PUPPET_STOPPED &&
			    trace_go(s->ctx, p, PTRACE_CONT, 0) == 0) {
				p->state = PUPPET_NONE;
				process->scanned = false;
				n++;
			} else if (!go && p->state == PUPPET_NONE) {
				/* If it dies this moment, the next look says so. */
				(void)trace_interrupt(s->ctx, p);
			}
		}
	}
	return n;
}

/* @p does not stop. Lets its children run until it does, or time is up. */
static int help_vfork(struct seizure *s, struct puppet *p, int64_t deadline)
{
	int r = 0;

	if (children_go(s, p->tgid, true) == 0)
		return 0;
	while (p->state == PUPPET_NONE && r == 0 && now_ms() < deadline) {
		struct puppet *first;
		size_t left;

		r = look_at_all(s, &left, &first);
		if (p->state == PUPPET_NONE)
			(void)trace_doze(1);
	}
	(void)children_go(s, p->tgid, false);
	return r;
}

/* A child that uses the same memory: what a parent in vfork waits for. 0: there is none. */
static pid_t vfork_child(struct seizure *s, const struct puppet *p)
{
	_cleanup_close_ int fd = -EBADF;
	pid_t *children;
	size_t n = 0;

	if (proc_open(p->tgid, &fd) < 0 ||
	    proc_read_task_children(fd, p->tid, &s->scratch, &children, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (sys_kcmp(p->tid, children[i], KCMP_VM, 0, 0) == 0)
			return children[i];
	return 0;
}

static int refuse_stuck(struct seizure *s, struct puppet *p)
{
	char comm[PROC_COMM_MAX];
	char state = state_of(p, comm, sizeof(comm));
	pid_t child = vfork_child(s, p);
	int r;

	if (child != 0) {
		r = err_msg(s->ctx, -ETIMEDOUT,
			    "task %d (%s) of process %d waits in vfork until its child %d execs or "
			    "exits",
			    p->tid, comm, p->tgid, child);
		return err_hint(s->ctx, r, "try again when it has");
	}
	r = err_msg(s->ctx, -ETIMEDOUT, "task %d (%s) of process %d does not stop (state %c)",
		    p->tid, comm, p->tgid, state);
	return err_hint(s->ctx, r, "try again later; /proc/%d/task/%d/stack says where it waits",
			p->tgid, p->tid);
}

static int await_stops(struct seizure *s)
{
	int64_t start = now_ms(), deadline = start + GIVE_UP_MS;
	struct puppet *first;
	size_t left;
	int r;

	while (true) {
		char comm[PROC_COMM_MAX];

		r = look_at_all(s, &left, &first);
		if (r < 0 || left == 0)
			return r;
		(void)trace_doze(1);
		if (now_ms() < start + LOOK_MS)
			continue;
		r = seizure_take_announced(s);
		if (r == 0)
			r = freezer_thaw(s);
		if (r < 0)
			return r;
		switch (state_of(first, comm, sizeof(comm))) {
		case 'D':
			r = help_vfork(s, first, deadline);
			break;
		case 'X':
		case 'Z':
			(void)trace_gone(s->ctx, first, -1); /* an ordinary result */
			s->died = true;
			break;
		default:
			break;
		}
		if (r < 0)
			return r;
		if (now_ms() > deadline)
			return refuse_stuck(s, first);
	}
}

int seizure_await(struct seizure *s)
{
	sigset_t old;
	int r;

	trace_block_chld(&old);
	r = await_stops(s);
	trace_unblock_chld(&old);
	return r;
}
