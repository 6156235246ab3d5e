/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors arrive (SCM_RIGHTS) at the lowest free numbers in ascending order, as
 * close-on-exec ones. Places being sorted too, each arrives at its place or below it. So the
 * highest is moved first: its place cannot be where another one still waits, since those are all
 * lower. A dense table, as most are, needs no move at all.
 */
#include "file/place.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "puppet/puppet.h"
#include "util/arena.h"
#include "util/context.h"
#include "util/macro.h"

enum { BATCH = 253 }; /* SCM_MAX_FD */

static int check_order(const int *got, const struct fd_place *places, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (got[i] < 0 || got[i] > places[i].number)
			return -EINVAL;
		if (i > 0 && (got[i] <= got[i - 1] || places[i].number <= places[i - 1].number))
			return -EINVAL;
	}
	return 0;
}

static void move(struct call_table *t, int got, const struct fd_place *place)
{
	uint32_t index;

	if (got == place->number) {
		if (!place->cloexec)
			(void)call_add(t, "fcntl(F_SETFD)", SYS_fcntl, CALL_IMM(got),
				       CALL_IMM(F_SETFD), CALL_IMM(0));
		return;
	}
	index = call_add(t, "dup3()", SYS_dup3, CALL_IMM(got), CALL_IMM(place->number),
			 CALL_IMM(place->cloexec ? O_CLOEXEC : 0));
	call_expect_exact(t, index, place->number);
	(void)call_add(t, "close()", SYS_close, CALL_IMM(got));
}

int fds_move(struct call_table *t, const int *got, const struct fd_place *places, size_t n)
{
	int r = check_order(got, places, n);

	if (r < 0)
		return r;
	for (size_t i = n; i-- > 0;)
		move(t, got[i], &places[i]);
	return 0;
}

static int place_batch(struct context *ctx, struct puppet *puppet, struct call_table *t,
		       const struct fd_place *places, size_t n)
{
	int fds[BATCH], got[BATCH];
	int r;

	for (size_t i = 0; i < n; i++)
		fds[i] = places[i].fd;
	r = puppet_fds_in(ctx, puppet, fds, n, got);
	if (r < 0)
		return r;
	call_table_reset(t);
	r = fds_move(t, got, places, n);
	if (r < 0)
		return err_msg(ctx, r, "descriptor %d is in use in the new process",
			       places[0].number);
	if (t->n_calls == 0 && !t->failed)
		return 0;
	r = puppet_run(ctx, puppet, t);
	if (r == -EBADF || r == -EMFILE)
		return err_hint(ctx, r, "raise RLIMIT_NOFILE above %d", places[n - 1].number);
	return r;
}

int fds_place(struct context *ctx, struct arena *arena, struct puppet *puppet,
	      const struct fd_place *places, size_t n)
{
	struct call_table t;

	call_table_init(&t, arena);
	for (size_t done = 0; done < n;) {
		size_t count = MIN(n - done, (size_t)BATCH);
		int r = place_batch(ctx, puppet, &t, places + done, count);

		if (r < 0)
			return r;
		done += count;
	}
	return 0;
}
