/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that a task traces. Those in the tree cannot be seized, so these are others: the
 * relation would be lost, and the tracer's death might kill them (PTRACE_O_EXITKILL). Refused.
 *
 * wait() with __WCLONE is for tracees, and for children whose exit signal is not SIGCHLD
 * (eligible_child() in kernel/exit.c): -ECHILD says that there is neither.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kernel/proc.h"
#include "kind/task.h"
#include "util/cleanup.h"

static void ask(struct collect *c _unused_, struct collect_process *p _unused_,
		struct call_table *t)
{
	call_expect_any(t, call_add(t, "waitid()", SYS_waitid, CALL_IMM(P_ALL), CALL_IMM(0),
				    CALL_IMM(0), CALL_IMM(WEXITED | WNOHANG | WNOWAIT | __WCLONE),
				    CALL_IMM(0)));
}

static bool has_clone_child(const struct collect *c, const struct collect_process *p)
{
	for (size_t i = 0; i < c->n_processes; i++)
		if (c->processes[i].parent == p && c->processes[i].msg->exit_signal != SIGCHLD)
			return true;
	return false;
}

static bool has_thread(const struct collect_process *p, pid_t tid)
{
	for (size_t i = 0; i < p->n_threads; i++)
		if (p->threads[i].tid == tid)
			return true;
	return false;
}

static bool is_traced_by(const struct collect_process *p, struct arena *arena, pid_t pid)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_status status;

	return proc_open(pid, &fd) == 0 && proc_read_status(fd, arena, &status) == 0 &&
	       has_thread(p, status.tracer);
}

/* The PID of a process that @p traces, 0 if there is none to be seen. */
static int find_tracee(struct collect *c, const struct collect_process *p, pid_t *ret)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	if (!proc)
		return err_sys(c->ctx, -errno, "opendir(/proc)");
	arena_init(&arena, c->ctx);
	*ret = 0;
	while (*ret == 0 && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (isdigit((unsigned char)entry->d_name[0]) && is_traced_by(p, &arena, pid))
			*ret = pid;
	}
	(void)closedir(proc); /* read only */
	return 0;
}

static int reply(struct collect *c, struct collect_process *p, struct call_table *t, uint32_t first)
{
	pid_t tracee = 0;
	int r;

	if (call_result(t, first) == -ECHILD)
		return 0;
	r = find_tracee(c, p, &tracee);
	if (r < 0 || (tracee == 0 && has_clone_child(c, p)))
		return r;
	if (tracee == 0)
		return collect_refuse(c, "have it detach",
				      "%s: traces a process that cannot be seen from here",
				      collect_name(c, p));
	return collect_refuse(c, "have it detach, or dump a tree without it",
			      "%s: traces process %d, which is not in the tree", collect_name(c, p),
			      tracee);
}

const struct task_aspect aspect_tracees = {
	.name = "tracees",
	.ask = ask,
	.reply = reply,
};
