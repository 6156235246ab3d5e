/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/collect.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/outside.h"
#include "file/fdtable.h"
#include "kernel/proc.h"
#include "kind/task.h"
#include "ns/ns.h"
#include "task/share.h"
#include "task/witness.h"
#include "util/cleanup.h"

enum { ASPECTS_MAX = 64 };

/* A process before it has its place in the canonical order. */
struct candidate {
	const struct puppet_process *process;
	struct proc_stat stat;
	pid_t number;	    /* in the root's PID namespace */
	unsigned int depth; /* generations below the root */
	size_t parent;	    /* index by PID order; SIZE_MAX: outside the tree */
};

void collect_init(struct collect *c, struct context *ctx, struct arena *arena,
		  const struct collect_options *opt)
{
	*c = (struct collect){.ctx = ctx, .arena = arena, .opt = *opt, .hide_fd_from = INT_MAX};
}

void collect_deinit(struct collect *c)
{
	c->ahead = proc_ahead_end(c->ahead);
	files_collect_deinit(c);
	witnesses_free(c->witnesses);
	c->witnesses = NULL;
	for (size_t i = 0; i < c->n_processes; i++)
		close_guard(&c->processes[i].proc_fd);
	c->n_processes = 0;
}

/* A descriptor of /proc/TID: unlike /proc/PID it has content when only the leader is dead. */
static int open_proc(struct collect *c, const struct puppet_process *process, int *ret_fd)
{
	pid_t tid = process->n_tasks > 0 ? process->tasks[0]->tid : process->pid;
	int r = proc_open(tid, ret_fd);

	return r < 0 ? err_sys(c->ctx, r, "open(/proc/%d)", tid) : 0;
}

static int read_numbers(struct collect *c, int fd, pid_t pid, struct proc_ns_ids *ret)
{
	struct proc_status status;
	int r = proc_read_status(fd, c->arena, &status);

	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/status", pid);
	*ret = status.ns_tgid;
	return 0;
}

/*
 * The root, which comes first, sets @level, on which it has its own number. That number is kept by a
 * restore, as the one in our namespace need not be: the canonical order goes by it.
 */
static int read_candidate(struct collect *c, const struct puppet_process *process,
			  unsigned int *level, struct candidate *ret)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_ns_ids ids = {.n = 0};
	bool root = *level == 0;
	int r = open_proc(c, process, &fd);

	if (r < 0)
		return r;
	ret->process = process;
	ret->number = process->pid;
	r = proc_read_stat(fd, &ret->stat);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/stat", process->pid);
	if (*level == 1)
		return 0;
	r = read_numbers(c, fd, process->pid, &ids);
	if (root)
		*level = ids.n;
	if (r == 0 && ids.n >= *level)
		ret->number = ids.id[*level - 1];
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

/* Of a process with a single thread /proc/PID says the same, and the half of it has been read. */
static int read_only_thread(struct collect *c, struct collect_thread *t)
{
	int r = proc_read_status(t->process->proc_fd, c->arena, &t->status);

	t->stat = t->process->stat;
	return r < 0 ? err_sys(c->ctx, r, "reading /proc/%d/status", t->process->pid) : 0;
}

