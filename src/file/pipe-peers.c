/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else has an end of a pipe the kernel does not say. What can be seen: whether a side that
 * has no descriptor in the tree has one at all (poll, or tee, which tells an empty pipe with writers
 * from one without), and what the ancestors of the tree, from which it may have inherited its
 * pipes, have open. An end that was passed elsewhere while both sides are also in the tree is not
 * found; that would take a look at every descriptor of the machine.
 */
#include "file/pipe-peers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file/pipe-pair.h"
#include "file/state.h"
#include "util/cleanup.h"

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
	_cleanup_(pipe_pair_deinit) struct pipe_pair scratch = {{-EBADF, -EBADF}};
	short events = 0;
	int r = poll_events(ctx, fd, &events);

	if (r < 0 || (events & POLLHUP))
		return r;
	r = pipe_pair_init(ctx, &scratch);
	if (r < 0)
		return r;
	return tee(fd, scratch.fd[1], 1, SPLICE_F_NONBLOCK) != 0;
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
	if (files->n_ancestor_pipes > 1)
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

int pipe_has_outside_end(struct collect *c, const struct pipe_node *node)
{
	return node->reader && node->writer ? ancestor_has(c, node)
					    : missing_side_is_outside(c, node);
}
