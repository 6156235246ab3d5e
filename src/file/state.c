/* SPDX-License-Identifier: Apache-2.0 */
#include "file/state.h"

#include <errno.h>

#include "file/peek-guard.h"
#include "file/ptys.h"
#include "util/cleanup.h"
#include "util/macro.h"

struct collect_files *collect_files_get(struct collect *c)
{
	struct collect_files *files = c->files;

	if (files)
		return files;
	files = arena_new(c->arena, struct collect_files);
	if (!files)
		return NULL;
	chains_init(&files->inodes, c->arena);
	chains_init(&files->mappings, c->arena);
	chains_init(&files->buckets, c->arena);
	chains_init(&files->pipes, c->arena);
	c->files = files;
	return files;
}

void collect_files_deinit(struct collect_files *files)
{
	for (size_t i = 0; files && i < files->n_in_flight; i++)
		close_guard(&files->in_flight[i]);
	if (!files)
		return;
	files->n_in_flight = 0;
	peek_guard_stop(files->peek_guard);
	files->peek_guard = NULL;
}

static uint32_t file_pipe(const Coppice__File *file)
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

uint32_t file_inode(const Coppice__File *file)
{
	switch (file->kind_case) {
	case COPPICE__FILE__KIND_REGULAR:
		return file->regular->inode;
	case COPPICE__FILE__KIND_FIFO:
		return file->fifo->inode;
	case COPPICE__FILE__KIND_MEMFD:
		return file->memfd->inode;
	default:
		return 0;
	}
}

static struct rebuild_pipe *new_pipes(struct rebuild *r, size_t *ret_n)
{
	struct rebuild_pipe *pipes;
	size_t n = 0;

	for (size_t i = 0; i < r->n_files; i++)
		n = MAX(n, (size_t)file_pipe(r->files[i].msg));
	if (n > r->n_files) /* numbers are dense in a valid image */
		return NULL;
	pipes = arena_new_n(r->arena, struct rebuild_pipe, n);
	for (size_t i = 0; pipes && i < n; i++)
		pipes[i] = (struct rebuild_pipe){.read_fd = -EBADF, .write_fd = -EBADF};
	*ret_n = n;
	return pipes;
}

static struct rebuild_pty *new_ptys(struct rebuild *r)
{
	struct rebuild_pty *ptys = arena_new_n(r->arena, struct rebuild_pty, r->cp->n_ptys);

	for (size_t i = 0; ptys && i < r->cp->n_ptys; i++)
		ptys[i] = (struct rebuild_pty){.master = -EBADF, .slave = -EBADF};
	return ptys;
}

/* Lists in the order of the files: the last is put in first. */
static void list_files(struct rebuild *r, struct rebuild_file_state *state)
{
	for (size_t i = r->n_files; i-- > 0;) {
		uint32_t inode = file_inode(r->files[i].msg);

		if (inode == 0 || inode > r->n_inodes)
			continue;
		state->next_of_inode[i] = state->first_of_inode[inode - 1];
		state->first_of_inode[inode - 1] = (uint32_t)i + 1;
	}
}

struct rebuild_file_state *rebuild_file_state_get(struct rebuild *r)
{
	struct rebuild_file_state *state = r->file_state;

	if (state)
		return state;
	state = arena_new(r->arena, struct rebuild_file_state);
	if (!state)
		return NULL;
	state->pipes = new_pipes(r, &state->n_pipes);
	state->ptys = new_ptys(r);
	state->first_of_inode = arena_new_n(r->arena, uint32_t, r->n_inodes);
	state->next_of_inode = arena_new_n(r->arena, uint32_t, r->n_files);
	state->stand_ins = arena_new_n(r->arena, pid_t, r->n_files);
	if (!state->pipes || !state->ptys || !state->first_of_inode || !state->next_of_inode ||
	    !state->stand_ins)
		return NULL;
	list_files(r, state);
	r->file_state = state;
	return state;
}
