/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers from within a user namespace. clone3's set_tid asks for a capability in the owner of each
 * PID namespace whose number is chosen (alloc_pid() in kernel/pid.c), and a task that has joined an
 * inner user namespace has none in those above. There the number before the wanted one is made the
 * last that was given out (ns_last_pid), by somebody who may, and the outcome is looked at: in the
 * coordinator's own PID namespace a foreign process may have been faster, then the task ends and
 * another is tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint/grow-steps.h"
#include "kernel/proc.h"
#include "ns/pid-numbers.h"
#include "tree/tree.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { TRIES = 100 };

/* Is user namespace @ns the one @above, or below it? */
static bool is_within(const Coppice__Checkpoint *cp, uint32_t ns, uint32_t above)
{
	while (ns != 0 && ns != above)
		ns = cp->user_namespaces[ns - 1]->parent;
	return ns == above;
}

/* How many levels, from the innermost on, the forker may choose numbers on. */
static size_t choosable(const Coppice__Checkpoint *cp, const struct grow_aim *aim)
{
	uint32_t ns = aim->pid_ns;
	size_t n = 0;

	while (n < aim->n_number && is_within(cp, cp->pid_namespaces[ns]->user_ns, aim->user_ns)) {
		n++;
		if (cp->pid_namespaces[ns]->parent == 0)
			break;
		ns = cp->pid_namespaces[ns]->parent - 1;
	}
	return n;
}

static struct rebuild_process *init_of(struct grown *g, uint32_t pid_ns)
{
	for (size_t i = 0; i < g->rebuild->n_processes; i++) {
		struct rebuild_process *p = &g->rebuild->processes[i];

		if (p->msg->pid_ns == pid_ns + 1 && p->msg->pid[p->msg->n_pid - 1] == 1)
			return p;
	}
	return NULL;
}

static int set_last_here(struct grown *g, pid_t last)
{
	static const char path[] = "/proc/sys/kernel/ns_last_pid";
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	char text[16];
	int r;

	if (fd < 0)
		return err_sys(g->ctx, -errno, "open(%s)", path);
	(void)snprintf(text, sizeof(text), "%d", last);
	r = io_write_all(fd, text, strlen(text));
	return r < 0 ? err_sys(g->ctx, r, "write(%s, %d)", path, last) : 0;
}

static int set_last(struct grown *g, uint32_t pid_ns, pid_t last)
{
	const struct rebuild_process *init;

	if (pid_ns == 0 && !g->container)
		return set_last_here(g, last);
	init = init_of(g, pid_ns);
	if (!init || !init->puppet)
		return err_msg(g->ctx, -EPROTO, "PID namespace %u has no init", pid_ns + 1);
	return pid_numbers_write(g->ctx, &g->arena, init->puppet, 0, last);
}

/* Innermost first: what is done last, in our own namespace, is where others may interfere. */
static int take_aim(struct grown *g, const struct grow_aim *aim, size_t chosen)
{
	const Coppice__Checkpoint *cp = g->rebuild->cp;
	uint32_t ns = aim->pid_ns;
	int r = 0;

	for (size_t level = aim->n_number; level-- > 0 && r == 0;) {
		if (aim->n_number - level > chosen)
			r = set_last(g, ns, aim->number[level] - 1);
		if (level > 0)
			ns = cp->pid_namespaces[ns]->parent - 1;
	}
	return r;
}

static int read_numbers(struct grown *g, pid_t tid, struct proc_ns_ids *ret)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_status status;
	int r = proc_open(tid, &fd);

	if (r == 0)
		r = proc_read_status(fd, &g->arena, &status);
	if (r < 0)
		return err_sys(g->ctx, r, "reading /proc/%d/status", tid);
	*ret = status.ns_pid;
	return 0;
}

static bool is_hit(const struct grow_aim *aim, const struct proc_ns_ids *ids)
{
	size_t skip = ids->n - aim->n_number;

	return ids->n >= aim->n_number &&
	       memcmp(&ids->id[skip], aim->number, aim->n_number * sizeof(*aim->number)) == 0;
}

/* The task that got other numbers goes away, without a trace in its parent. */
static int give_back(struct grown *g, const struct grow_aim *aim, struct puppet *child,
		     const struct proc_ns_ids *ids)
{
	pid_t number = ids->id[ids->n - 1 - (child->pid_depth - aim->forker->pid_depth)];
	int64_t r = 0;

	if (aim->flags & CLONE_THREAD)
		return puppet_discard_thread(g->ctx, child);
	puppet_kill(child);
	if (!(aim->flags & CLONE_PARENT))
		r = puppet_call(g->ctx, aim->forker, "wait4", SYS_wait4,
				(const struct call_arg[6]){CALL_IMM(number), CALL_IMM(0),
							   CALL_IMM(__WALL | WNOHANG)});
	return r < 0 ? (int)r : 0;
}

/* 0: made; 1: with other numbers, and gone again. */
static int try_once(struct grown *g, const struct grow_aim *aim, size_t chosen,
		    struct puppet **ret_child)
{
	pid_t set_tid[TREE_LEVELS];
	const struct puppet_clone how = {
		.flags = aim->flags,
		.exit_signal = aim->exit_signal,
		.set_tid = set_tid,
		.n_set_tid = chosen,
	};
	struct puppet *child = NULL;
	struct proc_ns_ids ids;
	int r = take_aim(g, aim, chosen);

	for (size_t i = 0; i < chosen; i++)
		set_tid[i] = aim->number[aim->n_number - 1 - i];
	if (r == 0)
		r = puppet_clone(g->ctx, aim->forker, &how, &child);
	if (r == 0)
		r = read_numbers(g, child->tid, &ids);
	if (r < 0 || is_hit(aim, &ids)) {
		*ret_child = child;
		return r;
	}
	r = give_back(g, aim, child, &ids);
	puppet_free(child);
	return r < 0 ? r : 1;
}

int grow_clone_aimed(struct grown *g, const struct grow_aim *aim, struct puppet **ret_child)
{
	size_t chosen = choosable(g->rebuild->cp, aim);

	for (int i = 0; i < TRIES; i++) {
		int r = try_once(g, aim, chosen, ret_child);

		if (r <= 0)
			return r;
	}
	(void)err_msg(g->ctx, -EEXIST, "PID %d is in use, or others were faster %d times",
		      aim->number[0], TRIES);
	return err_hint(g->ctx, -EEXIST, "try again");
}
