/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for traced tasks, each by its own number, and sending them on. Private to the puppet
 * layer. The death of a task is an ordinary result: the puppet becomes PUPPET_GONE, the functions
 * return -ESRCH.
 */
#pragma once

#include "puppet/puppet.h"

enum trace_kind {
	TRACE_PARKED, /* PTRACE_EVENT_STOP: by PTRACE_INTERRUPT, a new child's first, a group stop */
	TRACE_SYSCALL, /* at a system call's entry or exit (PTRACE_SYSCALL) */
	TRACE_SIGNAL,  /* about to be delivered .signal */
	TRACE_CHILD,   /* fork, vfork or clone: .child was made, and is traced, too */
	TRACE_OTHER,   /* another ptrace event */
};

struct trace_stop {
	enum trace_kind kind;
	int signal;
	pid_t child;
};

/* Waits for the next stop. -ESRCH: the task died. */
int trace_wait(struct context *ctx, struct puppet *p, struct trace_stop *ret_stop);
/* The same without waiting: 1 there was one, 0 there is none yet. */
int trace_poll(struct context *ctx, struct puppet *p, struct trace_stop *ret_stop);
/*
 * Sleeping until something happens to some tracee, for a caller that polls several: SIGCHLD is
 * blocked, then polls and dozes follow in turn. False: nothing has happened for @ms milliseconds.
 */
void trace_block_chld(sigset_t *ret_old);
void trace_unblock_chld(const sigset_t *old);
bool trace_doze(int ms);
/* A dead task that wait does not report: see trace.c. */
bool trace_is_dead(const struct puppet *p);

/* PTRACE_CONT or PTRACE_SYSCALL. */
int trace_go(struct context *ctx, struct puppet *p, int request, int signal);
int trace_interrupt(struct context *ctx, struct puppet *p);
/*
 * Interrupts a task that runs with all signals blocked, and waits for its PTRACE_EVENT_STOP.
 */
int trace_park(struct context *ctx, struct puppet *p);
/* The second half of it: waits for the stop of an interrupted task. */
int trace_await_park(struct context *ctx, struct puppet *p);
/* Sends a task that stopped with @stop on: a signal is delivered. */
int trace_pass(struct context *ctx, struct puppet *p, const struct trace_stop *stop);
/* The same for one that was interrupted and is still to be parked. */
int trace_pass_to_park(struct context *ctx, struct puppet *p, const struct trace_stop *stop);

int trace_get_sigmask(struct context *ctx, struct puppet *p, uint64_t *ret_mask);
int trace_set_sigmask(struct context *ctx, struct puppet *p, uint64_t mask);

/* Records that the task has died, with the wait status if it is known, else -1. */
int trace_gone(struct context *ctx, struct puppet *p, int status);
