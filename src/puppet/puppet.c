/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One puppet: the front doors. What differs between borrowed and made puppets lies behind them, in
 * borrow.c and make.c, and in the two rings.
 */
#include "puppet/puppet.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "puppet/borrow.h"
#include "puppet/trace.h"
#include "puppet/transport.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"

static int check_alive(struct context *ctx, const struct puppet *p)
{
	if (p->state == PUPPET_GONE)
		return err_msg(ctx, -ESRCH, "task %d has died", p->tid);
	return 0;
}

int puppet_enter(struct context *ctx, struct puppet *p, uint32_t slots)
{
	int r = check_alive(ctx, p);

	if (r < 0)
		return r;
	assert(p->borrowed);
	return borrow_enter(ctx, p, slots);
}

int puppet_leave(struct context *ctx, struct puppet *p)
{
	int r;

	transport_settle(ctx, p);
	r = check_alive(ctx, p);
	if (r < 0)
		return r;
	assert(p->borrowed);
	if (p->state == PUPPET_BUSY)
		return err_msg(ctx, -EBUSY, "task %d does not come to the end of its calls",
			       p->tid);
	return p->state == PUPPET_LOOP ? borrow_leave(ctx, p) : 0;
}

/* After an error, which is the one to be told. */
static void leave_quietly(struct context *ctx, struct puppet *p)
{
	struct err first = ctx->err;

	if (p->state != PUPPET_GONE)
		(void)puppet_leave(ctx, p);
	ctx->err = first;
}

int puppet_start(struct context *ctx, struct puppet *p, struct call_table *t)
{
	bool entered = false;
	int r;

	r = check_alive(ctx, p);
	if (r < 0)
		return r;
	if (p->state == PUPPET_STOPPED) {
		r = puppet_enter(ctx, p, 1);
		if (r < 0)
			return r;
		entered = true;
	}
	r = transport_start(ctx, p, t);
	if (r == 0)
		p->leave_after = entered;
	else if (entered)
		leave_quietly(ctx, p);
	return r;
}

int puppet_finish(struct context *ctx, struct puppet *p, struct call_table *t)
{
	bool leave;
	int r;

	r = check_alive(ctx, p);
	if (r < 0)
		return r;
	leave = p->leave_after;
	p->leave_after = false;
	r = transport_finish(ctx, p, t);
	if (!leave)
		return r;
	if (r == 0)
		return puppet_leave(ctx, p);
	leave_quietly(ctx, p);
	return r;
}

int puppet_run(struct context *ctx, struct puppet *p, struct call_table *t)
{
	int r = puppet_start(ctx, p, t);

	return r < 0 ? r : puppet_finish(ctx, p, t);
}

int64_t puppet_call(struct context *ctx, struct puppet *p, const char *what, uint64_t nr,
		    const struct call_arg arg[6])
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct call_table t;
	uint32_t i;
	int r;

	arena_init(&arena, ctx);
	call_table_init(&t, &arena);
	i = call_add_args(&t, what, nr, arg);
	r = puppet_run(ctx, p, &t);
	return r < 0 ? r : call_result(&t, i);
}

void puppet_tell(struct puppet *p, const struct puppet_facts *facts)
{
	p->told = true;
	p->filtered = facts->filtered;
	p->own_files = facts->own_files;
	p->area->vdso_start = facts->vdso_start;
	p->area->vdso_end = facts->vdso_end;
}

void puppet_free(struct puppet *p)
{
	if (!p)
		return;
	transport_free(p);
	if (p->socket >= 0)
		(void)close(p->socket); /* nothing is in flight any more */
	/* A tree owns the areas of its borrowed puppets. */
	if (!p->borrowed && --p->area->users == 0)
		free(p->area);
	free(p);
}

int puppet_look(struct context *ctx, struct puppet *p)
{
	int r = arch_get_regs(ctx, p->tid, &p->regs);

	return r < 0 ? r : trace_get_sigmask(ctx, p, &p->sigmask);
}
