/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What forbids remote calls. A seccomp filter might kill the task for them, unless it is suspended
 * while we hold the task (PTRACE_O_SUSPEND_SECCOMP, for a privileged coordinator only). Syscall user
 * dispatch would send it SIGSYS, if it was stopped where its calls are caught: that cannot be
 * suspended such that it comes back should the coordinator die.
 */
#include "puppet/permit.h"

#include <errno.h>
#include <linux/prctl.h>
#include <sys/ptrace.h>

#include "puppet/attach.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"

/* Finds out whether the task is under seccomp, unless that has been told. */
static int look_up(struct context *ctx, struct puppet *p)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct proc_status status;
	struct proc_stat stat;
	int r;

	if (p->told)
		return 0;
	arena_init(&arena, ctx);
	r = attach_who(p->tgid, p->tid, &arena, &stat, &status);
	if (r < 0)
		return err_sys(ctx, r, "/proc/%d/task/%d/status", p->tgid, p->tid);
	p->filtered = status.seccomp != 0;
	return 0;
}

static int check_seccomp(struct context *ctx, struct puppet *p)
{
	int r = look_up(ctx, p);

	if (r < 0)
		return r;
	/* A task that was attached at its birth has its parent's options, or may get them now. */
	if (p->filtered && !p->suspended)
		p->suspended =
			ptrace(PTRACE_SETOPTIONS, p->tid, NULL,
			       (void *)(long)(ATTACH_OPTIONS | PTRACE_O_SUSPEND_SECCOMP)) == 0;
	if (!p->filtered || p->suspended)
		return 0;
	r = err_msg(ctx, -EPERM, "task %d is under seccomp, which cannot be suspended", p->tid);
	return err_hint(ctx, r, "run as root, and not under seccomp");
}

static int check_dispatch(struct context *ctx, struct puppet *p)
{
	enum { GET_CONFIG = 0x4211 }; /* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, 6.4 */
	struct {
		uint64_t mode;
		uint64_t selector;
		uint64_t offset;
		uint64_t len;
	} config;
	uint8_t selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	int r;

	/* EIO: the kernel cannot tell. */
	if (ptrace((enum __ptrace_request)GET_CONFIG, p->tid, (void *)sizeof(config), &config) <
		    0 ||
	    config.mode == PR_SYS_DISPATCH_OFF)
		return 0;
	/* Without a selector all calls are caught. */
	if (config.selector != 0) {
		r = puppet_read(ctx, p, config.selector, &selector, sizeof(selector));
		if (r < 0)
			return err_while(ctx, r, "reading the dispatch selector of task %d",
					 p->tid);
	}
	if (selector == SYSCALL_DISPATCH_FILTER_ALLOW)
		return 0;
	r = err_msg(ctx, -EAGAIN,
		    "the system calls of task %d are being caught at this moment (syscall user "
		    "dispatch)",
		    p->tid);
	return err_hint(ctx, r, "try again");
}

int permit_calls(struct context *ctx, struct puppet *p)
{
	int r;

	if (p->permitted)
		return 0;
	r = check_seccomp(ctx, p);
	if (r == 0)
		r = check_dispatch(ctx, p);
	p->permitted = r == 0;
	return r;
}
