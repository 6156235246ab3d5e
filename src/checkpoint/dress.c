/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of many processes run at the same time, in waves: while some are executed, further
 * ones are made and read. Within a process everything is in order; so it is between those that
 * share a table of the kernel's, since a process that has one from an earlier process waits for the
 * end of that one's wave.
 */
#include "checkpoint/dress.h"

#include <sys/syscall.h>

#include "kind/task.h"

/* The members of struct task_aspect that make up one of the two phases. */
struct phase {
	const char *name;
	int (*process)(const struct task_aspect *a, struct rebuild *r, struct rebuild_process *p,
		       struct call_table *t);
	int (*process_direct)(const struct task_aspect *a, struct rebuild *r,
			      struct rebuild_process *p);
	int (*thread)(const struct task_aspect *a, struct rebuild *r, struct rebuild_thread *th,
		      struct call_table *t);
	int (*thread_direct)(const struct task_aspect *a, struct rebuild *r,
			     struct rebuild_thread *th);
};

#define PHASE(phase_name)                                                                          \
	static int phase_name##_process(const struct task_aspect *a, struct rebuild *r,            \
					struct rebuild_process *p, struct call_table *t)           \
	{                                                                                          \
		return a->phase_name ? a->phase_name(r, p, t) : 0;                                 \
	}                                                                                          \
	static int phase_name##_process_direct(const struct task_aspect *a, struct rebuild *r,     \
					       struct rebuild_process *p)                          \
	{                                                                                          \
		return a->phase_name##_direct ? a->phase_name##_direct(r, p) : 0;                  \
	}                                                                                          \
	static int phase_name##_of_thread(const struct task_aspect *a, struct rebuild *r,          \
					  struct rebuild_thread *th, struct call_table *t)         \
	{                                                                                          \
		return a->phase_name##_thread ? a->phase_name##_thread(r, th, t) : 0;              \
	}                                                                                          \
	static int phase_name##_of_thread_direct(const struct task_aspect *a, struct rebuild *r,   \
						 struct rebuild_thread *th)                        \
	{                                                                                          \
		return a->phase_name##_thread_direct ? a->phase_name##_thread_direct(r, th) : 0;   \
	}                                                                                          \
	static const struct phase phase_##phase_name = {                                           \
		#phase_name,                                                                       \
		phase_name##_process,                                                              \
		phase_name##_process_direct,                                                       \
		phase_name##_of_thread,                                                            \
		phase_name##_of_thread_direct,                                                     \
	}

PHASE(install);
PHASE(last);

/* How many processes are under way at the same time. */
enum { AT_ONCE = 32 };

struct wave {
	struct rebuild *r;
	struct rebuild_process *p[AT_ONCE];
	struct call_table table[AT_ONCE];
	struct rebuild_thread *running[AT_ONCE]; /* who has the table; NULL: nobody */
	size_t n;
};

static void wave_init(struct wave *w, struct rebuild *r)
{
	*w = (struct wave){.r = r};
	for (size_t i = 0; i < AT_ONCE; i++)
		call_table_init(&w->table[i], r->arena);
}

static int while_running(struct rebuild *r, int rc, const struct rebuild_thread *th)
{
	return err_while(r->ctx, rc, "restoring thread %d of process %d (%s)", th->msg->tid[0],
			 th->process->msg->pid[0], th->msg->comm);
}

/* An empty table costs nothing; most processes have some entry in each phase. */
static int wave_start(struct wave *w, size_t i, struct rebuild_thread *th)
{
	struct call_table *t = &w->table[i];
	int rc;

	if (t->n_calls == 0 && !t->failed)
		return 0;
	rc = puppet_start(w->r->ctx, th->puppet, t);
	if (rc < 0)
		return while_running(w->r, rc, th);
	w->running[i] = th;
	return 0;
}

/* Waits for the tables of all. After an error (@rc), which is the one to be told, too. */
static int wave_finish(struct wave *w, int rc)
{
	struct context *ctx = w->r->ctx;
	struct err first = ctx->err;

	for (size_t i = 0; i < w->n; i++) {
		struct rebuild_thread *th = w->running[i];
		int finished = th ? puppet_finish(ctx, th->puppet, &w->table[i]) : 0;

		w->running[i] = NULL;
		if (rc < 0 || finished >= 0)
			continue;
		rc = while_running(w->r, finished, th);
		first = ctx->err;
	}
	ctx->err = first;
	return rc;
}

static bool shares(const struct rebuild_process *p)
{
	return !p->owns_mm || !p->owns_files || !p->owns_fs || !p->owns_sighand;
}

/* Takes processes from @from on, as many as may be under way together; returns the one behind. */
static size_t wave_gather(struct wave *w, size_t from)
{
	size_t i = from;

	w->n = 0;
	for (; i < w->r->n_processes && w->n < AT_ONCE; i++) {
		struct rebuild_process *p = &w->r->processes[i];

		if (p->n_threads == 0)
			continue;
		if (w->n > 0 && shares(p))
			break;
		w->p[w->n++] = p;
	}
	return i;
}

