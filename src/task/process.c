/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process is among others: its numbers on all levels, its session and group, its state
 * (running, stopped, dead), the signal that its parent gets at its death, whether it adopts
 * orphans. All of it but the subreaper flag is made while the tree is grown; nothing is left to
 * install. Which tables it shares is found by share.c.
 *
 * Not visible: whether the parent has already waited for a stop, and which thread of the parent
 * is the real one (only pdeath_signal and __WNOTHREAD depend on it).
 */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kind/task.h"
#include "task/process.h"
#include "util/cleanup.h"

#ifndef PF_FORKNOEXEC
#define PF_FORKNOEXEC 0x40 /* include/linux/sched.h */
#endif

/* The levels from the tree root's PID namespace on. */
static int copy_levels(struct collect *c, const struct proc_ns_ids *ids, int32_t **ret_ids,
		       size_t *ret_n)
{
	unsigned int skip = c->processes[0].status.ns_tgid.n - 1;

	if (ids->n <= skip)
		return err_msg(c->ctx, -EINVAL,
			       "it has %u PID namespace levels, the tree root has %u", ids->n,
			       skip + 1);
	*ret_ids = arena_memdup(c->arena, &ids->id[skip], (ids->n - skip) * sizeof(int32_t));
	if (!*ret_ids)
		return err_oom(c->ctx);
	*ret_n = ids->n - skip;
	return 0;
}

static int collect_numbers(struct collect *c, struct collect_process *p)
{
	Coppice__Process *msg = p->msg;
	int r;

	r = copy_levels(c, &p->status.ns_tgid, &msg->pid, &msg->n_pid);
	if (!r)
		r = copy_levels(c, &p->status.ns_sid, &msg->sid, &msg->n_sid);
	if (!r)
		r = copy_levels(c, &p->status.ns_pgid, &msg->pgid, &msg->n_pgid);
	return r;
}

/* What only the leader has, also a dead one. */
static int collect_leader(struct collect *c, struct collect_process *p)
{
	_cleanup_close_ int leader_fd = -EBADF;
	struct proc_stat leader = p->stat;
	int r;

	p->msg->leader_dead = !p->zombie && p->threads[0].tid != p->pid;
	if (p->msg->leader_dead) {
		r = proc_open(p->pid, &leader_fd);
		if (!r)
			r = proc_read_stat(leader_fd, &leader);
		if (r)
			return err_sys(c->ctx, r, "reading /proc/%d/stat", p->pid);
	}
	p->msg->exit_signal = leader.exit_signal;
	p->msg->no_exec_since_fork = leader.flags & PF_FORKNOEXEC;
	if (p->zombie || p->msg->leader_dead) {
		p->msg->comm = arena_strdup(c->arena, leader.comm);
		if (!p->msg->comm)
			return err_oom(c->ctx);
	}
	return 0;
}

/* The one that took part in a group stop last knows of it: any of them may have taken the signal. */
static int stop_signal(const struct collect_process *p)
{
	for (size_t i = 0; i < p->n_threads; i++)
		if (p->threads[i].puppet->group_stopped)
			return p->threads[i].puppet->stop_signal;
	return 0;
}

void process_collect_state(struct collect_process *p)
{
	if (p->zombie) {
		p->msg->state = COPPICE__RUN_STATE__RUN_STATE_ZOMBIE;
		p->msg->exit_status = p->stat.exit_code;
		return;
	}
	p->msg->stop_signal = stop_signal(p);
	p->msg->state = p->msg->stop_signal ? COPPICE__RUN_STATE__RUN_STATE_STOPPED
					    : COPPICE__RUN_STATE__RUN_STATE_RUNNING;
}

static int collect(struct collect *c, struct collect_process *p)
{
	int r;

	r = collect_numbers(c, p);
	if (!r)
		r = collect_leader(c, p);
	if (!r)
		process_collect_state(p);
	return r;
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	return copy_levels(c, &th->status.ns_pid, &th->msg->tid, &th->msg->n_tid);
}

static void ask(struct collect *c, struct collect_process *p _unused_, struct call_table *t)
{
	static const int nobody;
	uint32_t at = call_space(t, &nobody, sizeof(nobody));

	(void)c;
	call_add(t, "prctl(PR_GET_CHILD_SUBREAPER)", SYS_prctl, CALL_IMM(PR_GET_CHILD_SUBREAPER),
		 CALL_DATA(at));
}

static int reply(struct collect *c _unused_, struct collect_process *p, struct call_table *t,
		 uint32_t first)
{
	const int *subreaper = call_arg_bytes(t, first, 1);

	p->msg->subreaper = *subreaper != 0;
	return 0;
}

/* Scaffolds may have needed it otherwise while the tree was grown. */
static int install(struct rebuild *r _unused_, struct rebuild_process *p, struct call_table *t)
{
	call_add(t, "prctl(PR_SET_CHILD_SUBREAPER)", SYS_prctl, CALL_IMM(PR_SET_CHILD_SUBREAPER),
		 CALL_IMM(p->msg->subreaper));
	return 0;
}

const struct task_aspect aspect_process = {
	.name = "process",
	.collect = collect,
	.collect_thread = collect_thread,
	.ask = ask,
	.reply = reply,
	.install = install,
};
