/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages out, the fast way: the process writes its own pages into the page file, through a
 * descriptor that it is lent. One copy instead of two, and while it does the coordinator looks for
 * more.
 * Whether that is safe is memory-hazard.c's question; what a process may not read or has a
 * protection key, or what is swapped out, it is not made to touch here.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "task/memory-batch.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { IOVS = 512, WRITE_CALLS = 64 };

struct by_puppet {
	struct puppet_loan loan; /* the page file */
	struct arena arena;
	struct call_table table;
	bool writing; /* the table is under way */
};

/*
 * A write that came out short gave no reason; the next one does. If that should succeed all the
 * same, the length of the page file will be found wrong when it is closed.
 */
static int explain_short(struct mm_save *s, int r)
{
	static const char probe[1];
	int again;

	if (r != -EPROTO)
		return r;
	again = io_write_all(s->out->fd, probe, sizeof(probe));
	return again < 0 ? err_sys(s->c->ctx, again, "write (page file)") : r;
}

static int way_finish(struct mm_save *s, void *state)
{
	struct by_puppet *w = state;
	int r;

	if (!w->writing)
		return 0;
	w->writing = false;
	r = puppet_finish(s->c->ctx, s->p->puppet, &w->table);
	return r < 0 ? explain_short(s, r) : 0;
}

static void way_close(struct mm_save *s, void *state)
{
	struct by_puppet *w = state;
	struct context *ctx = s->c->ctx;
	struct err before = ctx->err;

	(void)way_finish(s, w); /* there is an error already, or nothing to finish */
	/* What cannot be taken back now is when the puppet leaves. */
	if (w->loan.puppet)
		(void)puppet_take_back(ctx, &w->loan, 0);
	ctx->err = before;
	arena_deinit(&w->arena);
	free(w);
}

static int way_open(struct mm_save *s, void **ret_state)
{
	struct by_puppet *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_oom(s->c->ctx);
	arena_init(&w->arena, s->c->ctx);
	call_table_init(&w->table, &w->arena);
	r = puppet_lend(s->c->ctx, s->p->puppet, s->out->fd, &w->loan);
	if (r < 0) {
		way_close(s, w);
		return r;
	}
	*ret_state = w;
	return 0;
}

/* A table that takes no more memory however often it is used. */
static void fresh_table(struct by_puppet *w, struct context *ctx)
{
	arena_deinit(&w->arena);
	arena_init(&w->arena, ctx);
	call_table_init(&w->table, &w->arena);
}

static int run_table(struct mm_save *s, struct by_puppet *w)
{
	if (w->table.n_calls == 0 && !w->table.failed)
		return 0;
	return puppet_run(s->c->ctx, s->p->puppet, &w->table);
}

static void add_zero_map(struct by_puppet *w, const struct page_batch *batch,
			 const struct batch_run *run)
{
	size_t words = (run->pages + 63) / 64;

	call_add(&w->table, "zero_map", CALL_OP_ZERO_MAP, CALL_IMM(run->start),
		 CALL_IMM(run->pages), CALL_IMM(batch->page_size),
		 CALL_DATA(call_space(&w->table, NULL, words * sizeof(uint64_t))));
}

/* A page that is swapped out may be a poisoned one: only a system call may meet it. */
static bool is_looked_at(const struct batch_run *run)
{
	return run->state == PAGE_STATE_DATA && !run->range->swapped;
}

static int way_find_zero(struct mm_save *s, void *state, struct page_batch *batch)
{
	struct by_puppet *w = state;
	struct batch_cursor cursor = {};
	struct batch_run run;
	uint32_t call = 0;
	int r;

	fresh_table(w, s->c->ctx);
	while (batch_next(batch, &cursor, &run))
		if (is_looked_at(&run))
			add_zero_map(w, batch, &run);
	r = run_table(s, w);
	if (r < 0)
		return r;
	/* Only DATA turns into ZERO behind the cursor, so the same runs are found again. */
	cursor = (struct batch_cursor){};
	while (batch_next(batch, &cursor, &run)) {
		const uint64_t *bits;

		if (!is_looked_at(&run))
			continue;
		bits = call_bytes(&w->table, (uint32_t)w->table.calls[call].arg[3].value);
		for (uint32_t i = 0; call_result(&w->table, call) > 0 && i < run.pages; i++)
			if (bits[i / 64] >> (i % 64) & 1)
				batch->state[run.first + i] = PAGE_STATE_ZERO;
		call++;
	}
	return 0;
}

struct gather {
	struct iovec iov[IOVS];
	size_t n;
	uint64_t bytes;
};

static void flush(struct by_puppet *w, struct gather *g)
{
	uint32_t i;

	if (g->n == 0)
		return;
	i = call_add(&w->table, "writev (page file)", SYS_writev, CALL_IMM(w->loan.fd),
		     CALL_DATA(call_space(&w->table, g->iov, g->n * sizeof(g->iov[0]))),
		     CALL_IMM(g->n));
	call_expect_exact(&w->table, i, (int64_t)g->bytes);
	g->n = 0;
	g->bytes = 0;
}

static int way_write(struct mm_save *s, void *state, const struct page_batch *batch)
{
	struct by_puppet *w = state;
	struct batch_cursor cursor = {};
	struct gather gather = {};
	struct batch_run run;
	int r;

	fresh_table(w, s->c->ctx);
	while (batch_next(batch, &cursor, &run)) {
		uint64_t len = (uint64_t)run.pages * batch->page_size;

		if (run.state != PAGE_STATE_DATA)
			continue;
		if (gather.n == IOVS)
			flush(w, &gather);
		gather.iov[gather.n++] = (struct iovec){(void *)(uintptr_t)run.start, len};
		gather.bytes += len;
	}
	flush(w, &gather);
	if (w->table.n_calls == 0 && !w->table.failed)
		return 0;
	r = puppet_start(s->c->ctx, s->p->puppet, &w->table);
	w->writing = r == 0;
	return r;
}

const struct page_way page_way_puppet = {
	.batch_pages = BATCH_PAGES,
	.open = way_open,
	.find_zero = way_find_zero,
	.write = way_write,
	.finish = way_finish,
	.close = way_close,
};
