/* SPDX-License-Identifier: Apache-2.0 */
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

static int while_dressing(struct rebuild *r, int rc, const struct task_aspect *a,
			  const struct rebuild_process *p)
{
	return err_while(r->ctx, rc, "restoring %s of process %d (%s)", a->name, p->msg->pid[0],
			 p->threads[0].msg->comm);
}

/* An empty table costs nothing; most processes have some entry in each phase. */
static int run_table(struct rebuild *r, const struct rebuild_thread *th, struct call_table *t)
{
	int rc;

	if (t->n_calls == 0 && !t->failed)
		return 0;
	rc = puppet_run(r->ctx, th->puppet, t);
	if (rc < 0)
		return err_while(r->ctx, rc, "restoring thread %d of process %d (%s)",
				 th->msg->tid[0], th->process->msg->pid[0], th->msg->comm);
	return 0;
}

static int dress_thread(struct rebuild *r, const struct phase *phase, struct rebuild_thread *th,
			struct call_table *t)
{
	int rc;

	call_table_reset(t);
	for (const struct task_aspect *const *a = task_aspects; *a; a++) {
		rc = phase->thread(*a, r, th, t);
		if (rc < 0)
			return while_dressing(r, rc, *a, th->process);
	}
	rc = run_table(r, th, t);
	if (rc < 0)
		return rc;
	for (const struct task_aspect *const *a = task_aspects; *a; a++) {
		rc = phase->thread_direct(*a, r, th);
		if (rc < 0)
			return while_dressing(r, rc, *a, th->process);
	}
	return 0;
}

static int dress_process(struct rebuild *r, const struct phase *phase, struct rebuild_process *p,
			 struct call_table *t)
{
	int rc;

	call_table_reset(t);
	for (const struct task_aspect *const *a = task_aspects; *a; a++) {
		rc = phase->process(*a, r, p, t);
		if (rc < 0)
			return while_dressing(r, rc, *a, p);
	}
	rc = run_table(r, &p->threads[0], t);
	if (rc < 0)
		return rc;
	for (const struct task_aspect *const *a = task_aspects; *a; a++) {
		rc = phase->process_direct(*a, r, p);
		if (rc < 0)
			return while_dressing(r, rc, *a, p);
	}
	for (size_t i = 0; i < p->n_threads; i++) {
		rc = dress_thread(r, phase, &p->threads[i], t);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int dress_all(struct rebuild *r, const struct phase *phase)
{
	struct call_table table;

	call_table_init(&table, r->arena);
	for (size_t i = 0; i < r->n_processes; i++) {
		struct rebuild_process *p = &r->processes[i];
		int rc = cancel_point(r->ctx);

		if (rc >= 0 && p->n_threads > 0)
			rc = dress_process(r, phase, p, &table);
		if (rc < 0)
			return rc;
		progress(r->ctx, phase->name, i + 1, r->n_processes);
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

static int resume_process(struct rebuild *r, struct rebuild_process *p, struct call_table *t)
{
	call_table_reset(t);
	for (const struct task_aspect *const *a = task_aspects; *a; a++) {
		int rc = (*a)->resume ? (*a)->resume(r, p, t) : 0;

		if (rc < 0)
			return while_dressing(r, rc, *a, p);
	}
	if (p->owns_files)
		(void)call_add(t, "closing coppice's descriptors", SYS_close_range,
			       CALL_IMM(r->fd_base), CALL_IMM(UINT32_MAX));
	return run_table(r, &p->threads[0], t);
}

int dress_resume(struct rebuild *r)
{
	struct call_table table;

	call_table_init(&table, r->arena);
	for (size_t i = 0; i < r->n_processes; i++) {
		struct rebuild_process *p = &r->processes[i];
		int rc = p->n_threads > 0 ? resume_process(r, p, &table) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}
