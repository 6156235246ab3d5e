/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seizing and releasing whole trees.
 *
 * The tree may fork and clone while it is being seized. Each process is attached, waited for, and
 * scanned for further tasks and children once it is stopped; the kernel attaches what is born
 * meanwhile. A process whose parents died meanwhile and that has been adopted from outside belongs
 * to the tree no more, and is let go.
 */
#include "puppet/seize.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "kernel/proc.h"
#include "puppet/attach.h"
#include "puppet/boot.h"
#include "puppet/borrow.h"
#include "puppet/deaths.h"
#include "puppet/freezer.h"
#include "puppet/trace.h"
#include "puppet/transport.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/macro.h"

enum { LET_GO_MS = 200 };

/* Room for one more element of a vector. */
static bool grow(void *vec, size_t n, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 8;
	void **at = vec;
	void *p;

	if (n < *room)
		return true;
	p = realloc(*at, more * size);
	if (!p)
		return false;
	*at = p;
	*room = more;
	return true;
}

int seizure_announce(struct seizure *s, pid_t child)
{
	if (!grow(&s->announced, s->n_announced, &s->announced_room, sizeof(child)))
		return err_oom(s->ctx);
	s->announced[s->n_announced++] = child;
	return 0;
}

static size_t hash(const struct seizure *s, pid_t pid)
{
	return (uint32_t)pid * 2654435761u & (s->index_size - 1);
}

/* The place of @pid in the index, or the free one where it would be. */
static uint32_t *index_place(struct seizure *s, pid_t pid)
{
	size_t i = hash(s, pid);

	while (s->index[i] != 0 && s->processes[s->index[i] - 1].pid != pid)
		i = (i + 1) & (s->index_size - 1);
	return &s->index[i];
}

static bool index_grow(struct seizure *s)
{
	size_t size = s->index_size ? s->index_size * 2 : 64;
	uint32_t *index;

	if (s->n_processes * 2 < s->index_size)
		return true;
	index = calloc(size, sizeof(*index));
	if (!index)
		return false;
	free(s->index);
	s->index = index;
	s->index_size = size;
	for (size_t i = 0; i < s->n_processes; i++)
		*index_place(s, s->processes[i].pid) = (uint32_t)i + 1;
	return true;
}

struct seized *seizure_find(struct seizure *s, pid_t pid)
{
	uint32_t place = s->index_size ? *index_place(s, pid) : 0;

	return place ? &s->processes[place - 1] : NULL;
}

int seizure_add(struct seizure *s, pid_t pid, struct seized **ret)
{
	struct seized *process = seizure_find(s, pid);

	if (!process) {
		if (!grow(&s->processes, s->n_processes, &s->room, sizeof(*process)) ||
		    !index_grow(s))
			return err_oom(s->ctx);
		process = &s->processes[s->n_processes++];
		*process = (struct seized){.pid = pid};
		*index_place(s, pid) = (uint32_t)s->n_processes;
	}
	if (ret)
		*ret = process;
	return 0;
}

static struct puppet *find_task(const struct seized *process, pid_t tid)
{
	for (size_t i = process->n_tasks; i-- > 0;)
		if (process->tasks[i]->tid == tid && process->tasks[i]->state != PUPPET_GONE)
			return process->tasks[i];
	return NULL;
}

/* A dead leader is there as long as its threads, and a dead tracee until it is waited for. */
static bool is_known_dead(const struct seized *process, pid_t tid)
{
	for (size_t i = 0; i < process->n_tasks; i++)
		if (process->tasks[i]->tid == tid && process->tasks[i]->state == PUPPET_GONE)
			return true;
	return false;
}

static int add_task(struct seizure *s, struct seized *process, pid_t tid)
{
	struct puppet *p;
	int r;

	if (find_task(process, tid))
		return 0;
	if (!grow(&process->tasks, process->n_tasks, &process->room, sizeof(p)))
		return err_oom(s->ctx);
	r = attach(s->ctx, process->pid, tid, &p);
	if (r < 0)
		return r;
	if (r > 0 && is_known_dead(process, tid)) {
		puppet_free(p);
		return 0;
	}
	process->tasks[process->n_tasks++] = p;
	if (r > 0)
		s->died = true;
	else
		process->scanned = false;
	return 0;
}

