/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errands: what a borrowed task does in several system calls on its way in or out, as stages. Many
 * are under way at once, so that a thousand tasks need not wait for each other's stops. Private to
 * the puppet layer.
 */
#pragma once

#include "puppet/boot.h"

struct errand {
	struct boot boot;
	uint32_t slots; /* entering: how many to make */
	/*
	 * What comes after the call (or the parking) that is under way, with its result: 0 it has
	 * started the next one and said what comes then; 1 done; or -errno. NULL: not under way.
	 */
	int (*next)(struct context *ctx, struct errand *e, int64_t result);
	/* After an error: brings the task home. Keeps the chain. */
	void (*abort)(struct context *ctx, struct errand *e, int r);
	int outcome; /* 0, or what it failed with */
};

/* Sees all to their end. Returns how many failed; the chain is of one of them. */
size_t errands_run(struct context *ctx, struct errand *errands, size_t n);
