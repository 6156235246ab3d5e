/* SPDX-License-Identifier: Apache-2.0 */
#include "puppet/errand.h"

#include <errno.h>
#include <signal.h>

#include "puppet/trace.h"
#include "util/context.h"

enum { DOZE_MS = 20 };

static void end(struct context *ctx, struct errand *e, int r)
{
	e->next = NULL;
	e->outcome = r < 0 ? r : 0;
	if (r < 0)
		e->abort(ctx, e, r);
}

/* Has it gone a step further? */
static bool step(struct context *ctx, struct errand *e)
{
	int64_t result;
	int r = boot_poll(ctx, &e->boot, &result);

	if (r == 0)
		return false;
	if (r > 0)
		r = e->next(ctx, e, result);
	if (r != 0)
		end(ctx, e, r);
	return true;
}

/* Whose death is not reported is not waited for. */
static void bury(struct context *ctx, struct errand *errands, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (errands[i].next && trace_is_dead(errands[i].boot.p))
			end(ctx, &errands[i], trace_gone(ctx, errands[i].boot.p, -1));
}

size_t errands_run(struct context *ctx, struct errand *errands, size_t n)
{
	size_t failed = 0, left;
	struct err first = {};
	sigset_t old;

	trace_block_chld(&old);
	do {
		bool moved = false;

		left = 0;
		for (size_t i = 0; i < n; i++) {
			if (!errands[i].next)
				continue;
			moved |= step(ctx, &errands[i]);
			left += errands[i].next != NULL;
			if (errands[i].outcome < 0 && !errands[i].next && first.code == 0)
				first = ctx->err;
		}
		if (!moved && left > 0 && !trace_doze(DOZE_MS))
			bury(ctx, errands, n);
	} while (left > 0);
	trace_unblock_chld(&old);
	for (size_t i = 0; i < n; i++)
		failed += errands[i].outcome < 0;
	if (first.code != 0)
		ctx->err = first;
	return failed;
}