static int scan_children(struct seizure *s, size_t index, int proc_fd, pid_t tid)
{
	pid_t *children;
	size_t n;
	int r;

	r = proc_read_task_children(proc_fd, tid, &s->scratch, &children, &n);
	if (r == -ESRCH)
		return 0;
	if (r < 0)
		return err_sys(s->ctx, r, "/proc/%d/task/%d/children", s->processes[index].pid,
			       tid);
	s->processes[index].has_children |= n > 0;
	for (size_t i = 0; i < n; i++) {
		r = seizure_add(s, children[i], NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

static size_t living(const struct seized *process)
{
	size_t n = 0;

	for (size_t i = 0; i < process->n_tasks; i++)
		n += process->tasks[i]->state != PUPPET_GONE;
	return n;
}

static int scan_tasks(struct seizure *s, size_t index, int proc_fd)
{
	int *tids;
	size_t n;
	int r;

	r = proc_read_numbers(proc_fd, "task", &s->scratch, &tids, &n);
	if (r == -ESRCH)
		return 0;
	if (r < 0)
		return err_sys(s->ctx, r, "/proc/%d/task", s->processes[index].pid);
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_task(s, &s->processes[index], tids[i]);
	return r;
}

/*
 * Looks for tasks and children of a process. If all its tasks are stopped, and no new one is found,
 * the process is scanned: it makes no more of either.
 */
static int scan_process(struct seizure *s, size_t index)
{
	_cleanup_close_ int fd = -EBADF;
	struct proc_stat stat;
	int r;

	s->processes[index].scanned = true;
	/* A new process: the leader first, unseen; it is looked at, and its threads, once that is
	 * stopped. */
	if (!s->processes[index].tried) {
		s->processes[index].tried = true;
		r = add_task(s, &s->processes[index], s->processes[index].pid);
		if (r < 0 || s->processes[index].n_tasks > 0)
			return r;
	}
	r = proc_open(s->processes[index].pid, &fd);
	if (r == 0)
		r = proc_read_stat(fd, &stat);
	if (r == -ESRCH)
		return 0;
	if (r < 0)
		return err_sys(s->ctx, r, "/proc/%d/stat", s->processes[index].pid);
	s->processes[index].ppid = stat.ppid;
	s->processes[index].zombie = stat.state == 'Z' && stat.num_threads <= 1;
	if (s->processes[index].zombie)
		return 0;
	if (s->processes[index].n_tasks == 0 && stat.state != 'Z')
		return add_task(s, &s->processes[index], stat.pid);
	if (stat.num_threads != living(&s->processes[index]))
		r = scan_tasks(s, index, fd);
	/* The vector of processes moves when a child is added. */
	for (size_t i = 0; i < s->processes[index].n_tasks && r == 0; i++)
		if (s->processes[index].tasks[i]->state != PUPPET_GONE)
			r = scan_children(s, index, fd, s->processes[index].tasks[i]->tid);
	return r;
}

/* Tasks that the kernel attached for us: their stops are ours to wait for. */
int seizure_take_announced(struct seizure *s)
{
	while (s->n_announced > 0) {
		pid_t tid = s->announced[--s->n_announced];
		_cleanup_close_ int fd = -EBADF;
		struct proc_status status;
		struct seized *process;
		int r;

		r = proc_open(tid, &fd);
		if (r == 0)
			r = proc_read_status(fd, &s->scratch, &status);
		if (r == -ESRCH)
			continue;
		if (r < 0)
			return err_sys(s->ctx, r, "/proc/%d/status", tid);
		r = seizure_add(s, status.tgid, &process);
		if (r < 0)
			return r;
		process->ppid = status.ppid;
		r = add_task(s, process, tid);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Scans what has not been scanned, until there is no such process. */
static int scan_all(struct seizure *s)
{
	bool again = true;
	int r = 0;

	while (again && r == 0) {
		again = false;
		r = seizure_take_announced(s);
		for (size_t i = 0; i < s->n_processes && r == 0; i++) {
			if (s->processes[i].scanned)
				continue;
			again = true;
			r = scan_process(s, i);
		}
		arena_deinit(&s->scratch);
		arena_init(&s->scratch, s->ctx);
		if (r == 0)
			r = seizure_await(s);
		if (r == 0)
			r = cancel_point(s->ctx);
		again |= s->n_announced > 0;
	}
	return r;
}

/*
 * A process that died unseen may have left children to an ancestor that was scanned before
 * (a subreaper): these are looked at again, until nothing has died in between.
 */
static int scan_tree(struct seizure *s)
{
	size_t before;
	int r;

	r = scan_all(s);
	do {
		before = s->n_processes;
		s->died = false;
		for (size_t i = 0; i < s->n_processes; i++)
			if (s->processes[i].has_children || living(&s->processes[i]) == 0)
				s->processes[i].scanned = false;
		if (r == 0)
			r = scan_all(s);
	} while (r == 0 && (s->died || s->n_processes != before));
	return r;
}

/* With all that came in from outside, until no more has while the others were being stopped. */
static int scan_with_strangers(struct seizure *s)
{
	size_t n = 1;
	int r = 0;

	while (r == 0 && n > 0) {
		r = scan_tree(s);
		if (r == 0)
			r = seizure_add_strangers(s, &n);
	}
	return r;
}

static int by_tid(const void *a, const void *b)
{
	const struct puppet *x = *(struct puppet *const *)a, *y = *(struct puppet *const *)b;

	/* The leader has the thread group's number. */
	if ((x->tid == x->tgid) != (y->tid == y->tgid))
		return x->tid == x->tgid ? -1 : 1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/*
 * And workers of io_uring: until all tasks are stopped they are held like these, since they count as
 * the process's threads. Then they go on, so that what they are at can come to its end.
 */
static void drop_dead_tasks(struct seized *process)
{
	size_t n = 0;

	for (size_t i = 0; i < process->n_tasks; i++) {
		struct puppet *p = process->tasks[i];

		if (p->state == PUPPET_GONE || p->worker) {
			detach(p);
			puppet_free(p);
		} else {
			process->tasks[n++] = p;
		}
	}
	process->n_tasks = n;
	if (n > 1)
		qsort(process->tasks, n, sizeof(*process->tasks), by_tid);
}

/* What has not stopped is announced once more: as a task that is to be let go. */
static void let_go(struct seizure *s, struct seized *process)
{
	for (size_t i = 0; i < process->n_tasks; i++) {
		struct puppet *p = process->tasks[i];

		if (p->state != PUPPET_NONE)
			detach(p);
		else if (seizure_announce(s, p->tid) < 0)
			err_clear(s->ctx); /* it is let go when the coordinator ends */
		puppet_free(p);
	}
	free(process->tasks);
	process->tasks = NULL;
	process->n_tasks = 0;
}

/*
 * Lets go what the kernel holds for us and has not come to its stop: soon, or never (in vfork, or
 * frozen), then the end of the coordinator lets it go.
 */
static void let_go_announced(struct seizure *s)
{
	for (int ms = 0; s->n_announced > 0 && ms < LET_GO_MS; ms++) {
		for (size_t i = s->n_announced; i-- > 0;) {
			pid_t child;

			if (detach_unstopped(s->announced[i], &child) == 0)
				continue;
			s->announced[i] = child != 0 ? child : s->announced[--s->n_announced];
		}
		if (s->n_announced > 0)
			trace_doze(1);
	}
}

static void seizure_deinit(struct seizure *s)
{
	struct err first = s->ctx->err;

	for (size_t i = 0; i < s->n_processes; i++)
		let_go(s, &s->processes[i]);
	let_go_announced(s);
	freezer_freeze_again(s->ctx, &s->thawed, &s->n_thawed);
	s->ctx->err = first;
	free(s->processes);
	free(s->announced);
	free(s->index);
	arena_deinit(&s->scratch);
}

static int tree_add(struct seizure *s, struct seized *process, struct puppet_tree *tree)
{
	struct puppet_process *to = &tree->processes[tree->n_processes];

	*to = (struct puppet_process){
		.pid = process->pid,
		.parent = process->ppid,
		.zombie = process->zombie,
		.tasks = process->tasks,
		.n_tasks = process->n_tasks,
	};
	if (process->n_tasks > 0) {
		to->area = calloc(1, sizeof(*to->area));
		if (!to->area)
			return err_oom(s->ctx);
		to->area->tasks = to->tasks;
		to->area->n_tasks = to->n_tasks;
		to->area->code_mem = -EBADF;
		to->area->socket = -EBADF;
		to->area->far_socket = -EBADF;
		to->area->lent = -EBADF;
	}
	for (size_t i = 0; i < to->n_tasks; i++)
		to->tasks[i]->area = to->area;
	process->tasks = NULL;
	process->n_tasks = 0;
	process->placed = true;
	tree->n_processes++;
	return 0;
}

static int by_parent(const void *a, const void *b)
{
	const struct seized *x = a, *y = b;

	if (x->ppid != y->ppid)
		return x->ppid < y->ppid ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* The first in s->processes, ordered by parent, whose parent is @pid. */
static size_t first_child(const struct seizure *s, pid_t pid)
{
	size_t low = 0, high = s->n_processes;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->processes[middle].ppid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_there(const struct seized *process)
{
	return process->n_tasks > 0 || process->zombie;
}

/* Moves into the tree what descends from what is there from index @from on, level by level,
 * siblings by PID. */
static int add_descendants(struct seizure *s, struct puppet_tree *tree, size_t from)
{
	int r = 0;

	for (size_t i = from; i < tree->n_processes && r == 0; i++) {
		pid_t pid = tree->processes[i].pid;

		for (size_t k = first_child(s, pid);
		     k < s->n_processes && s->processes[k].ppid == pid && r == 0; k++)
			if (is_there(&s->processes[k]) && !s->processes[k].placed)
				r = tree_add(s, &s->processes[k], tree);
	}
	return r;
}

static int build_tree(struct seizure *s, pid_t root, struct puppet_tree *tree)
{
	int r = 0;

	for (size_t i = 0; i < s->n_processes; i++)
		drop_dead_tasks(&s->processes[i]);
	qsort(s->processes, s->n_processes, sizeof(*s->processes), by_parent);
	tree->processes = calloc(s->n_processes, sizeof(*tree->processes));
	if (!tree->processes)
		return err_oom(s->ctx);
	for (size_t i = 0; i < s->n_processes && tree->n_processes == 0 && r == 0; i++)
		if (s->processes[i].pid == root)
			r = tree_add(s, &s->processes[i], tree);
	if (r == 0)
		r = add_descendants(s, tree, 0);
	for (size_t i = 0; i < s->n_processes && r == 0; i++) {
		size_t before = tree->n_processes;
		struct seized *process = &s->processes[i];

		if (!process->stranger || process->placed || !is_there(process))
			continue;
		r = tree_add(s, process, tree);
		if (r == 0)
			r = add_descendants(s, tree, before);
	}
	return r;
}

static void area_free(struct puppet_area *area)
{
	if (area && area->socket >= 0)
		(void)close(area->socket); /* nothing is in flight any more */
	if (area)
		puppet_code_written(area); /* its task died on the way */
	free(area);
}

static void tree_deinit(struct puppet_tree *tree)
{
	for (size_t i = 0; i < tree->n_processes; i++) {
		struct puppet_process *process = &tree->processes[i];

		for (size_t k = 0; k < process->n_tasks; k++)
			puppet_free(process->tasks[k]);
		free(process->tasks);
		area_free(process->area);
	}
	free(tree->processes);
	*tree = (struct puppet_tree){};
}

int puppet_tree_seize(struct context *ctx, pid_t root, struct puppet_tree *ret_tree)
{
	_cleanup_(seizure_deinit) struct seizure s = {.ctx = ctx, .root = root};
	struct puppet_tree tree = {};
	struct seized *process;
	int r;

	arena_init(&s.scratch, ctx);
	r = seizure_add(&s, root, NULL);
	if (r == 0)
		r = scan_with_strangers(&s);
	if (r == 0)
		r = freezer_thaw(&s);
	process = r == 0 ? seizure_find(&s, root) : NULL;
	if (process && process->n_tasks == 0 && !process->zombie)
		r = err_msg(ctx, -ESRCH, "there is no process %d", root);
	if (r == 0)
		r = build_tree(&s, root, &tree);
	if (r < 0) {
		if (tree.processes)
			(void)puppet_tree_release(ctx, &tree,
						  FATE_RUN); /* r is the error to tell */
		return err_while(ctx, r, "seizing process %d and its descendants", root);
	}
	tree.thawed = s.thawed;
	tree.n_thawed = s.n_thawed;
	s.thawed = NULL;
	s.n_thawed = 0;
	*ret_tree = tree;
	return 0;
}

/* The first tasks that are in @state, of processes that have any; *@ret_n of them, to be freed. */
static struct puppet **first_tasks(struct puppet_tree *tree, enum puppet_state state, size_t *ret_n)
{
	struct puppet **tasks = calloc(tree->n_processes, sizeof(struct puppet *));

	*ret_n = 0;
	for (size_t i = 0; tasks && i < tree->n_processes; i++)
		if (tree->processes[i].n_tasks > 0 && tree->processes[i].tasks[0]->state == state)
			tasks[(*ret_n)++] = tree->processes[i].tasks[0];
	return tasks;
}

void puppet_tree_enter(struct context *ctx, struct puppet_tree *tree)
{
	size_t n;
	_cleanup_free_ struct puppet **tasks = first_tasks(tree, PUPPET_STOPPED, &n);

	if (borrow_enter_all(ctx, tasks, n, 1) > 0)
		err_clear(ctx);
}

static struct puppet **all_tasks(const struct puppet_tree *tree, size_t *ret_n)
{
	struct puppet **tasks;
	size_t n = 0;

	for (size_t i = 0; i < tree->n_processes; i++)
		n += tree->processes[i].n_tasks;
	tasks = calloc(n + 1, sizeof(struct puppet *));
	*ret_n = 0;
	for (size_t i = 0; tasks && i < tree->n_processes; i++)
		for (size_t k = 0; k < tree->processes[i].n_tasks; k++)
			tasks[(*ret_n)++] = tree->processes[i].tasks[k];
	return tasks;
}

/*
 * Children before their parents: a child that outlives its parent is somebody else's to reap.
 * Siblings die at the same time. Without memory for a list nobody is waited for.
 */
static void kill_tree(struct context *ctx, struct puppet_tree *tree)
{
	struct puppet_process *processes = tree->processes;
	size_t n_all, done;
	_cleanup_free_ struct puppet **all = all_tasks(tree, &n_all);

	done = n_all;
	for (size_t end = tree->n_processes; end > 0;) {
		pid_t parent = processes[end - 1].parent;
		size_t n = 0;

		for (; end > 0 && processes[end - 1].parent == parent; end--) {
			if (processes[end - 1].n_tasks > 0)
				(void)kill(processes[end - 1].pid, SIGKILL); /* ESRCH: is dead */
			n += processes[end - 1].n_tasks;
		}
		if (all && !puppet_await_deaths(&all[done - n], n, all, n_all))
			log_warn(ctx,
				 "a child of process %d does not end: somebody outside has "
				 "not reaped a member of its PID namespace",
				 parent);
		done -= n;
	}
}

static int leave_threads(struct context *ctx, struct puppet_process *process)
{
	int worst = 0;

	for (size_t k = 1; k < process->n_tasks; k++) {
		struct puppet *p = process->tasks[k];
		int r = 0;

		if (p->state == PUPPET_LOOP || p->state == PUPPET_BUSY)
			r = puppet_leave(ctx, p);
		if (r < 0 && r != -ESRCH)
			worst = r;
	}
	return worst;
}

static size_t leave_firsts(struct context *ctx, struct puppet_tree *tree)
{
	_cleanup_free_ struct puppet **tasks = NULL;
	size_t n, failed = 0;

	for (size_t i = 0; i < tree->n_processes; i++)
		if (tree->processes[i].n_tasks > 0)
			transport_settle(ctx, tree->processes[i].tasks[0]);
	tasks = first_tasks(tree, PUPPET_LOOP, &n);
	if (tasks)
		return borrow_leave_all(ctx, tasks, n);
	/* Without memory for a list: one by one. */
	for (size_t i = 0; i < tree->n_processes; i++) {
		const struct puppet_process *process = &tree->processes[i];

		if (process->n_tasks > 0 && process->tasks[0]->state == PUPPET_LOOP)
			failed += puppet_leave(ctx, process->tasks[0]) < 0;
	}
	return failed;
}

static void let_process_go(struct puppet_process *process, enum puppet_fate fate)
{
	/* Sent while all are held: pending, and acted upon by the first that is let go. */
	if (fate == FATE_STOP && process->n_tasks > 0 && !process->tasks[0]->group_stopped)
		(void)kill(process->pid, SIGSTOP); /* ESRCH: it has died */
	for (size_t k = 0; k < process->n_tasks; k++)
		detach(process->tasks[k]);
}

/* Everybody goes home. */
static int leave_all(struct context *ctx, struct puppet_tree *tree)
{
	int worst = 0;

	/* Whoever shares an area with another leaves before that one. */
	for (size_t i = 0; i < tree->n_processes; i++) {
		int r = leave_threads(ctx, &tree->processes[i]);

		if (r < 0)
			worst = r;
	}
	if (leave_firsts(ctx, tree) > 0 && ctx->err.code != -ESRCH)
		worst = ctx->err.code;
	return worst;
}

int puppet_tree_release(struct context *ctx, struct puppet_tree *tree, enum puppet_fate fate)
{
	int r = 0;

	if (fate == FATE_KILL) {
		kill_tree(ctx, tree); /* wherever they are */
	} else {
		r = leave_all(ctx, tree);
		freezer_freeze_again(ctx, &tree->thawed, &tree->n_thawed);
		/* Children first, so that a parent which is let go finds none of them held. */
		for (size_t i = tree->n_processes; i-- > 0;)
			let_process_go(&tree->processes[i], fate);
	}
	/* What is dead was thawed to die; the cgroup itself is as it was. */
	freezer_freeze_again(ctx, &tree->thawed, &tree->n_thawed);
	tree_deinit(tree);
	return r;
}
