/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a pipe or FIFO: taken without being consumed, and put back. */
#pragma once

#include "image/checkpoint.pb-c.h"

struct arena;
struct context;

/*
 * Copies the capacity and the unread bytes of the pipe behind @fd, a descriptor that may read.
 * Neither the pipe nor anybody waiting for it notices.
 */
int pipe_content_take(struct context *ctx, struct arena *arena, int fd,
		      Coppice__PipeContent **ret_content);
/*
 * Sets the capacity and writes the content to @fd, which may write and is non-blocking. Leaves
 * O_DIRECT of the description as the content needed it.
 */
int pipe_content_put(struct context *ctx, const Coppice__PipeContent *content, int fd);
/* Could pipe_content_put set the capacity here? 0, or -errno with a chain. */
int pipe_content_check(struct context *ctx, const Coppice__PipeContent *content);
