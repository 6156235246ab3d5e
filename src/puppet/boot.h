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
	struct arch_undo undo; /* what is undone should we die, from the call under way on */
	unsigned int stops;    /* of the call under way, still to come; 0: being parked */
	bool blocked;	       /* all signals of the task are */
};

/*
 * Bytes of a borrowed task that are executable and not writable, which memory.c's other way always
 * fails at first. The file they go through stays open until puppet_code_written().
 */
int puppet_write_code(struct context *ctx, struct puppet *p, puppet_addr to, const void *from,
		      size_t len);
void puppet_code_written(struct puppet_area *area);

/* The task must be parked: with its own registers, or in the loop. Nothing is to be undone. */
int boot_begin(struct context *ctx, struct puppet *p, struct boot *ret_boot);
/*
 * One system call, begun; or being parked, with no call under way. Then boot_poll: 1 when it is
 * done, with the call's result (which may be an error code); 0 while it is not. @undo is what is to
 * be undone from this call on; it is b->undo if the call was begun.
 */
int boot_start(struct context *ctx, struct boot *b, uint64_t nr, const uint64_t arg[6],
	       const struct arch_undo *undo);
int boot_park(struct context *ctx, struct boot *b);
int boot_poll(struct context *ctx, struct boot *b, int64_t *ret_result);
/* One system call. 0 and its result (which may be an error code), or -errno with a chain. */
int boot_call(struct context *ctx, struct boot *b, uint64_t nr, const uint64_t arg[6],
	      int64_t *ret_result);
/* Waits until what was started is done. 0 and a call's result, or -errno with a chain. */
int boot_finish(struct context *ctx, struct boot *b, int64_t *ret_result);
/* The same as boot_call, where a failure of the call is an error: the result, or -errno with a chain. */
int64_t boot_must(struct context *ctx, struct boot *b, const char *what, uint64_t nr,
		  const uint64_t arg[6]);
/* The result of a call that must not fail, or -errno with a chain. */
int64_t boot_check(struct context *ctx, const struct boot *b, const char *what, int64_t result);
/* Ends the session of a task that is parked: its own registers and signal mask. */
int boot_home(struct context *ctx, struct boot *b);
/* After a failure: closes and unmaps what is to be undone, as far as that goes. */
void boot_undo(struct context *ctx, struct boot *b);
/* Ends the session: the task is parked again, with its own registers and signal mask. */
int boot_end(struct context *ctx, struct boot *b);
/* The same after @r: an error is kept and returned, and the task still gets home if it lives. */
int boot_end_after(struct context *ctx, struct boot *b, int r);
/* Ends the session: the task goes on with other registers, all signals blocked. */
int boot_leave_for(struct context *ctx, struct boot *b, const struct arch_regs *regs);
