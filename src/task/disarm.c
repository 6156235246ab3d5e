/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the death of the dumped tasks would do to the world outside.
 *
 *  - A dying thread marks every mutex of its robust list FUTEX_OWNER_DIED, also one in a file that
 *    others map (exit_robust_list() in kernel/futex/core.c). Its list is unregistered before the
 *    kill; after the restore it is registered again and the mutex is still held.
 *  - It writes 0 to its tid address. That is unregistered where others can see it.
 *  - SEM_UNDO operations are undone when the last sharer of the undo list dies. The adjustments
 *    cannot be read, nor given to another task: where there may be any, the dump is refused.
 *    Threads always have a list, mostly an empty one, so only semaphore sets are counted that were
 *    operated upon in the process's life.
 *
 * Not visible: a mutex with priority inheritance that somebody outside waits for. The kernel hands
 * it over with FUTEX_OWNER_DIED.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "kind/task.h"
#include "task/disarm.h"
#include "util/cleanup.h"
#include "util/io.h"

/* ---- semaphores ---------------------------------------------------------------------------- */

/* How many semaphore sets there are in the tree's (and our own) IPC namespace. */
static int count_sets(struct context *ctx)
{
	union {
		int val;
		struct seminfo *info;
	} arg;
	struct seminfo info;

	arg.info = &info;
	if (semctl(0, 0, SEM_INFO, arg) < 0)
		return errno == ENOSYS ? 0 : err_sys(ctx, -errno, "semctl(SEM_INFO)");
	return info.semusz;
}

