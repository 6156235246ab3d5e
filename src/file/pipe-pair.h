/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe of our own, for tee() to fill. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/context.h"

struct pipe_pair {
	int fd[2]; /* owned */
};

static inline int pipe_pair_init(struct context *ctx, struct pipe_pair *pair)
{
	if (pipe2(pair->fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(ctx, -errno, "pipe2()");
	return 0;
}

static inline void pipe_pair_deinit(struct pipe_pair *pair)
{
	close_guard(&pair->fd[0]);
	close_guard(&pair->fd[1]);
}
