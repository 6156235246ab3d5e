/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A busy program that checks itself: processes and threads that compute in all registers, exchange
 * messages, sleep, wait, take signals, and look after their descriptors and signal masks. What each
 * finds wrong, and how far it has come, it writes to memory shared with whoever started it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { WORKER_LANES = 64 };

struct worker_board {
	_Atomic int lanes; /* in use */
	_Atomic unsigned long beat[WORKER_LANES];
	const char *name[WORKER_LANES];
	_Atomic int early_eintr; /* times that epoll_wait gave EINTR */
	_Atomic int wrong;	 /* lanes that found something wrong */
	char text[256];		 /* what the first one found */
};

/*
 * Starts it; returns its root's PID. *@ret_board is shared with it. @few_descriptors: one more, not
 * two, may be opened.
 */
pid_t worker_start(struct worker_board **ret_board, bool few_descriptors);
/* Waits until every lane has made progress. 0, or -1 with a message on stderr. */
int worker_check(struct worker_board *board, const char *when);
void worker_stop(pid_t pid);
