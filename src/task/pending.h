/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "kind/collect.h"

/* What has come that changes more than the queues. */
struct pending_news {
	bool expired; /* a signal of one of its timers */
	bool job;     /* SIGSTOP, or SIGCONT to a stopped process: not acted upon as yet */
};

/*
 * Replaces the pending signals of a living process, and of its threads, by those that are pending
 * now, and says what has come since they were collected last.
 */
int pending_collect_again(struct collect *c, struct collect_process *p,
			  struct pending_news *ret_news);
