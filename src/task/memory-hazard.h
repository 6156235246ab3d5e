/* SPDX-License-Identifier: Apache-2.0 */
/* May a process write its own pages? See memory-hazard.c. */
#pragma once

#include "kind/collect.h"

/*
 * 1: something could bite, and *@ret_why says what, for the log; 0: nothing that is known; or
 * -errno. @bytes is how much it would write.
 */
int memory_hazard(struct collect *c, const struct collect_process *p, uint64_t bytes,
		  const char **ret_why);
