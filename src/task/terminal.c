/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controlling terminal (signal_struct.tty). It is kept in two cases. Its master is in the tree:
 * the session's leader takes it again while the tree grows. Or, with --shell-job, the root's
 * session is the shell's, and the restored job gets the terminal of the shell that restores it, by inheriting
 * its session (tree/, checkpoint/grow). A process with a terminal that would be lost without a word is
 * refused.
 *
 * The open files of terminals are file/tty.c's.
 */
#include "task/terminal.h"

#include "file/ptys.h"
#include "kind/task.h"

static int refuse(struct collect *c, const struct collect_process *p, const char *hint,
		  const char *why)
{
	return collect_refuse(c, hint, "%s: its controlling terminal %s", collect_name(c, p), why);
}

/* The terminal's foreground group as the root's PID namespace numbers it; 0: outside the tree. */
static pid_t foreground(const struct collect *c, pid_t group)
{
	unsigned int level = c->processes[0].status.ns_pgid.n - 1;

	for (size_t i = 0; i < c->n_processes; i++) {
		const struct collect_process *p = &c->processes[i];

		if (p->stat.pgrp == group && level < p->status.ns_pgid.n)
			return p->status.ns_pgid.id[level];
	}
	return 0;
}

static bool in_tree(const struct collect *c, pid_t pid)
{
	for (size_t i = 0; i < c->n_processes; i++)
		if (c->processes[i].pid == pid)
			return true;
	return false;
}

/* The numbers of the shell's session and of a group that began outside: those of another shell next time. */
static void forget_outside(const struct collect *c, struct collect_process *p)
{
	const struct proc_stat *root = &c->processes[0].stat;

	if (p->stat.session != root->session || in_tree(c, root->session))
		return;
	p->msg->sid[0] = 0;
	if (p->stat.pgrp == root->pgrp && !in_tree(c, root->pgrp))
		p->msg->pgid[0] = 0;
}

static int own_terminal(struct collect *c, struct collect_process *p, const struct pty_node *pty)
{
	p->msg->tty = pty->msg->id + 1;
	if (p->pid != p->stat.session)
		return 0;
	p->msg->tty_pgrp = foreground(c, p->stat.tpgid);
	/* A group without members is known by its number in our own namespace alone. */
	if (p->msg->tty_pgrp == 0 && c->processes[0].status.ns_pgid.n == 1)
		p->msg->tty_pgrp = p->stat.tpgid;
	if (p->msg->tty_pgrp <= 0)
		return refuse(c, p, "try again", "has a foreground group that nobody is in");
	return 0;
}

static int job_terminal(struct collect *c, struct collect_process *p)
{
	const struct collect_process *root = &c->processes[0];

	if (!c->opt.shell_job)
		return refuse(
			c, p,
			"use --shell-job if the program runs in your shell's terminal, or start "
			"it with setsid",
			"is outside the tree");
	if (p->stat.tty_nr != root->stat.tty_nr)
		return refuse(c, p, NULL, "is another one than that of the job");
	p->msg->tty = 1;
	if (p == root)
		p->msg->tty_pgrp = foreground(c, p->stat.tpgid);
	return 0;
}

int terminals_collect(struct collect *c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];
		const struct pty_node *pty;

		if (p->stat.tty_nr == 0)
			continue;
		pty = pty_of_session(c, p->stat.session, p->stat.tty_nr);
		r = pty ? own_terminal(c, p, pty) : job_terminal(c, p);
	}
	return r;
}

static int collect(struct collect *c, struct collect_process *p)
{
	if (c->opt.shell_job)
		forget_outside(c, p);
	return 0;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	if (p->msg->tty != 1 || r->opt.shell_job)
		return 0;
	return rebuild_refuse(r, "use --shell-job", "process %d had a controlling terminal",
			      p->msg->pid[0]);
}

const struct task_aspect aspect_terminal = {
	.name = "the controlling terminal",
	.collect = collect,
	.check = check,
};
