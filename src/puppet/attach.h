/* SPDX-License-Identifier: Apache-2.0 */
/* Attaching to one task, and letting it go. Private to the puppet layer. */
#pragma once

#include <sys/ptrace.h>

#include "kernel/proc.h"
#include "puppet/puppet.h"

/* Of every borrowed puppet; PTRACE_O_SUSPEND_SECCOMP besides where that is permitted. */
enum {
	ATTACH_OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			 PTRACE_O_TRACECLONE,
};

/* What /proc tells of a task; -ENOENT or -ESRCH: it is gone. */
int attach_who(pid_t tgid, pid_t tid, struct arena *arena, struct proc_stat *ret_stat,
	       struct proc_status *ret_status);

/*
 * Seizes task @tid of process @tgid and asks it to stop; does not wait. 0 and a new puppet in
 * state PUPPET_NONE; or 1 and one that is PUPPET_GONE: the task is dead or gone. A task that is the coordinator's tracee
 * already (a child of a seized one) is taken on. Refusals name who traces it.
 */
int attach(struct context *ctx, pid_t tgid, pid_t tid, struct puppet **ret_puppet);

/*
 * A task has come to its stop: reads registers and signal mask, takes it out of an rseq critical
 * section, and makes its registers such that an interrupted call goes on unnoticed.
 */
int attach_stopped(struct context *ctx, struct puppet *p);

/*
 * Lets a task go that was asked to stop and has not been seen to: PTRACE_DETACH is for stopped ones
 * alone. A signal that stopped it is delivered. 1: done, or it is dead; *@ret_child: what it has made
 * at this moment, to be let go, too, or 0. 0: it has not stopped yet.
 */
int detach_unstopped(pid_t tid, pid_t *ret_child);

/* Lets a parked task go, as it is; waits for the death of a dead one. */
void detach(struct puppet *p);
