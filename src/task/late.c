/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a change of credentials clears, set after it: the dumpable flag of the address space and the
 * parent-death signal of each thread (commit_creds() in kernel/cred.c).
 *
 * Dumpable 2 (readable by root only) cannot be set by prctl: a task gets it from a change of ids
 * while the sysctl fs.suid_dumpable is 2. So it is refused unless that holds, and then a change
 * of the fs uid forth and back gives it to a stub whose ids stay as they are.
 *
 * The parent-death signal is sent when the parent *thread* exits that forked the child. After a
 * restore this is the parent's leader; where it was another thread, the dump is refused.
 */
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kernel/proc.h"
#include "kind/task.h"
#include "task/creds.h"
#include "task/stub.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { DUMPABLE_BY_ROOT = 2 };

static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	uint32_t at = call_space(t, NULL, sizeof(uint64_t));

	call_add(t, "prctl(PR_GET_PDEATHSIG)", SYS_prctl, CALL_IMM(PR_GET_PDEATHSIG),
		 CALL_DATA(at));
}

static bool contains(const pid_t *list, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == pid)
			return true;
	return false;
}

/* Was the process forked by the first thread of its parent, or inherited by it? */
static int is_child_of_leader(struct collect *c, const struct collect_process *p)
{
	_cleanup_close_ int task_fd = -EBADF;
	const struct collect_process *parent = p->parent;
	pid_t *children;
	size_t n;
	int r;

	r = proc_open_task(parent->proc_fd, parent->threads[0].tid, &task_fd);
	if (!r)
		r = proc_read_children(task_fd, c->arena, &children, &n);
	if (r)
		return err_sys(c->ctx, r, "reading the children of thread %d",
			       parent->threads[0].tid);
	return contains(children, n, p->pid);
}

static int reply_thread(struct collect *c, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	const struct collect_process *p = th->process;
	const int *signal = call_arg_bytes(t, first, 1);
	int r;

	th->msg->pdeath_signal = *signal;
	if (!*signal || !p->parent || p->parent->n_threads < 2)
		return 0;
	r = is_child_of_leader(c, p);
	if (r)
		return r < 0 ? r : 0;
	return collect_refuse(c, NULL,
			      "%s: its parent-death signal waits for the exit of one thread of "
			      "process %d (%s), not its first",
			      collect_name(c, p), p->parent->pid, p->parent->stat.comm);
}

static int check_dumpable(struct rebuild *r, const struct rebuild_process *p)
{
	static const char path[] = "/proc/sys/fs/suid_dumpable";
	_cleanup_free_ char *text = NULL;
	int res;

	if (!p->owns_mm || p->mm->dumpable != DUMPABLE_BY_ROOT)
		return 0;
	res = io_read_file(AT_FDCWD, path, &text, NULL);
	if (res)
		return err_sys(r->ctx, res, "reading %s", path);
	if (text[0] == '2')
		return 0;
	return rebuild_refuse(r, "sysctl fs.suid_dumpable=2 while it is being restored",
			      "%s: is dumpable by root only (2), which this kernel gives to "
			      "nobody while fs.suid_dumpable is not 2",
			      rebuild_name(r, p));
}

/* The root's parent is the coordinator until it ends. */
static int check_pdeath(struct rebuild *r, const struct rebuild_process *p)
{
	if (!r->opt.detached || p->msg->parent)
		return 0;
	for (size_t i = 0; i < p->msg->n_threads; i++)
		if (p->msg->threads[i]->pdeath_signal)
			return rebuild_refuse(r, "restore it without --restore-detached",
					      "%s: would get its parent-death signal (%d) as "
					      "soon as coppice ends",
					      rebuild_name(r, p),
					      p->msg->threads[i]->pdeath_signal);
	return 0;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	int res = check_dumpable(r, p);

	return res ? res : check_pdeath(r, p);
}

/* A change of the fs uid and back; the stub has all its capabilities and keeps them. */
static int install(struct rebuild *r, struct rebuild_process *p, struct call_table *t)
{
	const struct stub_origin *origin;
	int res;

	if (!p->owns_mm || p->mm->dumpable != DUMPABLE_BY_ROOT)
		return 0;
	res = stub_origin(r, &origin);
	if (res)
		return res;
	call_expect_any(t,
			call_add(t, "setfsuid()", SYS_setfsuid, CALL_IMM(origin->creds.fsuid ^ 1)));
	call_expect_exact(t, call_add(t, "setfsuid()", SYS_setfsuid, CALL_IMM(origin->creds.fsuid)),
			  origin->creds.fsuid ^ 1);
	return 0;
}

/*
 * Each thread's change of credentials clears the flag of the address space they share, so each
 * sets it again: whichever is the last, the end is right.
 */
static int last_thread(struct rebuild *r _unused_, struct rebuild_thread *th, struct call_table *t)
{
	uint32_t dumpable = th->process->mm->dumpable;

	if (dumpable != DUMPABLE_BY_ROOT)
		call_add(t, "prctl(PR_SET_DUMPABLE)", SYS_prctl, CALL_IMM(PR_SET_DUMPABLE),
			 CALL_IMM(dumpable));
	if (th->msg->pdeath_signal)
		call_add(t, "prctl(PR_SET_PDEATHSIG)", SYS_prctl, CALL_IMM(PR_SET_PDEATHSIG),
			 CALL_IMM(th->msg->pdeath_signal));
	return 0;
}

const struct task_aspect aspect_late = {
	.name = "late",
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.check = check,
	.install = install,
	.last_thread = last_thread,
};
