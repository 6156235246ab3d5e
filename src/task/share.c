/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that tasks share by clone flags: address space (CLONE_VM), descriptor table
 * (CLONE_FILES), root, cwd and umask (CLONE_FS), signal handlers (CLONE_SIGHAND), SEM_UNDO list
 * (CLONE_SYSVSEM), I/O context (CLONE_IO).
 *
 * kcmp(2) tells whether two tasks have the same table, and orders tables by address in a random
 * but constant way, so that a search tree per sort of table finds all sharers in n log n calls of
 * about 0.3 us.
 *
 * Two of the tables may be missing (NULL), which kcmp takes for equal. Who has none is found by
 * comparison with a task that surely has none either: for SEM_UNDO lists the coordinator, which
 * drops its own; for I/O contexts a fresh child, in the rare case that it matters.
 *
 * Sharing between a leader and a further thread of another process cannot come about inside the
 * tree without one of the two differing from its own thread group, which is refused.
 */
#include <ctype.h>
#include <dirent.h>
#include <linux/ioprio.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kernel/sys.h"
#include "task/share.h"
#include "util/cleanup.h"

/* One table, found in one or more tasks. */
struct table {
	pid_t tid;			 /* a task that has it */
	struct collect_process *process; /* the first process that has it */
	unsigned int processes;		 /* how many have it */
	uint32_t number;		 /* of an undo list or I/O context that several have */
	struct table *less;
	struct table *more;
};

struct sort {
	int kcmp;
	const char *name;
	struct table *root;
};

/* The sorts of tables, for one collection. */
struct share {
	struct collect *c;
	struct sort mm, files, fs, sighand, undo, io;
	pid_t witness; /* a child without an I/O context; 0: not needed yet */
};

/* Where in the search tree the table of @tid is, or would have to be put. */
static int table_slot(struct context *ctx, struct sort *sort, pid_t tid, struct table ***ret_slot)
{
	struct table **slot = &sort->root;
	int r;

	while (*slot) {
		r = sys_kcmp(tid, (*slot)->tid, sort->kcmp, 0, 0);
		if (r < 0 || r > 2)
			return err_sys(ctx, r < 0 ? r : -EINVAL, "kcmp(%d, %d, %s)", tid,
				       (*slot)->tid, sort->name);
		if (r == 0)
			break;
		slot = r == 1 ? &(*slot)->less : &(*slot)->more;
	}
	*ret_slot = slot;
	return 0;
}

/* The first process that has the same table as @p; @p itself if it is the first. */
static int find_owner(struct share *s, struct sort *sort, struct collect_process *p,
		      struct collect_process **ret_owner)
{
	struct table **slot;
	int r;

	r = table_slot(s->c->ctx, sort, p->threads[0].tid, &slot);
	if (r)
		return r;
	if (!*slot) {
		*slot = arena_new(s->c->arena, struct table);
		if (!*slot)
			return err_oom(s->c->ctx);
		**slot = (struct table){.tid = p->threads[0].tid, .process = p};
	}
	(*slot)->processes++;
	*ret_owner = (*slot)->process;
	return 0;
}

static int find_owners(struct share *s, struct collect_process *p)
{
	int r;

	r = find_owner(s, &s->mm, p, &p->mm_owner);
	if (!r && p->mm_owner != p)
		p->mm_owner->mm_shared = p->mm_shared = true;
	if (!r)
		r = find_owner(s, &s->files, p, &p->files_owner);
	if (!r)
		r = find_owner(s, &s->fs, p, &p->fs_owner);
	return r;
}

/* ---- threads that do not share what their thread group shares ------------------------------ */

/* 1: refused. */
static int compare_thread(struct share *s, const struct sort *sort, struct collect_thread *th)
{
	struct collect_process *p = th->process;
	int r;

	r = sys_kcmp(p->threads[0].tid, th->tid, sort->kcmp, 0, 0);
	if (r < 0)
		return err_sys(s->c->ctx, r, "kcmp(%d, %d, %s)", p->threads[0].tid, th->tid,
			       sort->name);
	if (!r)
		return 0;
	r = collect_refuse(s->c, NULL, "%s, thread %d (%s): has %s of its own",
			   collect_name(s->c, p), th->tid, th->stat.comm, sort->name);
	return r < 0 ? r : 1;
}

static int compare_threads(struct share *s, struct collect_process *p)
{
	int r = 0;

	for (size_t i = 1; i < p->n_threads && r >= 0; i++) {
		struct collect_thread *th = &p->threads[i];

		r = compare_thread(s, &s->files, th);
		th->own_files = r > 0;
		if (r >= 0)
			r = compare_thread(s, &s->fs, th);
		if (r >= 0)
			r = compare_thread(s, &s->undo, th);
	}
	return r < 0 ? r : 0;
}

/* ---- signal handlers, once it is known who shares memory ----------------------------------- */

