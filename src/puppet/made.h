/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of made puppets (make.c, clone.c, become.c) share. Private to the puppet layer. */
#pragma once

#include "puppet/puppet.h"

/* All signals but the one that rings: what a stub runs with. */
#define MADE_SIGMASK (~(UINT64_C(1) << (SIGTRAP - 1)))

/* A new puppet for a stub that is traced, in area @area (a new user of it). NULL: out of memory. */
struct puppet *made_new(pid_t tid, pid_t tgid, struct puppet_area *area, uint32_t slot);

/*
 * One system call of a stopped made puppet through the instruction at @ip, by register and
 * syscall-stop; the task is left at the call's exit, with p->state unchanged. For what no table can
 * do: before there is an area, and after. Started, taken over its entry, waited for: 0 and the
 * call's result, or -errno with a chain.
 */
int made_call_start(struct context *ctx, struct puppet *p, puppet_addr ip, uint64_t nr,
		    const uint64_t arg[6]);
int made_call_entered(struct context *ctx, struct puppet *p);
int made_call_finish(struct context *ctx, struct puppet *p, int64_t *ret_result);

/* From any stop to PTRACE_EVENT_STOP, without an instruction in between; @signal (or 0) is delivered
 * on the way, if the task is stopped at a signal's delivery. */
int made_park(struct context *ctx, struct puppet *p, int signal);

/* "PID 812 is in use by nginx": starts a chain for clone3's EEXIST, with a hint. @pid as the
 * coordinator's namespace numbers it. */
int made_pid_in_use(struct context *ctx, pid_t pid);
