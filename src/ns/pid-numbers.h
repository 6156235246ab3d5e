/* SPDX-License-Identifier: Apache-2.0 */
/* The next number and the highest of a PID namespace, by way of a process that lives in it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "puppet/puppet.h"
#include "util/arena.h"

struct pid_numbers {
	int32_t last_pid; /* the next process gets the first free one above it */
	int32_t pid_max;
	bool own_pid_max; /* as opposed to one for the whole machine */
	bool own_memfd_noexec; /* vm.memfd_noexec is not as in a new namespace below the coordinator's, */
	int32_t memfd_noexec; /* but this */
};

/* 0 or -errno with a chain. */
int pid_numbers_read(struct context *ctx, struct arena *arena, struct puppet *init,
		     struct pid_numbers *ret);
/* vm.memfd_noexec, which can only be raised (pid_mfd_noexec_dointvec_minmax()). */
int pid_numbers_write_noexec(struct context *ctx, struct arena *arena, struct puppet *init,
			     uint32_t want);
/* A @want_max of 0: leave as it is. */
int pid_numbers_write(struct context *ctx, struct arena *arena, struct puppet *init,
		      int32_t want_max, int32_t want_last);