/* CLONE_SIGHAND needs CLONE_VM, and execve ends both: only those who share memory are compared. */
static int find_sighand_owner(struct share *s, struct collect_process *p)
{
	return p->mm_shared ? find_owner(s, &s->sighand, p, &p->sighand_owner) : 0;
}

/* ---- tables that may be missing ------------------------------------------------------------ */

/*
 * A child that has no I/O context: fork gives it one only while the parent has an I/O priority,
 * which the coordinator lays down for that moment.
 */
static int start_witness(struct share *s)
{
	long prio = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	bool has_prio = prio > 0 && IOPRIO_PRIO_CLASS(prio) != IOPRIO_CLASS_NONE;
	pid_t pid;

	if (has_prio)
		(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0); /* always allowed */
	pid = fork();
	if (pid == 0)
		for (;;)
			(void)pause();
	if (has_prio) /* our own comfort: not worth failing for */
		(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, prio);
	if (pid < 0)
		return err_sys(s->c->ctx, -errno, "fork()");
	s->witness = pid;
	return 0;
}

static void stop_witness(struct share *s)
{
	if (!s->witness)
		return;
	(void)kill(s->witness, SIGKILL); /* our own child: cannot fail */
	(void)waitpid(s->witness, NULL, 0);
}

/* Positive if the table of @tid is another one than that of @than. */
static int differs(struct share *s, const struct sort *sort, pid_t tid, pid_t than)
{
	int r = sys_kcmp(tid, than, sort->kcmp, 0, 0);

	return r < 0 ? err_sys(s->c->ctx, r, "kcmp(%d, %d, %s)", tid, than, sort->name) : r;
}

/* Positive if the task has an I/O context. Nobody in the tree shares the coordinator's. */
static int has_io_context(struct share *s, pid_t tid)
{
	int r;

	r = differs(s, &s->io, tid, getpid());
	if (r <= 0)
		return r;
	if (!s->witness) {
		r = start_witness(s);
		if (r)
			return r;
	}
	return differs(s, &s->io, tid, s->witness);
}

static int find_io_context(struct share *s, struct collect_process *p)
{
	struct collect_process *owner;
	int r;

	r = has_io_context(s, p->threads[0].tid);
	if (r <= 0)
		return r;
	for (size_t i = 1; i < p->n_threads; i++) {
		r = differs(s, &s->io, p->threads[i].tid, p->threads[0].tid);
		if (r < 0)
			return r;
		if (r == 0)
			return collect_refuse(s->c, NULL,
					      "%s, thread %d (%s): shares an I/O context with "
					      "the first thread (CLONE_IO)",
					      collect_name(s->c, p), p->threads[i].tid,
					      p->threads[i].stat.comm);
	}
	return find_owner(s, &s->io, p, &owner);
}

static int find_undo_list(struct share *s, struct collect_process *p)
{
	struct collect_process *owner;
	int r;

	r = differs(s, &s->undo, p->threads[0].tid, getpid());
	if (r <= 0)
		return r;
	p->has_undo_list = true;
	return find_owner(s, &s->undo, p, &owner);
}

/* The number of the table of @p, if other processes have it too; else 0. */
static int number(struct share *s, struct sort *sort, struct collect_process *p, uint32_t *last,
		  uint32_t *ret_number)
{
	struct table **slot;
	int r;

	r = table_slot(s->c->ctx, sort, p->threads[0].tid, &slot);
	if (r || !*slot || (*slot)->processes < 2)
		return r;
	if (!(*slot)->number)
		(*slot)->number = ++*last;
	*ret_number = (*slot)->number;
	return 0;
}

/* ---- sharers outside the tree -------------------------------------------------------------- */

