/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the tasks of a tree what only they can be asked: of each aspect its entries in one call table
 * per thread, which many run at the same time.
 */
#include <string.h>

#include "checkpoint/collect-steps.h"

enum { ASPECTS_MAX = 64 };

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
			return collect_while(c, r, a, th->process, th->tid);
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

int collect_ask(struct collect *c, struct puppet_tree *tree)
{
	struct questions qs = {.all = arena_new_n(c->arena, struct question, AT_ONCE)};
	int r = 0;

	if (!qs.all)
		return err_oom(c->ctx);
	enter(c, tree);
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
