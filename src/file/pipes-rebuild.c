/* SPDX-License-Identifier: Apache-2.0 */
#include "file/pipes.h"

#include <errno.h>
#include <unistd.h>

#include "file/pipe-content.h"
#include "file/state.h"
#include "util/cleanup.h"

struct rebuild_pipe *pipes_rebuild(struct rebuild *r, uint32_t number)
{
	struct rebuild_file_state *state = rebuild_file_state_get(r);

	return state && number > 0 ? &state->pipes[number - 1] : NULL;
}

size_t pipes_count(struct rebuild *r)
{
	const struct rebuild_file_state *state = rebuild_file_state_get(r);

	return state ? state->n_pipes : 0;
}

void pipes_rebuild_deinit(struct rebuild *r)
{
	struct rebuild_file_state *state = r->file_state;

	for (size_t i = 0; state && i < state->n_pipes; i++) {
		if (!state->pipes[i].read_given)
			close_guard(&state->pipes[i].read_fd);
		if (!state->pipes[i].write_given)
			close_guard(&state->pipes[i].write_fd);
	}
	if (state)
		state->n_pipes = 0;
}

int pipes_rouse(struct rebuild *r, uint32_t number, bool on)
{
	const struct rebuild_pipe *pipe = pipes_rebuild(r, number);
	char byte = 0;
	ssize_t n;

	if (!pipe)
		return err_oom(r->ctx);
	/* a FIFO has one that does both */
	n = on ? write(pipe->write_fd, &byte, 1)
	       : read(pipe->read_fd >= 0 ? pipe->read_fd : pipe->write_fd, &byte, 1);
	return n < 0 ? err_sys(r->ctx, -errno, "rousing a pipe") : 0;
}

int pipes_check(struct rebuild *r, const Coppice__PipeContent *content)
{
	int result = content ? pipe_content_check(r->ctx, content) : 0;

	if (result == -EPERM)
		return rebuild_refuse(r, "raise /proc/sys/fs/pipe-max-size",
				      "a pipe of %u bytes may not be made here", content->capacity);
	return result;
}
