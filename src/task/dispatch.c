/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Syscall user dispatch of each thread: system calls from outside a range of addresses raise SIGSYS
 * while a byte in the program's memory says so. Read and set by ptrace.
 *
 * Our own calls come from outside that range. So it is set when the thread has made its last call
 * for us, and is no part of verification; and a thread that was stopped while its calls are caught
 * cannot be asked for anything: it is not touched, and the dump fails.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <sys/ptrace.h>

#include "kind/task.h"

#ifndef PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG 0x4210
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
#endif

/* struct ptrace_sud_config */
struct dispatch_config {
	uint64_t mode; /* PR_SYS_DISPATCH_* */
	uint64_t selector;
	uint64_t offset;
	uint64_t len;
};

static int check_selector(struct collect *c, const struct collect_thread *th,
			  const struct dispatch_config *config)
{
	uint8_t selector = SYSCALL_DISPATCH_FILTER_BLOCK;

	/* Without a selector all calls are caught; one that cannot be read kills the program. */
	if (config->selector != 0 &&
	    puppet_read(c->ctx, th->puppet, config->selector, &selector, sizeof(selector)) < 0)
		return err_while(c->ctx, c->ctx->err.code,
				 "reading the dispatch selector of thread %d", th->tid);
	if (selector == SYSCALL_DISPATCH_FILTER_ALLOW)
		return 0;
	(void)err_msg(c->ctx, -EAGAIN,
		      "the system calls of thread %d are being caught at this moment (syscall user "
		      "dispatch)",
		      th->tid);
	return err_hint(c->ctx, -EAGAIN, "try again");
}

/*
 * A kernel that cannot tell (EIO, before 6.4) is refused nothing: such a program's own calls, made
 * by us, would have raised SIGSYS and so failed the dump.
 */
static int collect_thread(struct collect *c, struct collect_thread *th)
{
	struct dispatch_config config;
	Coppice__SyscallDispatch *dispatch;
	int r;

	if (ptrace((enum __ptrace_request)PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, th->tid,
		   sizeof(config), &config) < 0)
		return errno == EIO ? 0
				    : err_sys(c->ctx, -errno,
					      "ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, %d)",
					      th->tid);
	if (config.mode == 0)
		return 0;
	r = check_selector(c, th, &config);
	if (r < 0)
		return r;
	dispatch = arena_new(c->arena, Coppice__SyscallDispatch);
	if (!dispatch)
		return err_oom(c->ctx);
	coppice__syscall_dispatch__init(dispatch);
	dispatch->mode = config.mode;
	dispatch->selector = config.selector;
	dispatch->offset = config.offset;
	dispatch->length = config.len;
	th->msg->dispatch = dispatch;
	return 0;
}

static int become_thread(struct rebuild *r, struct rebuild_thread *th)
{
	const Coppice__SyscallDispatch *dispatch = th->msg->dispatch;
	pid_t tid = th->puppet->tid;
	struct dispatch_config config;

	if (!dispatch)
		return 0;
	config = (struct dispatch_config){dispatch->mode, dispatch->selector, dispatch->offset,
					  dispatch->length};
	if (ptrace((enum __ptrace_request)PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, tid,
		   sizeof(config), &config) < 0)
		return err_sys(r->ctx, -errno,
			       "ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, %d)", tid);
	return 0;
}

const struct task_aspect aspect_dispatch = {
	.name = "syscall user dispatch",
	.collect_thread = collect_thread,
	.become_thread = become_thread,
};
