/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot sessions: system calls of a borrowed task one by one, without any memory of ours in it (the
 * way into and out of the area, and the slow way where the loop cannot run). Private to the puppet
 * layer. The order of steps that makes them crash-safe is told at the head of boot.c.
 */
#pragma once

#include "puppet/puppet.h"

struct boot {
	struct puppet *p;
	puppet_addr at;
	struct arch_boot undo; /* change it, then boot_update() */
};

/* The task must be parked: with its own registers, or in the loop. */
int boot_begin(struct context *ctx, struct puppet *p, const struct arch_boot *undo,
	       struct boot *ret_boot);
/* Writes what is to be undone, should we die, over to the task. */
int boot_update(struct context *ctx, struct boot *b);
/* One system call. 0 and its result (which may be an error code), or -errno with a chain. */
int boot_call(struct context *ctx, struct boot *b, uint64_t nr, const uint64_t arg[6],
	      int64_t *ret_result);
/* The same, where a failure of the call is an error: the result, or -errno with a chain. */
int64_t boot_must(struct context *ctx, struct boot *b, const char *what, uint64_t nr,
		  const uint64_t arg[6]);
/* Ends the session: the task is parked again, with its own registers and signal mask. */
int boot_end(struct context *ctx, struct boot *b);
/* The same after @r: an error is kept and returned, and the task still gets home if it lives. */
int boot_end_after(struct context *ctx, struct boot *b, int r);
/* Ends the session: the task goes on with other registers, all signals blocked. */
int boot_leave_for(struct context *ctx, struct boot *b, const struct arch_regs *regs);
