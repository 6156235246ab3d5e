/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small tree that checks itself while it runs, for tests that hurt dump and restore: a process
 * with a second thread, a child that it sends numbers through a pipe, and a pair of unix sockets in
 * which something waits all the time. It reports its progress,
 * and anything that is not as it must be, in a file that is mapped shared.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { TARGET_SOCKETS = 2 }; /* of the first process */

struct progress {
	_Atomic uint64_t main;
	_Atomic uint64_t thread;
	_Atomic uint64_t child;
	_Atomic uint64_t wrong; /* the source line that saw something wrong */
	_Atomic int child_pid;
};

struct target {
	pid_t pid;
	struct progress *progress;
};

/* Runs @function as init of a PID namespace with its own /proc and System V IPC, in a scratch directory that is removed
 * afterwards. Returns its result. */
int target_in_namespace(int (*function)(void));
/* @target is zero, or was used before. Starts the tree in the working directory; returns when every part of it has made progress. */
void target_start(struct target *target);
/* Waits until every part has made progress. False: it died, it hangs, or something in it is wrong. */
bool target_goes_on(const struct target *target);
/* Stops every process of the tree, as by job control; returns when they have stopped. */
void target_stop(const struct target *target);
/* True if no process of the tree is left (as seen in this PID namespace). */
bool target_is_gone(const struct target *target);
/* Kills and reaps what is left of the tree. */
void target_kill(const struct target *target);
/* Reaps every child that has ended; init has to. */
void target_reap(void);