/* When the process began, in seconds of CLOCK_REALTIME. */
static time_t start_time(const struct collect_process *p)
{
	struct timespec real, boot;

	(void)clock_gettime(CLOCK_REALTIME, &real); /* cannot fail */
	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	return real.tv_sec - boot.tv_sec +
	       (time_t)(p->stat.start_time / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* The first set in /proc/sysvipc/sem with an operation not before @since; -1: none. */
static int find_set_used_since(const char *text, time_t since)
{
	const char *line = strchr(text, '\n');
	long long otime;
	int id;

	for (; line && line[1]; line = strchr(line + 1, '\n'))
		if (sscanf(line + 1, "%*d %d %*o %*u %*u %*u %*u %*u %lld", &id, &otime) == 2 &&
		    otime && otime >= since)
			return id;
	return -1;
}

static int collect(struct collect *c, struct collect_process *p)
{
	static const char path[] = "/proc/sysvipc/sem";
	_cleanup_free_ char *text = NULL;
	time_t since;
	int id, r;

	if (!p->has_undo_list)
		return 0;
	r = count_sets(c->ctx);
	if (r <= 0)
		return r;
	r = io_read_file(AT_FDCWD, path, &text, NULL);
	if (r)
		return err_sys(c->ctx, r, "reading %s", path);
	/* Clocks of one second each: one to spare. A list that others share may be older. */
	since = p->msg->sysvsem ? 0 : start_time(p) - 1;
	id = find_set_used_since(text, since);
	if (id < 0)
		return 0;
	return collect_refuse(c, "remove the set if it is not in use (ipcrm -s)",
			      "%s: may have operations on semaphore set %d to undo at its end "
			      "(SEM_UNDO), which cannot be read",
			      collect_name(c, p), id);
}

const struct task_aspect aspect_disarm = {
	.name = "disarm",
	.collect = collect,
};

/* ---- before the kill ----------------------------------------------------------------------- */

/* Does the thread hold, or is it just taking, a robust mutex? */
static int holds_robust(struct collect *c, const struct collect_thread *th)
{
	struct robust_list_head head;
	int r;

	if (!th->msg->robust_list)
		return 0;
	r = puppet_read(c->ctx, th->puppet, th->msg->robust_list, &head, sizeof(head));
	if (r == -EFAULT || r == -EIO) { /* the kernel will not get at it either */
		err_clear(c->ctx);
		return 0;
	}
	if (r)
		return r;
	return (uint64_t)(uintptr_t)head.list.next != th->msg->robust_list || head.list_op_pending;
}

static bool is_shared(const struct collect_process *p, uint64_t address)
{
	const struct collect_process *owner = p->mm_owner;

	for (size_t i = 0; i < owner->n_maps; i++)
		if (address >= owner->maps[i].start && address < owner->maps[i].end)
			return owner->maps[i].shared;
	return false;
}

/*
 * A dying init waits until no number but its own is in use in its PID namespace
 * (zap_pid_ns_processes()): for ever, if its own group is one whose leader has died in there, and for
 * whoever is in such a group from outside. So everybody goes into a group of his own.
 */
static void add_leave_group(struct collect *c, const struct collect_thread *th,
			    struct call_table *t)
{
	const struct collect_process *p = th->process;
	bool nested = c->cp->n_pid_namespaces > 1 || c->processes[0].status.ns_tgid.n > 1;

	if (nested && th == &p->threads[0] && p->stat.pgrp != p->pid && p->stat.session != p->pid)
		call_expect_any(t, call_add(t, "setpgid(0, 0)", SYS_setpgid));
}

static int disarm_thread(struct collect *c, struct collect_thread *th, struct call_table *t)
{
	int robust = holds_robust(c, th);

	if (robust < 0)
		return robust;
	call_table_reset(t);
	if (robust)
		call_add(t, "set_robust_list()", SYS_set_robust_list, CALL_IMM(0),
			 CALL_IMM(sizeof(struct robust_list_head)));
	if (th->msg->clear_child_tid && is_shared(th->process, th->msg->clear_child_tid))
		call_add(t, "set_tid_address()", SYS_set_tid_address, CALL_IMM(0));
	add_leave_group(c, th, t);
	return t->n_calls ? puppet_run(c->ctx, th->puppet, t) : 0;
}

static void add_wait(struct call_table *t, const struct collect_process *zombie)
{
	/* on the level of its parent, who waits */
	int32_t number = zombie->msg->pid[zombie->parent->msg->n_pid - 1];
	uint32_t call = call_add(t, "wait4()", SYS_wait4, CALL_IMM(number), CALL_IMM(0),
				 CALL_IMM(WNOHANG | __WALL));

	call_expect_any(t, call); /* one whose parent ignores SIGCHLD is gone already */
}

static void add_ignore_children(struct call_table *t)
{
	const uint64_t ignore[4] = {(uint64_t)(uintptr_t)SIG_IGN}; /* the kernel's sigaction */

	call_add(t, "rt_sigaction(SIGCHLD)", SYS_rt_sigaction, CALL_IMM(SIGCHLD),
		 CALL_DATA(call_space(t, ignore, sizeof(ignore))), CALL_IMM(0),
		 CALL_IMM(sizeof(uint64_t)));
}

/*
 * Children die before their parents. So that no zombie waits for an init that may be slow to reap,
 * and in the way of a restore that wants its PID, the parent ignores SIGCHLD by then (the kernel
 * reaps at once: do_notify_parent() in kernel/signal.c), and reaps the zombies that it had.
 */
static int disarm_parents(struct collect *c, struct call_table *t)
{
	bool *done = arena_new_n(c->arena, bool, c->n_processes);

	if (!done)
		return err_oom(c->ctx);
	for (size_t i = 0; i < c->n_processes; i++) {
		const struct collect_process *p = &c->processes[i];
		int r;

		if (!p->parent || p->parent->zombie)
			continue;
		call_table_reset(t);
		if (p->zombie)
			add_wait(t, p);
		if (!done[p->parent - c->processes])
			add_ignore_children(t);
		done[p->parent - c->processes] = true;
		r = t->n_calls ? puppet_run(c->ctx, p->parent->puppet, t) : 0;
		if (r)
			return err_while(c->ctx, r, "disarming %s", collect_name(c, p->parent));
	}
	return 0;
}

int disarm_tree(struct collect *c)
{
	struct call_table t;
	int r;

	call_table_init(&t, c->arena);
	for (size_t i = 0; i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];

		for (size_t k = 0; k < p->n_threads; k++) {
			r = disarm_thread(c, &p->threads[k], &t);
			if (r)
				return err_while(c->ctx, r, "disarming thread %d of %s",
						 p->threads[k].tid, collect_name(c, p));
		}
	}
	return disarm_parents(c, &t);
}
