/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the C library registers for each thread: name, robust futex list, the address that is
 * cleared at its exit (pthread_join waits there), the rseq area. The lists and areas themselves
 * are ordinary memory of the program.
 *
 * The kernel writes the rseq area's CPU fields anew whenever the thread is about to run in user
 * mode, and clears the pointer to an active critical section at registration: a thread that was
 * inside one had its ip moved to the abort handler when it was seized.
 */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "kernel/sys.h"
#include "kind/task.h"

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

static int collect_robust_list(struct collect *c, struct collect_thread *th)
{
	int r;

	r = sys_get_robust_list(th->tid, &th->msg->robust_list, &th->msg->robust_list_len);
	return r < 0 ? err_sys(c->ctx, r, "get_robust_list(%d)", th->tid) : 0;
}

static int collect_rseq(struct collect *c, struct collect_thread *th)
{
	struct __ptrace_rseq_configuration config = {0};
	Coppice__Rseq *rseq;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, th->tid, sizeof(config), &config) < 0)
		return errno == EIO ? 0 /* a kernel without rseq */
				    : err_sys(c->ctx, -errno,
					      "ptrace(PTRACE_GET_RSEQ_CONFIGURATION, %d)", th->tid);
	if (!config.rseq_abi_pointer)
		return 0;
	rseq = arena_new(c->arena, Coppice__Rseq);
	if (!rseq)
		return err_oom(c->ctx);
	coppice__rseq__init(rseq);
	rseq->address = config.rseq_abi_pointer;
	rseq->length = config.rseq_abi_size;
	rseq->signature = config.signature;
	th->msg->rseq = rseq;
	return 0;
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	int r;

	th->msg->comm = arena_strdup(c->arena, th->stat.comm);
	if (!th->msg->comm)
		return err_oom(c->ctx);
	r = collect_robust_list(c, th);
	return r ? r : collect_rseq(c, th);
}

static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	uint32_t at = call_space(t, NULL, sizeof(uint64_t));

	call_add(t, "prctl(PR_GET_TID_ADDRESS)", SYS_prctl, CALL_IMM(PR_GET_TID_ADDRESS),
		 CALL_DATA(at));
}

static int reply_thread(struct collect *c _unused_, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	const uint64_t *address = call_arg_bytes(t, first, 1);

	th->msg->clear_child_tid = *address;
	return 0;
}

static int last_thread(struct rebuild *r _unused_, struct rebuild_thread *th, struct call_table *t)
{
	const Coppice__Thread *msg = th->msg;
	uint32_t name = call_string(t, msg->comm);

	call_add(t, "prctl(PR_SET_NAME)", SYS_prctl, CALL_IMM(PR_SET_NAME), CALL_DATA(name));
	if (msg->robust_list)
		call_add(t, "set_robust_list()", SYS_set_robust_list, CALL_IMM(msg->robust_list),
			 CALL_IMM(msg->robust_list_len));
	/* Always: fork may have left the stub an address of its own. */
	call_add(t, "set_tid_address()", SYS_set_tid_address, CALL_IMM(msg->clear_child_tid));
	if (msg->rseq)
		call_add(t, "rseq()", SYS_rseq, CALL_IMM(msg->rseq->address),
			 CALL_IMM(msg->rseq->length), CALL_IMM(0), CALL_IMM(msg->rseq->signature));
	return 0;
}

const struct task_aspect aspect_thread = {
	.name = "thread",
	.collect_thread = collect_thread,
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.last_thread = last_thread,
};
