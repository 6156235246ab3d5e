/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controlling terminal (signal_struct.tty). Its other side is never part of the tree, so it is
 * kept in one case only: with --shell-job the root's session is the shell's, and the restored job
 * gets the terminal of the shell that restores it, by inheriting its session (tree/, checkpoint/grow).
 * A process with a terminal that would be lost without a word is refused.
 *
 * The open files of the terminal are file/tty.c's.
 */
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

static int collect(struct collect *c, struct collect_process *p)
{
	const struct collect_process *root = &c->processes[0];

	if (c->opt.shell_job)
		forget_outside(c, p);
	if (p->stat.tty_nr == 0)
		return 0;
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

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	if (p->msg->tty == 0 || r->opt.shell_job)
		return 0;
	return rebuild_refuse(r, "use --shell-job", "process %d had a controlling terminal",
			      p->msg->pid[0]);
}

const struct task_aspect aspect_terminal = {
	.name = "the controlling terminal",
	.collect = collect,
	.check = check,
};
