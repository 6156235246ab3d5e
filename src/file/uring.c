/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io_uring(7) with nothing in flight: setup flags, both rings with what is unread in them and what is
 * prepared but not submitted, registered files and buffers, eventfd, limits of workers, and the
 * threads that can use it without a descriptor. uring-read.c says how it is read, uring-make.c how
 * a ring gets its counters; its mappings are task/rings.c's.
 *
 * The ring is made by the process that has it (or, with IORING_SETUP_SINGLE_ISSUER, by the one
 * thread that may use it), since that is who it belongs to for the kernel. What is registered with
 * it is registered by that thread too: files when all exist, buffers when the memory is there.
 *
 * Refused: see `unkept` in uring-read.c. Not kept: who is charged for its memory (the restored ring's
 * is nobody's, having been made with CAP_IPC_LOCK).
 */
#include "file/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "file/anon.h"
#include "util/cleanup.h"

static bool matches(const struct file_probe *probe)
{
	return file_is_anon(probe, "[io_uring]");
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__IoUring *ring = arena_new(c->arena, Coppice__IoUring);

	if (!ring)
		return err_oom(c->ctx);
	coppice__io_uring__init(ring);
	file->io_uring = ring;
	return uring_read(c, probe, ring);
}

/* ---- restore -------------------------------------------------------------------------------- */

static int check(struct rebuild *r, const Coppice__File *file)
{
	struct io_uring_params params = {
		.flags = file->io_uring->flags | IORING_SETUP_CQSIZE,
		.cq_entries = file->io_uring->cq_entries,
	};
	struct uring_steps n;
	_cleanup_close_ int fd =
		(int)syscall(SYS_io_uring_setup, file->io_uring->sq_entries, &params);

	/* The layout of others is not known here. */
	if (file->io_uring->flags & ~(uint32_t)URING_SETUP_KEPT)
		return rebuild_refuse(r, "use the coppice that made the image",
				      "an io_uring has setup flags %#x", file->io_uring->flags);
	uring_steps(file->io_uring, &n);
	if ((uint64_t)n.plain + n.silent + n.dropped + n.messages > URING_STEPS_MAX)
		return rebuild_refuse(r, NULL, "the counters of an io_uring are out of reach");
	if (fd >= 0)
		return 0;
	return rebuild_refuse(r, "look at the sysctl kernel.io_uring_disabled",
			      "io_uring_setup() with flags %#x does not work here (%s)",
			      file->io_uring->flags, err_name(-errno));
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	return uring_make(r, file->io_uring, ret_fd);
}

/* A thread that has the ring, and perhaps something else, as descriptors for a while. */
struct visit {
	struct rebuild *r;
	struct puppet *puppet;
	struct call_table table;
	int number[2]; /* there */
	size_t n;
};

static int visit_begin(struct rebuild *r, uint32_t process, uint32_t thread, int ring, int other,
		       struct visit *v)
{
	const struct rebuild_process *p = &r->processes[process - 1];
	const int fds[2] = {ring, other};

	*v = (struct visit){.r = r, .puppet = p->threads[thread].puppet, .n = other >= 0 ? 2 : 1};
	call_table_init(&v->table, r->arena);
	/* The doorbell is the first thread's; the descriptors are everybody's. */
	return puppet_fds_in(r->ctx, p->puppet, fds, v->n, v->number);
}

/* Runs the table, and takes the descriptors back. */
static int visit_end(struct visit *v)
{
	for (size_t i = 0; i < v->n; i++)
		call_add(&v->table, "close", SYS_close, CALL_IMM(v->number[i]));
	return puppet_run(v->r->ctx, v->puppet, &v->table);
}

static uint32_t add_register(struct visit *v, const char *what, unsigned int op, const void *arg,
			     size_t size, uint32_t n)
{
	uint32_t at = call_space(&v->table, arg, size);

	call_add(&v->table, what, SYS_io_uring_register, CALL_IMM(v->number[0]), CALL_IMM(op),
		 CALL_DATA(at), CALL_IMM(n));
	return at;
}

/* A table of files or buffers with nothing in it; the entries come by updates. */
static void add_slots(struct visit *v, const char *what, unsigned int op, uint32_t n)
{
	const struct io_uring_rsrc_register slots = {.nr = n, .flags = IORING_RSRC_REGISTER_SPARSE};

	add_register(v, what, op, &slots, sizeof(slots), sizeof(slots));
}

static void add_update(struct visit *v, const char *what, unsigned int op, uint32_t index,
		       const void *data, size_t size, uint64_t tag)
{
	/* One piece, since pieces travel with the calls that refer to them. */
	struct {
		struct io_uring_rsrc_update2 update;
		uint64_t tag;
		unsigned char data[sizeof(struct iovec)];
	} piece = {.update = {.offset = index, .nr = 1}, .tag = tag};
	uint32_t at;

	memcpy(piece.data, data, size);
	at = add_register(v, what, op, &piece, sizeof(piece), sizeof(piece.update));
	call_point(&v->table, at + (uint32_t)offsetof(typeof(piece), update.data),
		   at + (uint32_t)offsetof(typeof(piece), data));
	call_point(&v->table, at + (uint32_t)offsetof(typeof(piece), update.tags),
		   at + (uint32_t)offsetof(typeof(piece), tag));
}

static int register_file(struct rebuild *r, const Coppice__IoUring *ring, int fd,
			 const Coppice__IoUringFile *file)
{
	struct visit v;
	int result =
		visit_begin(r, ring->process, ring->thread, fd, r->files[file->file - 1].fd, &v);

	if (result < 0)
		return result;
	add_update(&v, "io_uring_register(IORING_REGISTER_FILES_UPDATE2)",
		   IORING_REGISTER_FILES_UPDATE2, file->index, &v.number[1], sizeof(int),
		   file->tag);
	return visit_end(&v);
}

static int register_files(struct rebuild *r, const Coppice__IoUring *ring, int fd)
{
	const struct io_uring_file_index_range range = {
		.off = ring->file_alloc_start,
		.len = ring->file_alloc_end - ring->file_alloc_start,
	};
	struct visit v;
	int result;

	if (ring->file_slots == 0)
		return 0;
	result = visit_begin(r, ring->process, ring->thread, fd, -EBADF, &v);
	if (result < 0)
		return result;
	add_slots(&v, "io_uring_register(IORING_REGISTER_FILES2)", IORING_REGISTER_FILES2,
		  ring->file_slots);
	add_register(&v, "io_uring_register(IORING_REGISTER_FILE_ALLOC_RANGE)",
		     IORING_REGISTER_FILE_ALLOC_RANGE, &range, sizeof(range), 0);
	result = visit_end(&v);
	for (size_t i = 0; result == 0 && i < ring->n_files; i++)
		result = register_file(r, ring, fd, ring->files[i]);
	return result;
}

static int register_eventfd(struct rebuild *r, const Coppice__IoUring *ring, int fd)
{
	struct visit v;
	int result;

	if (ring->eventfd == 0)
		return 0;
	result =
		visit_begin(r, ring->process, ring->thread, fd, r->files[ring->eventfd - 1].fd, &v);
	if (result < 0)
		return result;
	add_register(&v, "io_uring_register(IORING_REGISTER_EVENTFD)",
		     ring->eventfd_async ? IORING_REGISTER_EVENTFD_ASYNC : IORING_REGISTER_EVENTFD,
		     &v.number[1], sizeof(int), 1);
	return visit_end(&v);
}

static int connect(struct rebuild *r, const Coppice__File *file, int fd)
{
	int result = register_files(r, file->io_uring, fd);

	return result < 0 ? result : register_eventfd(r, file->io_uring, fd);
}

static void add_buffers(struct visit *v, const Coppice__IoUring *ring)
{
	if (ring->buffer_slots > 0)
		add_slots(v, "io_uring_register(IORING_REGISTER_BUFFERS2)",
			  IORING_REGISTER_BUFFERS2, ring->buffer_slots);
	for (size_t i = 0; i < ring->n_buffers; i++) {
		const struct iovec iov = {
			.iov_base = (void *)(uintptr_t)ring->buffers[i]->address,
			.iov_len = ring->buffers[i]->length,
		};

		add_update(v, "io_uring_register(IORING_REGISTER_BUFFERS_UPDATE)",
			   IORING_REGISTER_BUFFERS_UPDATE, ring->buffers[i]->index, &iov,
			   sizeof(iov), ring->buffers[i]->tag);
	}
}

static int register_task(struct rebuild *r, const Coppice__IoUringTask *task, int fd)
{
	struct io_uring_rsrc_update update = {.offset = task->index};
	struct visit v;
	int result = visit_begin(r, task->process, task->thread, fd, -EBADF, &v);

	if (result < 0)
		return result;
	update.data = (uint64_t)v.number[0];
	add_register(&v, "io_uring_register(IORING_REGISTER_RING_FDS)", IORING_REGISTER_RING_FDS,
		     &update, sizeof(update), 1);
	return visit_end(&v);
}

/* When the memory is there. */
static int last(struct rebuild *r, const Coppice__File *file, int fd)
{
	const Coppice__IoUring *ring = file->io_uring;
	struct visit v;
	int result = visit_begin(r, ring->process, ring->thread, fd, -EBADF, &v);

	if (result < 0)
		return result;
	add_buffers(&v, ring);
	if (ring->n_worker_limits > 0)
		add_register(&v, "io_uring_register(IORING_REGISTER_IOWQ_MAX_WORKERS)",
			     IORING_REGISTER_IOWQ_MAX_WORKERS, ring->worker_limits,
			     ring->n_worker_limits * sizeof(uint32_t), 2);
	result = visit_end(&v);
	for (size_t i = 0; result == 0 && i < ring->n_tasks; i++)
		result = register_task(r, ring->tasks[i], fd);
	return result;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	const Coppice__IoUring *ring = file->io_uring;

	(void)snprintf(buf, size, "io_uring of %u and %u entries, %zu files, %zu buffers",
		       ring->sq_entries, ring->cq_entries, ring->n_files, ring->n_buffers);
}

const struct file_kind kind_uring = {
	.name = "io_uring",
	.which = COPPICE__FILE__KIND_IO_URING,
	.matches = matches,
	.collect = collect,
	.collect_late = uring_read_late,
	.check = check,
	.create = create,
	.connect = connect,
	.last = last,
	.describe = describe,
};
