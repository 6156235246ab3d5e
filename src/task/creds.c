/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of each thread: user and group ids, supplementary groups, the five capability sets,
 * securebits, no_new_privs. All but the securebits are in /proc/PID/task/TID/status.
 *
 * They are changed in the last phase: most of what comes before needs the stub's privilege. A
 * change of ids clears the dumpable flag and the parent-death signal, which late.c sets after it.
 *
 * In a user namespace: ids are kept in the numbers of the coordinator's, where each has one, mapped
 * or not; capabilities are relative to the namespace. So a stub takes its ids outside, then joins,
 * which leaves them alone and gives it all capabilities inside, then gives up what it is not to
 * have. It has to be the only thread for that; others get theirs from the one that clones them.
 */
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kind/task.h"
#include "task/caps.h"
#include "task/creds.h"
#include "task/stub.h"
#include "util/cleanup.h"
#include "util/strbuf.h"

/* A dead task, too, has them: wait() tells them to the parent, and kill() asks for a dead leader's. */
static int collect(struct collect *c, struct collect_process *p)
{
	_cleanup_close_ int leader_fd = -EBADF;
	struct proc_status leader = p->status;
	int r;

	if (!p->zombie && p->threads[0].tid == p->pid)
		return 0;
	if (!p->zombie) {
		r = proc_open(p->pid, &leader_fd);
		if (!r)
			r = proc_read_status(leader_fd, c->arena, &leader);
		if (r)
			return err_sys(c->ctx, r, "reading /proc/%d/status", p->pid);
	}
	p->msg->creds = arena_new(c->arena, Coppice__Creds);
	if (!p->msg->creds)
		return err_oom(c->ctx);
	creds_from_status(&leader, p->msg->creds);
	return 0;
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	Coppice__Creds *creds = arena_new(c->arena, Coppice__Creds);

	if (!creds)
		return err_oom(c->ctx);
	creds_from_status(&th->status, creds);
	th->msg->creds = creds;
	return 0;
}

/* In a user namespace another id could be out of a thread's reach. */
static int check_thread_ids(struct collect *c, const struct collect_thread *th)
{
	const Coppice__Creds *first = th->process->threads[0].msg->creds;
	Coppice__Creds same;

	if (th->process->msg->user_ns == 0)
		return 0;
	creds_with_ids(th->msg->creds, first, &same);
	if (creds_equal(&same, th->msg->creds))
		return 0;
	return collect_refuse(c, NULL,
			      "%s, thread %d: is in a user namespace and has other user or group "
			      "ids than the first thread; this is not supported yet",
			      collect_name(c, th->process), th->tid);
}

static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	call_add(t, "prctl(PR_GET_SECUREBITS)", SYS_prctl, CALL_IMM(PR_GET_SECUREBITS));
}

static int reply_thread(struct collect *c, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	th->msg->creds->securebits = (uint32_t)call_result(t, first);
	return check_thread_ids(c, th);
}

/* From the stub's own credentials to @want: what it has before and after it joins the user
 * namespace, if it does. */
struct way {
	Coppice__Creds outside;
	Coppice__Creds inside;
};

static struct way way_to(const Coppice__Creds *origin, const Coppice__Creds *want)
{
	struct way way;

	creds_with_ids(origin, want, &way.outside);
	creds_joined(&way.outside, caps_of_kernel(), &way.inside);
	return way;
}

static int check_one(struct rebuild *r, const struct rebuild_process *p, int32_t tid,
		     const Coppice__Creds *creds)
{
	_cleanup_strbuf_ struct strbuf why = {0};
	const struct stub_origin *origin;
	int res;

	res = stub_origin(r, &origin);
	if (res)
		return res;
	if (p->msg->user_ns) {
		struct way way = way_to(&origin->creds, creds);

		creds_explain(&origin->creds, &way.outside, &why);
		creds_explain(&way.inside, creds, &why);
	} else {
		creds_explain(&origin->creds, creds, &why);
	}
	if (!why.len && !why.failed)
		return 0;
	if (!strbuf_text(&why))
		return err_oom(r->ctx);
	return rebuild_refuse(r, "run coppice with the privileges of the program",
			      "%s, thread %d: cannot be given %s", rebuild_name(r, p), tid,
			      strbuf_text(&why));
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	int res = p->msg->creds ? check_one(r, p, p->msg->pid[0], p->msg->creds) : 0;

	for (size_t i = 0; i < p->msg->n_threads && !res; i++)
		res = check_one(r, p, p->msg->threads[i]->tid[0], p->msg->threads[i]->creds);
	return res;
}

int creds_enter(struct rebuild *r, const struct rebuild_process *p, struct puppet *puppet,
		const Coppice__Creds *want, struct call_table *t)
{
	const struct stub_origin *origin;
	struct way way;
	int number, res;

	res = stub_origin(r, &origin);
	if (res)
		return res;
	if (!p->msg->user_ns) {
		creds_add(t, &origin->creds, want);
		return 0;
	}
	way = way_to(&origin->creds, want);
	if (!p->in_user_ns) {
		creds_add(t, &origin->creds, &way.outside);
		res = puppet_fds_in(r->ctx, puppet, &r->user_ns[p->msg->user_ns - 1], 1, &number);
		if (res < 0)
			return res;
		call_add(t, "setns(CLONE_NEWUSER)", SYS_setns, CALL_IMM(number),
			 CALL_IMM(CLONE_NEWUSER));
		call_add(t, "close()", SYS_close, CALL_IMM(number));
	}
	creds_add(t, &way.inside, want);
	return 0;
}

/* In the last phase because most of what comes before needs the stub's privilege. */
static int last_thread(struct rebuild *r, struct rebuild_thread *th, struct call_table *t)
{
	return creds_enter(r, th->process, th->puppet, th->msg->creds, t);
}

const struct task_aspect aspect_creds = {
	.name = "creds",
	.collect = collect,
	.collect_thread = collect_thread,
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.check = check,
	.last_thread = last_thread,
};
