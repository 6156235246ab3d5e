/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which processes and threads there are, what /proc/PID/stat and status say of each, and the order in
 * which they are numbered: parents before children, level by level.
 */
#include <errno.h>
#include <stdlib.h>

#include "checkpoint/collect-steps.h"
#include "kernel/proc-ahead.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

/* A process before it has its place in the canonical order. */
struct candidate {
	const struct puppet_process *process;
	size_t place; /* among the processes of the tree as it was seized */
	struct proc_stat stat;
	struct proc_status *status; /* of the first living thread */
	pid_t number;		    /* in the root's PID namespace */
	unsigned int depth;	    /* generations below the root */
	size_t parent;		    /* index by PID order; SIZE_MAX: outside the tree */
};

/* A descriptor of /proc/TID: unlike /proc/PID it has content when only the leader is dead. */
static int open_proc(struct collect *c, const struct puppet_process *process, int *ret_fd)
{
	pid_t tid = process->n_tasks > 0 ? process->tasks[0]->tid : process->pid;
	int r = proc_open(tid, ret_fd);

	return r < 0 ? err_sys(c->ctx, r, "open(/proc/%d)", tid) : 0;
}

/* The directories of all, in the order of the tree; those that no process has taken are closed. */
struct proc_dirs {
	int *fds;
	size_t n;
};

static void proc_dirs_close(struct proc_dirs *dirs)
{
	for (size_t i = 0; i < dirs->n; i++)
		close_guard(&dirs->fds[i]);
}

static int open_dirs(struct collect *c, const struct puppet_tree *tree, struct proc_dirs *dirs)
{
	dirs->fds = arena_new_n(c->arena, int, tree->n_processes);
	if (!dirs->fds)
		return err_oom(c->ctx);
	for (size_t i = 0; i < tree->n_processes; i++) {
		int r = open_proc(c, &tree->processes[i], &dirs->fds[i]);

		if (r < 0)
			return r;
		dirs->n++;
	}
	return 0;
}

static int read_stat(struct collect *c, const struct proc_dir *dir, pid_t pid,
		     struct proc_stat *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = proc_dir_read(dir, "stat", &text, NULL);

	if (r == 0)
		r = parse_stat(text, ret);
	return r < 0 ? err_sys(c->ctx, r, "reading /proc/%d/stat", pid) : 0;
}

static int read_status(struct collect *c, const struct proc_dir *dir, pid_t pid,
		       struct proc_status **ret)
{
	struct proc_status *status = arena_new(c->arena, struct proc_status);
	_cleanup_free_ char *text = NULL;
	int r;

	if (!status)
		return err_oom(c->ctx);
	r = proc_dir_read(dir, "status", &text, NULL);
	if (r == 0)
		r = parse_status(text, c->arena, status);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/status", pid);
	*ret = status;
	return 0;
}

/*
 * The root, which comes first, sets @level, on which it has its own number. That number is kept by a
 * restore, as the one in our namespace need not be: the canonical order goes by it.
 */
static int read_candidate(struct collect *c, const struct proc_dir *dir,
			  const struct puppet_process *process, unsigned int *level,
			  struct candidate *ret)
{
	const struct proc_ns_ids *ids;
	int r = read_stat(c, dir, process->pid, &ret->stat);

	if (r == 0)
		r = read_status(c, dir, process->pid, &ret->status);
	if (r < 0)
		return r;
	ids = &ret->status->ns_tgid;
	if (*level == 0)
		*level = ids->n;
	ret->process = process;
	ret->place = dir->place;
	ret->number = ids->n >= *level && *level > 0 ? ids->id[*level - 1] : process->pid;
	return 0;
}

/* In the order of the tree. */
static int read_candidates(struct collect *c, const struct puppet_tree *tree,
			   const struct proc_dirs *dirs, struct candidate *ret)
{
	static const struct proc_wanted wanted[] = {{.name = "stat"}, {.name = "status"}, {}};
	unsigned int level = 0;
	int r = 0;

	c->ahead = proc_ahead_start(dirs->fds, dirs->n, wanted);
	for (size_t i = 0; r == 0 && i < dirs->n; i++) {
		const struct proc_dir dir = {.fd = dirs->fds[i], .ahead = c->ahead, .place = i};

		r = read_candidate(c, &dir, &tree->processes[i], &level, &ret[i]);
	}
	c->ahead = proc_ahead_end(c->ahead);
	return r;
}

static int by_pid(const void *a, const void *b)
{
	const struct candidate *x = a;
	const struct candidate *y = b;

	return (x->process->pid > y->process->pid) - (x->process->pid < y->process->pid);
}

