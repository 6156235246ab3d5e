/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What io_uring keeps for a task (task_struct.io_uring): rings that were registered with it
 * (IORING_REGISTER_RING_FDS), which it can use by their index and which live on when their
 * descriptors are closed. Those of rings that somebody has a descriptor of are kept with the ring
 * (src/file/uring.c). A ring that lives on by its index or by a mapping alone is refused: it cannot
 * be read.
 *
 * To enter a ring in order to submit nothing and wait for nothing has no effect, and tells whether
 * there is one.
 */
#include <errno.h>
#include <sys/syscall.h>

#include "kind/task.h"
#include "task/aio.h"

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

/* Is there a ring at one of the indices that no File tells of? @known has a bit for each that is. */
static int look_further(struct collect *c, struct collect_thread *th, uint32_t known,
			bool *ret_found)
{
	struct call_table t;
	int r;

	call_table_init(&t, c->arena);
	for (int i = 0; i < RINGS_MAX; i++)
		ask_ring(&t, i);
	r = puppet_run(c->ctx, th->puppet, &t);
	for (uint32_t i = 0; r == 0 && i < t.n_calls; i++)
		if (call_result(&t, i) != -EBADF && !(known & 1U << i))
			*ret_found = true;
	return r;
}

static uint32_t known_of_ring(const Coppice__IoUring *ring, uint32_t process, uint32_t thread)
{
	uint32_t known = 0;

	for (size_t i = 0; i < ring->n_tasks; i++)
		if (ring->tasks[i]->process == process && ring->tasks[i]->thread == thread)
			known |= 1U << ring->tasks[i]->index;
	return known;
}

static uint32_t known_rings(const struct collect *c, const struct collect_thread *th)
{
	uint32_t thread = (uint32_t)(th - th->process->threads);
	uint32_t known = 0;

	for (size_t i = 0; i < c->cp->n_files; i++)
		if (c->cp->files[i]->kind_case == COPPICE__FILE__KIND_IO_URING)
			known |= known_of_ring(c->cp->files[i]->io_uring, th->process->msg->id,
					       thread);
	return known;
}

/* -EINVAL: it has never used io_uring, or the kernel has no registered rings; -EBADF: not here. */
static int reply_thread(struct collect *c, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	int64_t result = call_result(t, first);
	bool found = false;
	int r;

	if (result == -EINVAL || result == -ENOSYS)
		return 0;
	r = look_further(c, th, known_rings(c, th), &found);
	if (r < 0 || !found)
		return r;
	return collect_refuse(
		c,
		"have the program unregister it (IORING_UNREGISTER_RING_FDS), or keep a descriptor",
		"%s, thread %d: has registered an io_uring that is open under no number",
		collect_name(c, th->process), th->tid);
}

/* Mappings of rings that no descriptor of the tree is of. */
static int reply(struct collect *c, struct collect_process *p, struct call_table *t _unused_,
		 uint32_t first _unused_)
{
	const Coppice__Mm *mm;

	if (p->mm_owner != p)
		return 0;
	mm = c->cp->mms[p->msg->mm - 1];
	for (size_t i = 0; i < mm->n_vmas; i++)
		if (mm->vmas[i]->kind == COPPICE__VMA_KIND__VMA_KIND_OWNED &&
		    mm->vmas[i]->file == 0 && !aio_is_ring(mm->vmas[i]))
			return collect_refuse(
				c, "have the program unmap it",
				"%s, mapping %llx-%llx (%s): is of nothing that is open",
				collect_name(c, p), (unsigned long long)mm->vmas[i]->start,
				(unsigned long long)mm->vmas[i]->end, mm->vmas[i]->name);
	return 0;
}

const struct task_aspect aspect_rings = {
	.name = "registered rings",
	.reply = reply,
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
};