static int compare_pids(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The PIDs of the tree, sorted. */
static pid_t *inside_pids(struct collect *c)
{
	pid_t *pids = arena_new_n(c->arena, pid_t, c->n_processes);

	if (!pids)
		return NULL;
	for (size_t i = 0; i < c->n_processes; i++)
		pids[i] = c->processes[i].pid;
	qsort(pids, c->n_processes, sizeof(*pids), compare_pids);
	return pids;
}

/* A process that is gone meanwhile, or may not be looked at, has nothing of ours. */
static int compare_outsider(struct share *s, pid_t pid)
{
	struct sort *const sorts[] = {&s->mm, &s->files, &s->fs, &s->undo, &s->io};
	struct table *table;
	int r;

	for (size_t k = 0; k < ARRAY_SIZE(sorts); k++) {
		for (table = sorts[k]->root; table; table = r == 1 ? table->less : table->more) {
			r = sys_kcmp(pid, table->tid, sorts[k]->kcmp, 0, 0);
			if (r <= 0)
				break;
		}
		if (!table)
			continue;
		if (r < 0)
			return 0;
		r = collect_refuse(s->c, "dump the tree that both are in, or end that process",
				   "%s: shares %s with process %d outside the tree",
				   collect_name(s->c, table->process), sorts[k]->name, pid);
		if (r)
			return r;
	}
	return 0;
}

/*
 * Only processes as a whole are looked at: a single thread of an outside process that unshared
 * and then shared with somebody inside goes unseen.
 */
static int compare_outsiders(struct share *s)
{
	pid_t *inside = inside_pids(s->c);
	struct dirent *entry;
	int r = 0;
	DIR *proc;

	if (!inside)
		return err_oom(s->c->ctx);
	proc = opendir("/proc");
	if (!proc)
		return err_sys(s->c->ctx, -errno, "opendir(/proc)");
	while (!r && (entry = readdir(proc))) {
		pid_t pid = isdigit((unsigned char)entry->d_name[0])
				    ? (pid_t)strtol(entry->d_name, NULL, 10)
				    : getpid();

		if (pid == getpid() || pid == s->witness ||
		    bsearch(&pid, inside, s->c->n_processes, sizeof(pid), compare_pids))
			continue;
		r = compare_outsider(s, pid);
	}
	(void)closedir(proc); /* read only */
	return r;
}

/* ---- the messages -------------------------------------------------------------------------- */

/* Appends a new message of the given type to a vector of the checkpoint and numbers it. */
#define new_table(c, vec, n_vec, type, init)                                                       \
	({                                                                                         \
		type **_slot =                                                                     \
			arena_append((c)->arena, &(c)->cp->vec, &(c)->cp->n_vec, sizeof(type *));  \
		type *_msg = _slot ? arena_new((c)->arena, type) : NULL;                           \
		if (_slot)                                                                         \
			*_slot = _msg;                                                             \
		if (_msg) {                                                                        \
			init(_msg);                                                                \
			_msg->id = (uint32_t)(c)->cp->n_vec;                                       \
		}                                                                                  \
		_msg ? _msg->id : 0;                                                               \
	})

static int make_messages(struct collect *c, struct collect_process *p)
{
	Coppice__Process *msg = p->msg;

	if (p->zombie)
		return 0;
	msg->mm = p->mm_owner->msg->mm;
	msg->fs = p->fs_owner->msg->fs;
	msg->fd_table = p->files_owner->msg->fd_table;
	msg->sighand = p->sighand_owner->msg->sighand;
	if (!msg->mm)
		msg->mm = new_table(c, mms, n_mms, Coppice__Mm, coppice__mm__init);
	if (!msg->fs)
		msg->fs = new_table(c, fss, n_fss, Coppice__Fs, coppice__fs__init);
	if (!msg->fd_table)
		msg->fd_table = new_table(c, fd_tables, n_fd_tables, Coppice__FdTable,
					  coppice__fd_table__init);
	if (!msg->sighand)
		msg->sighand = new_table(c, sighands, n_sighands, Coppice__Sighand,
					 coppice__sighand__init);
	return msg->mm && msg->fs && msg->fd_table && msg->sighand ? 0 : err_oom(c->ctx);
}

static int for_each_living(struct share *s, int (*step)(struct share *, struct collect_process *))
{
	int r = 0;

	for (size_t i = 0; i < s->c->n_processes && !r; i++)
		if (!s->c->processes[i].zombie)
			r = step(s, &s->c->processes[i]);
	return r;
}

static int number_tables(struct share *s)
{
	uint32_t last_undo = 0, last_io = 0;
	int r = 0;

	for (size_t i = 0; i < s->c->n_processes && !r; i++) {
		struct collect_process *p = &s->c->processes[i];

		if (p->zombie)
			continue;
		r = number(s, &s->undo, p, &last_undo, &p->msg->sysvsem);
		if (!r)
			r = number(s, &s->io, p, &last_io, &p->msg->io_context);
		if (!r)
			r = make_messages(s->c, p);
	}
	return r;
}

static int compare_all(struct share *s)
{
	int r;

	r = for_each_living(s, find_owners);
	if (!r)
		r = for_each_living(s, find_sighand_owner);
	if (!r)
		r = for_each_living(s, find_undo_list);
	if (!r)
		r = for_each_living(s, find_io_context);
	if (!r)
		r = for_each_living(s, compare_threads);
	/* Stubs share with nobody outside: they were made without. */
	if (!r && !s->c->stubs)
		r = compare_outsiders(s);
	return r ? r : number_tables(s);
}

int share_collect(struct collect *c)
{
	struct share s = {
		.c = c,
		.mm = {KCMP_VM, "an address space", NULL},
		.files = {KCMP_FILES, "a descriptor table", NULL},
		.fs = {KCMP_FS, "a working directory, root and umask", NULL},
		.sighand = {KCMP_SIGHAND, "signal handlers", NULL},
		.undo = {KCMP_SYSVSEM, "a SEM_UNDO list", NULL},
		.io = {KCMP_IO, "an I/O context", NULL},
	};
	int r;

	for (size_t i = 0; i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];

		p->mm_owner = p->files_owner = p->fs_owner = p->sighand_owner = p;
	}
	if (unshare(CLONE_SYSVSEM) < 0)
		return err_sys(c->ctx, -errno, "unshare(CLONE_SYSVSEM)");
	r = compare_all(&s);
	stop_witness(&s);
	return r;
}