static int add_thread(struct collect *c, struct collect_process *p, struct puppet *puppet,
		      bool only)
{
	struct collect_thread *t = &p->threads[p->n_threads];
	int r;

	t->process = p;
	t->tid = puppet->tid;
	t->puppet = puppet;
	t->msg = arena_new(c->arena, Coppice__Thread);
	if (!t->msg)
		return err_oom(c->ctx);
	coppice__thread__init(t->msg);
	r = only ? read_only_thread(c, t) : read_thread(c, t);
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

static int add_process(struct collect *c, const struct candidate *from)
{
	struct collect_process *p = &c->processes[c->n_processes];
	int r;

	*p = (struct collect_process){.pid = from->process->pid,
				      .proc_fd = -EBADF,
				      .zombie = from->process->zombie,
				      .stat = from->stat};
	p->msg = arena_new(c->arena, Coppice__Process);
	if (!p->msg)
		return err_oom(c->ctx);
	coppice__process__init(p->msg);
	c->n_processes++;
	c->cp->processes[c->cp->n_processes++] = p->msg;
	p->msg->id = (uint32_t)c->n_processes;
	r = open_proc(c, from->process, &p->proc_fd);
	if (r < 0)
		return r;
	if (!p->zombie)
		return add_threads(c, p, from->process);
	r = proc_read_status(p->proc_fd, c->arena, &p->status);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/status", p->pid);
	close_guard(&p->proc_fd);
	p->proc_fd = -EBADF;
	return 0;
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

static int add_processes(struct collect *c, const struct puppet_tree *tree)
{
	size_t n = tree->n_processes;
	struct candidate *sorted = arena_new_n(c->arena, struct candidate, n);
	struct candidate *order;
	unsigned int level = 0;
	int r;

	if (!sorted)
		return err_oom(c->ctx);
	for (size_t i = 0; i < n; i++) {
		r = read_candidate(c, &tree->processes[i], &level, &sorted[i]);
		if (r < 0)
			return r;
	}
	qsort(sorted, n, sizeof(*sorted), by_pid);
	measure_depths(sorted, n, tree->processes[0].pid);
	order = arena_memdup(c->arena, sorted, n * sizeof(*sorted));
	c->processes = arena_new_n(c->arena, struct collect_process, n);
	c->cp->processes = arena_new_n(c->arena, Coppice__Process *, n);
	if (!order || !c->processes || !c->cp->processes)
		return err_oom(c->ctx);
	qsort(order, n, sizeof(*order), by_depth_and_pid);
	for (size_t i = 0; i < n; i++) {
		r = add_process(c, &order[i]);
		if (r < 0)
			return r;
	}
	link_parents(c, order, sorted, n);
	return 0;
}

/* ---- the registries ------------------------------------------------------------------------ */

static int while_collecting(struct collect *c, int r, const struct task_aspect *aspect,
			    const struct collect_process *p, pid_t tid)
{
	if (tid != 0 && tid != p->pid)
		return err_while(c->ctx, r, "collecting %s of thread %d of process %d (%s)",
				 aspect->name, tid, p->pid, p->stat.comm);
	return err_while(c->ctx, r, "collecting %s of process %d (%s)", aspect->name, p->pid,
			 p->stat.comm);
}

static int collect_local(struct collect *c, struct collect_process *p)
{
	for (const struct task_aspect *const *a = task_aspects; *a; a++) {
		int r = (*a)->collect ? (*a)->collect(c, p) : 0;

		if (r < 0)
			return while_collecting(c, r, *a, p, 0);
		for (size_t i = 0; (*a)->collect_thread && i < p->n_threads; i++) {
			r = (*a)->collect_thread(c, &p->threads[i]);
			if (r < 0)
				return while_collecting(c, r, *a, p, p->threads[i].tid);
		}
	}
	return 0;
}

/* How many are asked at the same time: their answers come while further ones are being asked. */
enum { AT_ONCE = 32 };

/* What one thread is asked, in one table. */
struct question {
	struct collect_thread *th;
	struct call_table table;
	uint32_t process[ASPECTS_MAX]; /* where each aspect's entries begin */
	uint32_t thread[ASPECTS_MAX];
};

struct questions {
	struct question *all; /* AT_ONCE */
	size_t n;	      /* under way */
};

/* The first thread is also asked what concerns the whole process. */
static bool speaks_for_process(const struct collect_thread *th)
{
	return th == &th->process->threads[0];
}

static void append_questions(struct collect *c, struct question *q, struct collect_thread *th)
{
	struct call_table *t = &q->table;

	for (size_t i = 0; task_aspects[i]; i++) {
		const struct task_aspect *a = task_aspects[i];

		q->process[i] = (uint32_t)t->n_calls;
		if (speaks_for_process(th) && a->ask)
			a->ask(c, th->process, t);
		q->thread[i] = (uint32_t)t->n_calls;
		if (a->ask_thread)
			a->ask_thread(c, th, t);
	}
}

static int take_replies(struct collect *c, struct question *q, struct collect_thread *th)
{
	struct call_table *t = &q->table;

	for (size_t i = 0; task_aspects[i]; i++) {
		const struct task_aspect *a = task_aspects[i];
		int r = 0;

		if (speaks_for_process(th) && a->reply)
			r = a->reply(c, th->process, t, q->process[i]);
		if (r >= 0 && a->reply_thread)
			r = a->reply_thread(c, th, t, q->thread[i]);
		if (r < 0)
			return while_collecting(c, r, a, th->process, th->tid);
	}
	return 0;
}

static int while_asking(struct collect *c, int r, const struct collect_thread *th)
{
	return err_while(c->ctx, r, "asking thread %d of process %d (%s)", th->tid,
			 th->process->pid, th->process->stat.comm);
}

/* After an error, which is the one to be told, no puppet may be left with a table. */
static int await_answers(struct collect *c, struct questions *qs, int r)
{
	struct err first = c->ctx->err;

	for (size_t i = 0; i < qs->n; i++) {
		struct question *q = &qs->all[i];
		int finished = puppet_finish(c->ctx, q->th->puppet, &q->table);

		if (r < 0)
			continue;
		r = finished < 0 ? while_asking(c, finished, q->th) : take_replies(c, q, q->th);
		if (r < 0)
			first = c->ctx->err;
	}
	qs->n = 0;
	if (r < 0)
		c->ctx->err = first;
	return r;
}

static int ask(struct collect *c, struct questions *qs, struct collect_thread *th)
{
	struct question *q = &qs->all[qs->n];
	int r;

	call_table_reset(&q->table);
	append_questions(c, q, th);
	r = puppet_start(c->ctx, th->puppet, &q->table);
	if (r < 0)
		return while_asking(c, r, th);
	q->th = th;
	qs->n++;
	return 0;
}

/* Does @p have a table that a process before it has too, and that answering might change? */
static bool shares(const struct collect_process *p)
{
	return p->mm_owner != p || p->files_owner != p || p->fs_owner != p || p->sighand_owner != p;
}

/* On return questions may be under way. */
static int ask_process(struct collect *c, struct collect_process *p, struct questions *qs)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < p->n_threads; i++) {
		if (qs->n == AT_ONCE || i > 0 || shares(p))
			r = await_answers(c, qs, r);
		if (r >= 0)
			r = ask(c, qs, &p->threads[i]);
	}
	return r;
}

