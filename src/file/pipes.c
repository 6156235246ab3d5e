/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else has an end of a pipe the kernel does not say. What can be seen: whether a side that
 * has no descriptor in the tree has one at all (poll, or tee, which tells an empty pipe with writers
 * from one without), and what the ancestors of the tree, from which it may have inherited its
 * pipes, have open. An end that was passed elsewhere while both sides are also in the tree is not
 * found; that would take a look at every descriptor of the machine.
 */
#include "file/pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "file/open.h"
#include "file/pipe-content.h"
#include "file/state.h"
#include "util/cleanup.h"

struct pipe_node {
	struct chain chain; /* by (st_dev, st_ino) */
	dev_t dev;
	ino_t ino;
	uint32_t number;
	const Coppice__File *first;	 /* the end that was seen first */
	const struct file_probe *reader; /* some end that reads, one that writes; or NULL */
	const struct file_probe *writer;
};

/* ---- which ends belong together -------------------------------------------------------------- */

static uint64_t pipe_hash(dev_t dev, ino_t ino)
{
	uint64_t key[2] = {dev, ino};

	return XXH3_64bits(key, sizeof(key));
}

static struct pipe_node *find_pipe(const struct collect_files *files, const struct stat *st)
{
	struct chain *chain = chains_find(&files->pipes, pipe_hash(st->st_dev, st->st_ino));

	for (; chain; chain = chains_next(chain)) {
		struct pipe_node *node = (struct pipe_node *)chain;

		if (node->dev == st->st_dev && node->ino == st->st_ino)
			return node;
	}
	return NULL;
}

static struct pipe_node *add_pipe(struct collect *c, const struct stat *st,
				  const Coppice__File *file)
{
	struct collect_files *files = c->files;
	struct pipe_node *node = arena_new(c->arena, struct pipe_node);

	if (!node)
		return NULL;
	*node = (struct pipe_node){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.number = files->n_pipes + 1,
		.first = file,
	};
	if (chains_add(&files->pipes, pipe_hash(st->st_dev, st->st_ino), &node->chain) < 0)
		return NULL;
	files->n_pipes++;
	return node;
}

int pipes_collect(struct collect *c, const struct file_probe *probe, const Coppice__File *file,
		  uint32_t *ret_number)
{
	struct pipe_node *node = find_pipe(c->files, &probe->st);

	if (!node)
		node = add_pipe(c, &probe->st, file);
	if (!node)
		return err_oom(c->ctx);
	if (!node->reader && reads(file))
		node->reader = probe;
	if (!node->writer && writes(file))
		node->writer = probe;
	*ret_number = node->number;
	return 0;
}

/* ---- ends outside ---------------------------------------------------------------------------- */

static int poll_events(struct context *ctx, int fd, short *ret_events)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN | POLLOUT};

	if (poll(&pfd, 1, 0) < 0)
		return err_sys(ctx, -errno, "poll() of a pipe");
	*ret_events = pfd.revents;
	return 0;
}

/* 1: the pipe that @fd writes to has a reader. */
static int has_reader(struct context *ctx, int fd)
{
	short events = 0;
	int r = poll_events(ctx, fd, &events);

	return r < 0 ? r : !(events & POLLERR);
}

/*
 * 1: the pipe that @fd reads from has a writer. POLLHUP says that there is none, but not for a FIFO
 * that had none since it was opened; then it is empty, and tee() tells.
 */
