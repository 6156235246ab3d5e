/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at the descriptors of the running tree: a name with a slip of the pen should stop nothing. What
 * is decided here may change until the tree is stopped; the collection looks again. Processes that
 * joined a container from outside are no descendants of its init and are not seen here, so that in
 * this case nothing is decided.
 */
#include "checkpoint/externals.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "checkpoint/dump.h"
#include "file/external.h"
#include "kernel/proc.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"

struct search {
	const struct dump_options *opt;
	struct arena arena;
	bool *found; /* [n_external] */
	pid_t *todo;
	size_t n_todo;
	bool container; /* the root is init of a PID namespace */
};

static void look_at(struct search *s, int proc_fd, int number)
{
	struct proc_fdinfo info = {};
	char name[32];
	struct stat st;

	(void)snprintf(name, sizeof(name), "fd/%d", number);
	if (fstatat(proc_fd, name, &st, 0) < 0 ||
	    proc_read_fdinfo(&(struct proc_dir){.fd = proc_fd}, number, &s->arena, &info) < 0)
		return; /* closed by now */
	for (size_t i = 0; i < s->opt->n_external; i++)
		if (resource_names(&s->opt->external[i], &st, info.mnt_id))
			s->found[i] = true;
}

/* A process that ends meanwhile has nothing. */
static int look_into(struct search *s, pid_t pid)
{
	_cleanup_close_ int proc_fd = -EBADF;
	struct proc_status status;
	int *numbers, *tids;
	pid_t *children;
	size_t n;

	if (proc_open(pid, &proc_fd) < 0)
		return 0;
	if (pid == s->opt->root && proc_read_status(proc_fd, &s->arena, &status) == 0)
		s->container = status.ns_tgid.id[status.ns_tgid.n - 1] == 1;
	if (proc_read_numbers(proc_fd, "fd", &s->arena, &numbers, &n) == 0)
		for (size_t i = 0; i < n; i++)
			look_at(s, proc_fd, numbers[i]);
	if (proc_read_numbers(proc_fd, "task", &s->arena, &tids, &n) < 0)
		return 0;
	for (size_t t = 0; t < n; t++) {
		size_t n_children;

		if (proc_read_task_children(proc_fd, tids[t], &s->arena, &children, &n_children) <
		    0)
			continue;
		for (size_t i = 0; i < n_children; i++) {
			pid_t *slot = arena_append(&s->arena, &s->todo, &s->n_todo, sizeof(*slot));

			if (!slot)
				return -ENOMEM;
			*slot = children[i];
		}
	}
	return 0;
}

static int find_all(struct context *ctx, struct search *s)
{
	pid_t *root = arena_append(&s->arena, &s->todo, &s->n_todo, sizeof(*root));

	s->found = arena_new_n(&s->arena, bool, s->opt->n_external);
	if (!root || !s->found)
		return err_oom(ctx);
	*root = s->opt->root;
	for (size_t i = 0; i < s->n_todo; i++)
		if (look_into(s, s->todo[i]) < 0)
			return err_oom(ctx);
	for (size_t i = 0; !s->container && i < s->opt->n_external; i++) {
		char text[RESOURCE_TEXT];
		int r;

		if (s->found[i])
			continue;
		resource_format(&s->opt->external[i], text);
		r = err_msg(ctx, -ENOENT, "--external %s: no process of the tree has it open",
			    text);
		return err_hint(ctx, r, "'ls -l /proc/%d/fd' shows what that process has open",
				s->opt->root);
	}
	return 0;
}

int externals_find(struct context *ctx, const struct dump_options *opt)
{
	struct search s = {.opt = opt};
	int r;

	if (opt->n_external == 0)
		return 0;
	arena_init(&s.arena, ctx);
	r = find_all(ctx, &s);
	arena_deinit(&s.arena);
	return r;
}