static const struct proc_map *find_vdso(const struct collect_process *p)
{
	for (size_t i = p->n_maps; i-- > 0;)
		if (strcmp(p->maps[i].name, "[vdso]") == 0)
			return &p->maps[i];
	return NULL;
}

/*
 * Not before the mappings and descriptors of all have been read: from here on the processes have
 * some of ours.
 */
static void enter(struct collect *c, struct puppet_tree *tree)
{
	for (size_t i = 0; i < c->n_processes && !c->stubs; i++) {
		struct collect_process *p = &c->processes[i];
		const struct proc_map *vdso = find_vdso(p->mm_owner);

		for (size_t k = 0; k < p->n_threads; k++)
			puppet_tell(p->threads[k].puppet,
				    &(const struct puppet_facts){
					    .filtered = p->threads[k].status.seccomp != 0,
					    .own_files = p->threads[k].own_files,
					    .vdso_start = vdso ? vdso->start : 0,
					    .vdso_end = vdso ? vdso->end : 0,
				    });
	}
	puppet_tree_enter(c->ctx, tree);
}

static int ask_all(struct collect *c)
{
	struct questions qs = {.all = arena_new_n(c->arena, struct question, AT_ONCE)};
	int r = 0;

	if (!qs.all)
		return err_oom(c->ctx);
	for (size_t i = 0; i < AT_ONCE; i++)
		call_table_init(&qs.all[i].table, c->arena);
	for (size_t i = 0; r >= 0 && i < c->n_processes; i++) {
		r = cancel_point(c->ctx);
		if (r >= 0)
			r = ask_process(c, &c->processes[i], &qs);
		progress(c->ctx, "asking", i + 1, c->n_processes);
	}
	return await_answers(c, &qs, r);
}

