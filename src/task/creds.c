/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of each thread: user and group ids, supplementary groups, the five capability sets,
 * securebits, no_new_privs. All but the securebits are in /proc/PID/task/TID/status.
 *
 * They are changed in the last phase: most of what comes before needs the stub's privilege. A
 * change of ids clears the dumpable flag and the parent-death signal, which late.c sets after it.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kind/task.h"
#include "task/creds.h"
#include "task/stub.h"
#include "util/strbuf.h"

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	Coppice__Creds *creds = arena_new(c->arena, Coppice__Creds);

	if (!creds)
		return err_oom(c->ctx);
	creds_from_status(&th->status, creds);
	th->msg->creds = creds;
	return 0;
}

static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	call_add(t, "prctl(PR_GET_SECUREBITS)", SYS_prctl, CALL_IMM(PR_GET_SECUREBITS));
}

static int reply_thread(struct collect *c _unused_, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	th->msg->creds->securebits = (uint32_t)call_result(t, first);
	return 0;
}

static int check_thread(struct rebuild *r, const struct rebuild_process *p,
			const Coppice__Thread *th)
{
	_cleanup_strbuf_ struct strbuf why = {0};
	const struct stub_origin *origin;
	int res;

	res = stub_origin(r, &origin);
	if (res)
		return res;
	creds_explain(&origin->creds, th->creds, &why);
	if (!why.len && !why.failed)
		return 0;
	if (!strbuf_text(&why))
		return err_oom(r->ctx);
	return rebuild_refuse(r, "run coppice with the privileges of the program",
			      "%s, thread %d: cannot be given %s", rebuild_name(r, p), th->tid[0],
			      strbuf_text(&why));
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	int res = 0;

	for (size_t i = 0; i < p->msg->n_threads && !res; i++)
		res = check_thread(r, p, p->msg->threads[i]);
	return res;
}

/* In the last phase because most of what comes before needs the stub's privilege. */
static int last_thread(struct rebuild *r, struct rebuild_thread *th, struct call_table *t)
{
	const struct stub_origin *origin;
	int res;

	res = stub_origin(r, &origin);
	if (!res)
		creds_add(t, &origin->creds, th->msg->creds);
	return res;
}

const struct task_aspect aspect_creds = {
	.name = "creds",
	.collect_thread = collect_thread,
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.check = check,
	.last_thread = last_thread,
};
