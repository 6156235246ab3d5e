/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What io_uring keeps for a task (task_struct.io_uring): rings that were registered with it
 * (IORING_REGISTER_RING_FDS), which it can use by their index and which live on when their
 * descriptors are closed. A ring whose memory is the program's own (IORING_SETUP_NO_MMAP) shows
 * nowhere else then. Refused, like all of io_uring.
 *
 * To enter a ring in order to submit nothing and wait for nothing has no effect, and tells whether
 * there is one. Rings with a descriptor or a mapping are refused as such.
 */
#include <errno.h>
#include <sys/syscall.h>

#include "kind/task.h"

enum {
	RINGS_MAX = 16,		 /* IO_RINGFD_REG_MAX */
	ENTER_REGISTERED = 0x10, /* IORING_ENTER_REGISTERED_RING */
};

static void ask_ring(struct call_table *t, int index)
{
	call_expect_any(t, call_add(t, "io_uring_enter()", SYS_io_uring_enter, CALL_IMM(index),
				    CALL_IMM(0), CALL_IMM(0), CALL_IMM(ENTER_REGISTERED),
				    CALL_IMM(0), CALL_IMM(0)));
}

static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	ask_ring(t, 0);
}

/* Is there a ring at one of the other indices? */
static int look_further(struct collect *c, struct collect_thread *th, bool *ret_found)
{
	struct call_table t;
	int r;

	call_table_init(&t, c->arena);
	for (int i = 1; i < RINGS_MAX; i++)
		ask_ring(&t, i);
	r = puppet_run(c->ctx, th->puppet, &t);
	for (uint32_t i = 0; r == 0 && i < t.n_calls; i++)
		*ret_found = *ret_found || call_result(&t, i) != -EBADF;
	return r;
}

/* -EINVAL: it has never used io_uring, or the kernel has no registered rings; -EBADF: not here. */
static int reply_thread(struct collect *c, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	int64_t result = call_result(t, first);
	bool found = result != -EBADF;
	int r = 0;

	if (result == -EINVAL || result == -ENOSYS)
		return 0;
	if (!found)
		r = look_further(c, th, &found);
	if (r < 0 || !found)
		return r;
	return collect_refuse(
		c, "have the program unregister it (IORING_UNREGISTER_RING_FDS)",
		"%s, thread %d: has registered an io_uring, which is not supported yet",
		collect_name(c, th->process), th->tid);
}

const struct task_aspect aspect_rings = {
	.name = "registered rings",
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
};