/* ---- what is read ahead --------------------------------------------------------------------- */

/* In the order in which the aspects want it. */
static const struct proc_wanted wanted_states[] = {
	{.name = "auxv"},
	{.name = "coredump_filter"},
	{.name = "exe", .link = true},
	{.name = "smaps"},
	{.name = "cwd", .link = true},
	{.name = "root", .link = true},
	{.name = "timers"},
	{.name = "ns/cgroup", .link = true},
	{.name = "ns/ipc", .link = true},
	{.name = "ns/mnt", .link = true},
	{.name = "ns/net", .link = true},
	{.name = "ns/pid", .link = true},
	{.name = "ns/pid_for_children", .link = true},
	{.name = "ns/time", .link = true},
	{.name = "ns/time_for_children", .link = true},
	{.name = "ns/user", .link = true},
	{.name = "ns/uts", .link = true},
	{.name = "cgroup"},
	{.name = "loginuid"},
	{.name = "oom_score_adj"},
	{},
};

/* The numbers that nearly everybody has. */
static const struct proc_wanted wanted_files[] = {
	{.name = "fd/0", .link = true},
	{.name = "fdinfo/0"},
	{.name = "fd/1", .link = true},
	{.name = "fdinfo/1"},
	{.name = "fd/2", .link = true},
	{.name = "fdinfo/2"},
	{},
};

/* Without memory for it nothing is read ahead. */
static void read_ahead(struct collect *c, const struct proc_wanted *wanted)
{
	int *fds = arena_new_n(c->arena, int, c->n_processes);

	c->ahead = proc_ahead_end(c->ahead);
	for (size_t i = 0; fds && i < c->n_processes; i++)
		fds[i] = c->processes[i].proc_fd;
	if (fds)
		c->ahead = proc_ahead_start(fds, c->n_processes, wanted);
}

/* ---- the stages ----------------------------------------------------------------------------- */

static int collect_states(struct collect *c)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < c->n_processes; i++) {
		r = cancel_point(c->ctx);
		if (r >= 0)
			r = collect_local(c, &c->processes[i]);
		progress(c->ctx, "collecting", i + 1, c->n_processes);
	}
	return r;
}

static int new_checkpoint(struct collect *c)
{
	c->cp = arena_new(c->arena, Coppice__Checkpoint);
	if (!c->cp)
		return err_oom(c->ctx);
	coppice__checkpoint__init(c->cp);
	return 0;
}

static int collect_files(struct collect *c)
{
	for (size_t i = 0; i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];
		int r;

		if (p->zombie || p->files_owner != p)
			continue;
		r = files_collect(c, p);
		if (r < 0)
			return err_while(c->ctx, r, "collecting the files of process %d (%s)",
					 p->pid, p->stat.comm);
	}
	return files_collect_late(c);
}

int collect_tree(struct collect *c, struct puppet_tree *tree)
{
	int r = new_checkpoint(c);

	if (r < 0)
		return r;
	r = add_processes(c, tree);
	if (r < 0)
		return r;
	read_ahead(c, wanted_states);
	r = share_collect(c);
	if (r < 0)
		return r;
	r = collect_states(c);
	if (r < 0)
		return r;
	read_ahead(c, wanted_files);
	r = ns_collect_late(c);
	if (r < 0)
		return r;
	r = collect_files(c);
	c->ahead = proc_ahead_end(c->ahead);
	if (r < 0)
		return r;
	enter(c, tree);
	r = ask_all(c);
	return r < 0 ? r : outside_mark(c);
}
