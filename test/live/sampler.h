/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The remaining time of a timer across the dump. A thread reads it and the clock once a millisecond.
 * The longest step of the clock between two samples is the time that the program did not exist. What
 * a busy machine adds by scheduling is in both numbers, so they are compared with each other.
 */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "live.h"

static struct {
	pthread_t thread;
	long long (*remaining)(void);
	volatile int stop;
	long long longest_gap;
	long long drop_across;
} sampler;

static inline void *sampler_run(void *unused)
{
	long long clock_before = 0, left_before = 0;

	(void)unused;
	while (!sampler.stop) {
		struct timespec ts;
		long long left = sampler.remaining();
		long long now;

		(void)clock_gettime(CLOCK_MONOTONIC, &ts);
		now = ts.tv_sec * 1000000000LL + ts.tv_nsec;
		if (clock_before && now - clock_before > sampler.longest_gap) {
			sampler.longest_gap = now - clock_before;
			sampler.drop_across = left_before - left;
		}
		clock_before = now;
		left_before = left;
		(void)usleep(1000);
	}
	return NULL;
}

static inline int sampler_start(long long (*remaining)(void))
{
	const struct sched_param before_others = {.sched_priority = 10};

	sampler.remaining = remaining;
	if (pthread_create(&sampler.thread, NULL, sampler_run, NULL) != 0)
		return 1;
	/* as far as allowed */
	(void)pthread_setschedparam(sampler.thread, SCHED_FIFO, &before_others);
	return 0;
}

/* Next to nothing of the time that the program did not exist has passed for the timer; or, where
 * @passes, nearly all of it. */
static inline int sampler_check(bool passes)
{
	sampler.stop = 1;
	(void)pthread_join(sampler.thread, NULL);
	CHECK(sampler.longest_gap > 0);
	CHECK(sampler.drop_across >= 0);
	if ((sampler.drop_across > sampler.longest_gap / 2) != passes)
		return live_fail("%lld us of the remaining time passed while the program did not "
				 "exist for %lld us",
				 sampler.drop_across / 1000, sampler.longest_gap / 1000);
	return 0;
}