static int by_depth_and_pid(const void *a, const void *b)
{
	const struct candidate *x = a;
	const struct candidate *y = b;

	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

static size_t find_pid(const struct candidate *sorted, size_t n, pid_t pid)
{
	const struct puppet_process key_process = {.pid = pid};
	const struct candidate key = {.process = &key_process};
	const struct candidate *found = bsearch(&key, sorted, n, sizeof(*sorted), by_pid);

	return found ? (size_t)(found - sorted) : SIZE_MAX;
}

/* Every chain of parents ends at the root or outside, so that depths are finite and quickly found. */
static void measure_depths(struct candidate *sorted, size_t n, pid_t root)
{
	for (size_t i = 0; i < n; i++)
		sorted[i].parent = sorted[i].process->pid == root
					   ? SIZE_MAX
					   : find_pid(sorted, n, sorted[i].stat.ppid);
	for (size_t i = 0; i < n; i++) {
		unsigned int depth = 0;
		size_t top = i;

		for (; sorted[top].parent != SIZE_MAX && depth < n; top = sorted[top].parent)
			depth++;
		/* Those that joined from outside come after all generations of the root's own. */
		sorted[i].depth = depth + (sorted[top].process->pid == root ? 0 : (unsigned int)n);
	}
}

static int read_thread(struct collect *c, struct collect_thread *t)
{
	_cleanup_close_ int fd = -EBADF;
	pid_t pid = t->process->pid;
	int r;

	r = proc_open_task(t->process->proc_fd, t->tid, &fd);
	if (r < 0)
		return err_sys(c->ctx, r, "open(/proc/%d/task/%d)", pid, t->tid);
	r = proc_read_stat(fd, &t->stat);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/task/%d/stat", pid, t->tid);
	r = proc_read_status(fd, c->arena, &t->status);
	return r < 0 ? err_sys(c->ctx, r, "reading /proc/%d/task/%d/status", pid, t->tid) : 0;
}

static int add_thread(struct collect *c, struct collect_process *p, struct puppet *puppet,
		      bool only)
{
	struct collect_thread *t = &p->threads[p->n_threads];
	int r = 0;

	t->process = p;
	t->tid = puppet->tid;
	t->puppet = puppet;
	t->msg = arena_new(c->arena, Coppice__Thread);
	if (!t->msg)
		return err_oom(c->ctx);
	coppice__thread__init(t->msg);
	/* Of a process with a single thread /proc/PID says the same, and has been read. */
	t->stat = p->stat;
	t->status = p->status;
	if (!only)
		r = read_thread(c, t);
	if (r < 0)
		return r;
	p->threads[p->n_threads++] = *t;
	p->msg->threads[p->msg->n_threads++] = t->msg;
	return 0;
}

static int add_threads(struct collect *c, struct collect_process *p,
		       const struct puppet_process *held)
{
	p->threads = arena_new_n(c->arena, struct collect_thread, held->n_tasks);
	p->msg->threads = arena_new_n(c->arena, Coppice__Thread *, held->n_tasks);
	if (!p->threads || !p->msg->threads)
		return err_oom(c->ctx);
	for (size_t i = 0; i < held->n_tasks; i++) {
		bool only = held->n_tasks == 1 && held->tasks[0]->tid == held->pid;
		int r = add_thread(c, p, held->tasks[i], only);

		if (r < 0)
			return r;
	}
	p->puppet = p->threads[0].puppet;
	p->status = p->threads[0].status;
	return 0;
}

/* Takes *@fd. */
static int add_process(struct collect *c, const struct candidate *from, int *fd)
{
	struct collect_process *p = &c->processes[c->n_processes];

	*p = (struct collect_process){.pid = from->process->pid,
				      .proc_fd = -EBADF,
				      .zombie = from->process->zombie,
				      .stat = from->stat,
				      .status = *from->status};
	p->msg = arena_new(c->arena, Coppice__Process);
	if (!p->msg)
		return err_oom(c->ctx);
	coppice__process__init(p->msg);
	c->n_processes++;
	c->cp->processes[c->cp->n_processes++] = p->msg;
	p->msg->id = (uint32_t)c->n_processes;
	if (p->zombie)
		return 0;
	p->proc_fd = TAKE_FD(*fd);
	return add_threads(c, p, from->process);
}

/* Parents are before their children in the canonical order, so each finds its own in what stands. */
static void link_parents(struct collect *c, const struct candidate *order,
			 const struct candidate *sorted, size_t n)
{
	_cleanup_free_ size_t *place = calloc(n, sizeof(*place));

	for (size_t i = 0; place && i < n; i++)
		place[find_pid(sorted, n, order[i].process->pid)] = i;
	for (size_t i = 0; i < n; i++) {
		struct collect_process *p = &c->processes[i];

		if (order[i].parent == SIZE_MAX)
			continue;
		/* @place is only a speed-up; without memory for it the parent is looked for. */
		for (size_t k = place ? place[order[i].parent] : 0; k < i; k++)
			if (c->processes[k].pid == order[i].stat.ppid) {
				p->parent = &c->processes[k];
				p->msg->parent = p->parent->msg->id;
				break;
			}
	}
}

int collect_processes(struct collect *c, const struct puppet_tree *tree)
{
	size_t n = tree->n_processes;
	struct candidate *sorted = arena_new_n(c->arena, struct candidate, n);
	_cleanup_(proc_dirs_close) struct proc_dirs dirs = {};
	struct candidate *order;
	int r;

	if (!sorted)
		return err_oom(c->ctx);
	r = open_dirs(c, tree, &dirs);
	if (r == 0)
		r = read_candidates(c, tree, &dirs, sorted);
	if (r < 0)
		return r;
	qsort(sorted, n, sizeof(*sorted), by_pid);
	measure_depths(sorted, n, tree->processes[0].pid);
	order = arena_memdup(c->arena, sorted, n * sizeof(*sorted));
	c->processes = arena_new_n(c->arena, struct collect_process, n);
	c->cp->processes = arena_new_n(c->arena, Coppice__Process *, n);
	if (!order || !c->processes || !c->cp->processes)
		return err_oom(c->ctx);
	qsort(order, n, sizeof(*order), by_depth_and_pid);
	for (size_t i = 0; i < n; i++) {
		r = add_process(c, &order[i], &dirs.fds[order[i].place]);
		if (r < 0)
			return r;
	}
	link_parents(c, order, sorted, n);
	return 0;
}