static int has_writer(struct context *ctx, int fd)
{
	_cleanup_close_ int in = -EBADF;
	_cleanup_close_ int out = -EBADF;
	short events = 0;
	int scratch[2];
	int r = poll_events(ctx, fd, &events);

	if (r < 0 || (events & POLLHUP))
		return r;
	if (pipe2(scratch, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(ctx, -errno, "pipe2()");
	out = scratch[0];
	in = scratch[1];
	return tee(fd, in, 1, SPLICE_F_NONBLOCK) != 0;
}

static int missing_side_is_outside(struct collect *c, const struct pipe_node *node)
{
	const struct file_probe *known = node->reader ? node->reader : node->writer;
	_cleanup_close_ int fd = -EBADF;
	int r = file_probe_dup(c, known, &fd);

	if (r < 0)
		return r;
	return node->reader ? has_writer(c->ctx, fd) : has_reader(c->ctx, fd);
}

static int compare_ino(const void *a, const void *b)
{
	const ino_t x = *(const ino_t *)a;
	const ino_t y = *(const ino_t *)b;

	return (x > y) - (x < y);
}

/* Adds the pipes that one process has open; one that cannot be looked into has none to speak of. */
static int add_pipes_of(struct collect *c, int proc_fd)
{
	struct collect_files *files = c->files;
	int *numbers;
	size_t n;

	if (proc_read_numbers(proc_fd, "fd", c->arena, &numbers, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		char name[32];
		struct stat st;
		ino_t *slot;

		(void)snprintf(name, sizeof(name), "fd/%d", numbers[i]);
		if (fstatat(proc_fd, name, &st, 0) < 0 || !S_ISFIFO(st.st_mode))
			continue;
		slot = arena_append(c->arena, &files->ancestor_pipes, &files->n_ancestor_pipes,
				    sizeof(*slot));
		if (!slot)
			return err_oom(c->ctx);
		*slot = st.st_ino;
	}
	return 0;
}

static int read_ancestors(struct collect *c)
{
	struct collect_files *files = c->files;
	pid_t pid = c->processes[0].stat.ppid;

	while (pid > 0) {
		_cleanup_close_ int proc_fd = -EBADF;
		struct proc_stat stat;
		int r;

		if (proc_open(pid, &proc_fd) < 0 || proc_read_stat(proc_fd, &stat) < 0)
			break; /* it died, or is in an outer PID namespace */
		r = pid == getpid() ? 0 : add_pipes_of(c, proc_fd);
		if (r < 0)
			return r;
		pid = stat.ppid;
	}
	qsort(files->ancestor_pipes, files->n_ancestor_pipes, sizeof(ino_t), compare_ino);
	files->ancestors_read = true;
	return 0;
}

static int ancestor_has(struct collect *c, const struct pipe_node *node)
{
	struct collect_files *files = c->files;
	int r = files->ancestors_read ? 0 : read_ancestors(c);

	if (r < 0 || files->n_ancestor_pipes == 0)
		return r;
	return bsearch(&node->ino, files->ancestor_pipes, files->n_ancestor_pipes, sizeof(ino_t),
		       compare_ino) != NULL;
}

static int refuse_outside(struct collect *c, const struct file_probe *probe,
			  const struct pipe_node *node)
{
	const char *side = !node->reader   ? "its reading end is"
			   : !node->writer ? "its writing end is"
					   : "an end is also";

	return collect_refuse(
		c,
		"dump the process at the other end too, or start the program with its "
		"input and output from and to files",
		"%s, fd %d (%s): %s open outside the tree", collect_name(c, probe->process),
		probe->number, probe->link, side);
}

/* ---- content --------------------------------------------------------------------------------- */

/* A descriptor that reads; where the tree has none, there is none at all and we may open one. */
static int open_reader(struct collect *c, const struct pipe_node *node, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	int r = file_probe_dup(c, node->reader ? node->reader : node->writer, &fd);

	if (r < 0)
		return r;
	if (node->reader) {
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	r = open_again(fd, O_RDONLY);
	if (r < 0)
		return err_sys(c->ctx, r, "opening the other end of a pipe");
	*ret_fd = r;
	return 0;
}

int pipes_collect_late(struct collect *c, const struct file_probe *probe, const Coppice__File *file,
		       Coppice__PipeContent **ret_content)
{
	const struct pipe_node *node = find_pipe(c->files, &probe->st);
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (node->first != file)
		return 0;
	r = node->reader && node->writer ? ancestor_has(c, node) : missing_side_is_outside(c, node);
	if (r < 0)
		return r;
	if (r > 0)
		return refuse_outside(c, probe, node);
	r = open_reader(c, node, &fd);
	if (r < 0)
		return r;
	return pipe_content_take(c->ctx, c->arena, fd, ret_content);
}

/* ---- rebuild --------------------------------------------------------------------------------- */

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
