/* SPDX-License-Identifier: Apache-2.0 */
/* How long each stage of a dump or a restore took. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { STAGES_MAX = 16 };

struct stage_times {
	struct {
		const char *name;
		uint64_t ns;
	} stage[STAGES_MAX];
	size_t n;
	uint64_t began_ns; /* of the stage under way */
};

static inline uint64_t stage_clock(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static inline void stage_begin(struct stage_times *times)
{
	times->began_ns = stage_clock();
}

/* Ends the stage under way, under the name @name, and begins the next. */
static inline void stage_end(struct stage_times *times, const char *name)
{
	uint64_t now = stage_clock();

	if (times->n < STAGES_MAX) {
		times->stage[times->n].name = name;
		times->stage[times->n++].ns = now - times->began_ns;
	}
	times->began_ns = now;
}
