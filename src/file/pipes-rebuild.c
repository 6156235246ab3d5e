/* SPDX-License-Identifier: Apache-2.0 */
#include "file/pipes.h"

#include <errno.h>

#include "file/pipe-content.h"
#include "file/state.h"
#include "util/cleanup.h"

static uint32_t pipe_number(const Coppice__File *file)
{
	switch (file->kind_case) {
	case COPPICE__FILE__KIND_PIPE:
		return file->pipe->pipe;
	case COPPICE__FILE__KIND_FIFO:
		return file->fifo->pipe;
	default:
		return 0;
	}
}

static struct rebuild_file_state *state_get(struct rebuild *r)
{
	struct rebuild_file_state *state = r->file_state;
	uint32_t n = 0;

	if (state)
		return state;
	state = arena_new(r->arena, struct rebuild_file_state);
	for (size_t i = 0; i < r->n_files; i++)
		n = MAX(n, pipe_number(r->files[i].msg));
	if (!state || n > r->n_files) /* numbers are dense in a valid image */
		return NULL;
	state->pipes = arena_new_n(r->arena, struct rebuild_pipe, n);
	if (!state->pipes)
		return NULL;
	for (uint32_t i = 0; i < n; i++)
		state->pipes[i] = (struct rebuild_pipe){.read_fd = -EBADF, .write_fd = -EBADF};
	state->n_pipes = n;
	r->file_state = state;
	return state;
}

struct rebuild_pipe *pipes_rebuild(struct rebuild *r, uint32_t number)
{
	struct rebuild_file_state *state = state_get(r);

	return state && number > 0 ? &state->pipes[number - 1] : NULL;
}

void pipes_rebuild_deinit(struct rebuild *r)
{
	struct rebuild_file_state *state = r->file_state;

	for (size_t i = 0; state && i < state->n_pipes; i++) {
		close_guard(&state->pipes[i].read_fd);
		close_guard(&state->pipes[i].write_fd);
	}
	if (state)
		state->n_pipes = 0;
}

int pipes_check(struct rebuild *r, const Coppice__PipeContent *content)
{
	int result = content ? pipe_content_check(r->ctx, content) : 0;

	if (result == -EPERM)
		return rebuild_refuse(r, "raise /proc/sys/fs/pipe-max-size",
				      "a pipe of %u bytes may not be made here", content->capacity);
	return result;
}