static int while_dressing(struct rebuild *r, int rc, const struct task_aspect *a,
			  const struct rebuild_process *p)
{
	return err_while(r->ctx, rc, "restoring %s of process %d (%s)", a->name, p->msg->pid[0],
			 p->threads[0].msg->comm);
}

static int start_process(struct wave *w, const struct phase *phase, size_t i)
{
	struct rebuild_process *p = w->p[i];

	call_table_reset(&w->table[i]);
	for (const struct task_aspect *const *a = task_aspects; *a; a++) {
		int rc = phase->process(*a, w->r, p, &w->table[i]);

		if (rc < 0)
			return while_dressing(w->r, rc, *a, p);
	}
	return wave_start(w, i, &p->threads[0]);
}

static int dress_processes(struct wave *w, const struct phase *phase)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < w->n; i++)
		rc = start_process(w, phase, i);
	rc = wave_finish(w, rc);
	for (size_t i = 0; rc >= 0 && i < w->n; i++)
		for (const struct task_aspect *const *a = task_aspects; *a; a++) {
			rc = phase->process_direct(*a, w->r, w->p[i]);
			if (rc < 0)
				return while_dressing(w->r, rc, *a, w->p[i]);
		}
	return rc;
}

static int start_thread(struct wave *w, const struct phase *phase, size_t i,
			struct rebuild_thread *th)
{
	call_table_reset(&w->table[i]);
	for (const struct task_aspect *const *a = task_aspects; *a; a++) {
		int rc = phase->thread(*a, w->r, th, &w->table[i]);

		if (rc < 0)
			return while_dressing(w->r, rc, *a, th->process);
	}
	return wave_start(w, i, th);
}

/* The thread @k of each process that has so many; *@ret_any if there is one. */
static int dress_threads(struct wave *w, const struct phase *phase, size_t k, bool *ret_any)
{
	int rc = 0;

	*ret_any = false;
	for (size_t i = 0; rc >= 0 && i < w->n; i++)
		if (k < w->p[i]->n_threads) {
			*ret_any = true;
			rc = start_thread(w, phase, i, &w->p[i]->threads[k]);
		}
	rc = wave_finish(w, rc);
	for (size_t i = 0; rc >= 0 && i < w->n; i++)
		for (const struct task_aspect *const *a = task_aspects;
		     *a && k < w->p[i]->n_threads; a++) {
			rc = phase->thread_direct(*a, w->r, &w->p[i]->threads[k]);
			if (rc < 0)
				return while_dressing(w->r, rc, *a, w->p[i]);
		}
	return rc;
}

static int dress_wave(struct wave *w, const struct phase *phase)
{
	int rc = dress_processes(w, phase);
	bool more = true;

	for (size_t k = 0; rc >= 0 && more; k++)
		rc = dress_threads(w, phase, k, &more);
	return rc;
}

static int dress_all(struct rebuild *r, const struct phase *phase)
{
	struct wave w;

	wave_init(&w, r);
	for (size_t next = 0; next < r->n_processes;) {
		int rc = cancel_point(r->ctx);

		next = wave_gather(&w, next);
		if (rc >= 0)
			rc = dress_wave(&w, phase);
		if (rc < 0)
			return rc;
		progress(r->ctx, phase->name, next, r->n_processes);
	}
	return 0;
}

int dress_install(struct rebuild *r)
{
	return dress_all(r, &phase_install);
}

int dress_last(struct rebuild *r)
{
	return dress_all(r, &phase_last);
}

static int start_resuming(struct wave *w, size_t i)
{
	struct rebuild_process *p = w->p[i];
	struct call_table *t = &w->table[i];

	call_table_reset(t);
	for (const struct task_aspect *const *a = task_aspects; *a; a++) {
		int rc = (*a)->resume ? (*a)->resume(w->r, p, t) : 0;

		if (rc < 0)
			return while_dressing(w->r, rc, *a, p);
	}
	if (p->owns_files)
		(void)call_add(t, "closing coppice's descriptors", SYS_close_range,
			       CALL_IMM(w->r->fd_base), CALL_IMM(UINT32_MAX));
	return wave_start(w, i, &p->threads[0]);
}

int dress_resume(struct rebuild *r)
{
	struct wave w;

	wave_init(&w, r);
	for (size_t next = 0; next < r->n_processes;) {
		int rc = 0;

		next = wave_gather(&w, next);
		for (size_t i = 0; rc >= 0 && i < w.n; i++)
			rc = start_resuming(&w, i);
		rc = wave_finish(&w, rc);
		if (rc < 0)
			return rc;
	}
	return 0;
}
