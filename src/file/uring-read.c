/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading an io_uring (struct io_ring_ctx). Its pages are mapped here, through a duplicate of the
 * program's descriptor; the rest is looked up in the kernel (kernel/view.h).
 *
 * Requests in flight are those that were allocated and are not on the list of free ones: no file
 * of /proc counts them, and the counters of the rings do not (one request may complete many times
 * or silently). They are waited for. What completes through the submitting thread (task work) needs
 * it to run, so the threads are made to look for completions meanwhile, as they would have done.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "file/anon.h"
#include "file/state.h"
#include "file/uring.h"
#include "kernel/view.h"
#include "task/memory-vma.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum {
	WAIT_ROUNDS = 3000, /* of a millisecond each */
	ENTRIES_MAX = 1 << 16,
};

/* A ring being read. */
struct reading {
	struct collect *c;
	const struct file_probe *probe;
	Coppice__IoUring *ring;
	struct kernel_view *v;
	uint64_t file; /* struct file */
	uint64_t ctx;  /* struct io_ring_ctx */
};

static int get(struct reading *s, const char *member, uint64_t *ret)
{
	return view_get(s->v, s->ctx, "io_ring_ctx", member, ret);
}

static int get32(struct reading *s, const char *member, uint32_t *ret)
{
	uint64_t value;
	int r = get(s, member, &value);

	if (r == 0)
		*ret = (uint32_t)value;
	return r;
}

/* Where a member that is a struct lies. */
static int place(struct reading *s, const char *member, uint64_t *ret)
{
	struct view_member m;
	int r = view_find(s->v, "io_ring_ctx", member, &m);

	if (r == 0)
		*ret = s->ctx + m.offset;
	return r;
}

static int refuse(struct reading *s, const char *hint, const char *what)
{
	int r = collect_refuse(s->c, hint, "%s, fd %d (%s): %s",
			       collect_name(s->c, s->probe->process), s->probe->number,
			       s->probe->link, what);

	return r < 0 ? r : 1;
}

/* ---- what is not kept ----------------------------------------------------------------------- */

static int has_word(struct reading *s, const char *member)
{
	uint64_t value;
	int r = get(s, member, &value);

	return r < 0 ? r : value != 0;
}

static int has_clock(struct reading *s, const char *member)
{
	uint64_t value;
	int r = get(s, member, &value);

	return r < 0 ? r : value != CLOCK_MONOTONIC;
}

static int has_tracking(struct reading *s, const char *member)
{
	enum { INACTIVE = 255 }; /* IO_URING_NAPI_TRACKING_INACTIVE */
	uint64_t value;
	int r = get(s, member, &value);

	return r < 0 ? r : value != INACTIVE;
}

static int has_entries(struct reading *s, const char *member)
{
	uint64_t at = 0, head = 0;
	int r = place(s, member, &at);

	if (r == 0)
		r = view_get(s->v, at, "xarray", "xa_head", &head);
	return r < 0 ? r : head != 0;
}

static int has_list(struct reading *s, const char *member)
{
	uint64_t at = 0, next = 0;
	int r = place(s, member, &at);

	if (r == 0)
		r = view_read(s->v, at, &next, sizeof(next));
	return r < 0 ? r : next != at;
}

static int has_region(struct reading *s, const char *member)
{
	uint64_t at = 0, pages = 0;
	int r = place(s, member, &at);

	if (r == 0)
		r = view_get(s->v, at, "io_mapped_region", "nr_pages", &pages);
	return r < 0 ? r : pages != 0;
}

/* A kernel that has no such member has no such feature. */
static const struct unkept {
	const char *member;
	int (*has)(struct reading *s, const char *member);
	const char *what;
} unkept[] = {
	{"compat", has_word, "is an io_uring of a 32-bit program"},
	{"restricted", has_word, "is an io_uring with restrictions (IORING_REGISTER_RESTRICTIONS)"},
	{"personalities", has_entries,
	 "is an io_uring with credentials of its own (IORING_REGISTER_PERSONALITY)"},
	{"io_bl_xa", has_entries,
	 "is an io_uring with provided buffers (IORING_REGISTER_PBUF_RING)"},
	{"zcrx_ctxs", has_entries, "is an io_uring that receives from a network device"},
	{"napi_track_mode", has_tracking,
	 "is an io_uring with busy polling (IORING_REGISTER_NAPI)"},
	{"clockid", has_clock, "is an io_uring with a clock (IORING_REGISTER_CLOCK)"},
	{"param_region", has_region, "is an io_uring with a region (IORING_REGISTER_MEM_REGION)"},
	{"cq_overflow_list", has_list,
	 "is an io_uring with more completions than its ring has room for"},
};

/* 1: refused. */
static int refuse_unkept(struct reading *s)
{
	uint32_t flags = 0;
	int r = get32(s, "flags", &flags);

	if (r < 0)
		return r;
	if (flags & ~(uint32_t)URING_SETUP_KEPT)
		return refuse(s, "have the program set it up without",
			      arena_printf(s->c->arena,
					   "is an io_uring with setup flags %#x, of which %#x are "
					   "not kept",
					   flags, flags & ~(uint32_t)URING_SETUP_KEPT));
	/* Its size says as much; and nothing is attached to but what SQPOLL has. */
	s->ring->flags = flags & ~(uint32_t)(IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP);
	for (size_t i = 0; i < ARRAY_SIZE(unkept); i++) {
		r = unkept[i].has(s, unkept[i].member);
		if (r == -ENOENT)
			err_clear(s->c->ctx);
		else if (r != 0)
			return r < 0 ? r
				     : refuse(s, "have the program close it before the dump",
					      unkept[i].what);
	}
	return 0;
}

/* ---- in flight ------------------------------------------------------------------------------ */

static int count_free(struct reading *s, uint32_t most, uint32_t *ret)
{
	struct view_member list;
	uint64_t at = 0, node = 0;
	uint32_t n = 0;
	int r = place(s, "submit_state", &at);

	if (r == 0)
		r = view_find(s->v, "io_submit_state", "free_list", &list);
	if (r == 0)
		r = view_read(s->v, at + list.offset, &node, sizeof(node));
	while (r == 0 && node != 0 && n < most) {
		r = view_get(s->v, node, "io_wq_work_node", "next", &node);
		n++;
	}
	*ret = n;
	return r;
}

static int in_flight(struct reading *s, uint32_t *ret)
{
	uint32_t allocated = 0;
	uint32_t spare = 0;
	int r = get32(s, "nr_req_allocated", &allocated);

	if (r == 0)
		r = count_free(s, allocated, &spare);
	*ret = allocated - spare;
	return r;
}

/* Has every thread of the process look for completions: most have nothing to do with the ring. */
static int let_complete(struct reading *s)
{
	struct collect_process *p = s->probe->process;
	const struct timespec moment = {.tv_nsec = 1000000};
	int r = cancel_point(s->c->ctx);

	for (size_t i = 0; r == 0 && i < p->n_threads; i++) {
		struct call_table t;

		call_table_init(&t, s->c->arena);
		call_expect_any(&t,
				call_add(&t, "io_uring_enter(IORING_ENTER_GETEVENTS)",
					 SYS_io_uring_enter, CALL_IMM(s->probe->number),
					 CALL_IMM(0), CALL_IMM(0), CALL_IMM(IORING_ENTER_GETEVENTS),
					 CALL_IMM(0), CALL_IMM(0)));
		r = puppet_run(s->c->ctx, p->threads[i].puppet, &t);
	}
	if (r == 0)
		(void)nanosleep(&moment, NULL); /* shorter, after a signal, does no harm */
	return r;
}

/* 1: refused. */
static int await_idle(struct reading *s)
{
	uint32_t n = 0;
	int r = 0;

	for (int round = 0; r == 0 && round < WAIT_ROUNDS; round++) {
		r = in_flight(s, &n);
		if (r < 0 || n == 0)
			return r;
		r = let_complete(s);
	}
	if (r < 0)
		return r;
	return refuse(s, "have the program wait for them, or cancel them",
		      arena_printf(s->c->arena,
				   "is an io_uring with %u requests in flight that have not ended "
				   "within %d seconds",
				   n, WAIT_ROUNDS / 1000));
}

/* ---- rings ---------------------------------------------------------------------------------- */

static int read_region(struct reading *s, const char *member, off_t offset,
		       ProtobufCBinaryData *ret)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t at = 0, pages = 0;
	size_t len;
	void *map;
	int r = place(s, member, &at);

	if (r == 0)
		r = view_get(s->v, at, "io_mapped_region", "nr_pages", &pages);
	if (r < 0)
		return r;
	len = pages * page;
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, s->probe->fd, offset);
	if (map == MAP_FAILED)
		return err_sys(s->c->ctx, -errno, "mmap() of an io_uring");
	ret->data = arena_memdup(s->c->arena, map, len);
	ret->len = len;
	(void)munmap(map, len); /* ours */
	return ret->data ? 0 : err_oom(s->c->ctx);
}

static int read_counters(struct reading *s)
{
	Coppice__IoUring *ring = s->ring;
	uint32_t disabled = 0;
	int r = get32(s, "sq_entries", &ring->sq_entries);

	if (r == 0)
		r = get32(s, "cq_entries", &ring->cq_entries);
	if (r == 0)
		r = get32(s, "cached_sq_head", &ring->sq_head);
	if (r == 0)
		r = get32(s, "cached_cq_tail", &ring->cq_tail);
	if (r == 0)
		r = get32(s, "drain_disabled", &disabled);
	ring->drain_disabled = disabled != 0;
	if (r == 0)
		r = read_region(s, "ring_region", IORING_OFF_SQ_RING, &ring->rings);
	return r < 0 ? r : read_region(s, "sq_region", IORING_OFF_SQES, &ring->sqes);
}

void uring_steps(const Coppice__IoUring *ring, struct uring_steps *ret)
{
	int32_t more = (int32_t)(ring->sq_head - ring->cq_tail);

	*ret = (struct uring_steps){};
	if (ring->drain_disabled) /* which the first silent one does */
		ret->silent = more > 1 ? (uint32_t)more : 1;
	else if (more > 0)
		ret->dropped = (uint32_t)more;
	ret->plain = ring->sq_head - ret->silent - ret->dropped;
	ret->messages = ring->cq_tail - ret->plain;
}

/* 1: refused. */
static int refuse_counters(struct reading *s)
{
	struct uring_steps n;
	uint64_t all;

	uring_steps(s->ring, &n);
	all = (uint64_t)n.plain + n.silent + n.dropped + n.messages;
	if (n.dropped > 0 && (s->ring->flags & IORING_SETUP_NO_SQARRAY))
		return refuse(s, NULL, "is an io_uring that lost submissions");
	if (all <= URING_STEPS_MAX)
		return 0;
	return refuse(s, "have the program set up a new one from time to time",
		      arena_printf(s->c->arena,
				   "is an io_uring whose counters stand at %u and %u, too far to "
				   "be reached again in about a minute",
				   s->ring->sq_head, s->ring->cq_tail));
}

/* ---- who it belongs to ---------------------------------------------------------------------- */

/* The thread of the tree with this number, or NULL. */
static struct collect_thread *find_thread(struct collect *c, pid_t tid)
{
	for (size_t i = 0; i < c->n_processes; i++)
		for (size_t k = 0; k < c->processes[i].n_threads; k++)
			if (c->processes[i].threads[k].tid == tid)
				return &c->processes[i].threads[k];
	return NULL;
}

static uint32_t index_of(const struct collect_thread *th)
{
	return (uint32_t)(th - th->process->threads);
}

/* The one thread that may submit, if there is such; 1: refused. */
static int read_submitter(struct reading *s)
{
	const struct collect_thread *th = &s->probe->process->threads[0];
	uint64_t task = 0;
	pid_t tid = 0;
	int r = 0;

	if (s->ring->flags & IORING_SETUP_SINGLE_ISSUER)
		r = get(s, "submitter_task", &task);
	if (r == 0 && task != 0) {
		r = view_task_number(s->v, task, &tid);
		th = r == 0 ? find_thread(s->c, tid) : NULL;
	}
	if (r < 0)
		return r;
	if (!th)
		return refuse(s, "have the program close it before the dump",
			      "is an io_uring for a single thread, which is not in the tree");
	s->ring->process = th->process->msg->id;
	s->ring->thread = index_of(th);
	return 0;
}

/* ---- all at once ---------------------------------------------------------------------------- */

static int read_limits(struct reading *s)
{
	struct view_member m;
	uint32_t set = 0;
	int r = get32(s, "iowq_limits_set", &set);

	if (r < 0 || !set)
		return r;
	r = view_find(s->v, "io_ring_ctx", "iowq_limits", &m);
	s->ring->worker_limits = arena_new_n(s->c->arena, uint32_t, 2);
	if (!s->ring->worker_limits)
		return err_oom(s->c->ctx);
	s->ring->n_worker_limits = 2;
	return r < 0 ? r : view_read(s->v, s->ctx + m.offset, s->ring->worker_limits, 8);
}

static int begin(struct reading *s)
{
	int r = collect_view(s->c, &s->v);

	if (r == 0)
		r = view_file(s->v, s->probe->fd, &s->file);
	return r < 0 ? r : view_get(s->v, s->file, "file", "private_data", &s->ctx);
}

static int read_all(struct reading *s)
{
	int r = begin(s);

	if (r == 0)
		r = refuse_unkept(s);
	if (r == 0)
		r = read_submitter(s);
	if (r == 0)
		r = await_idle(s);
	if (r == 0)
		r = read_counters(s);
	if (r == 0)
		r = refuse_counters(s);
	return r != 0 ? r : read_limits(s);
}

/* What the view does not show is refused; all else that fails is an error. */
static int settle(struct collect *c, const struct file_probe *probe, int r)
{
	const char *what;

	if (r != -ENOENT && r != -EPERM && r != -EACCES && r != -EFAULT)
		return r < 0 ? r : 0;
	what = arena_printf(c->arena, "%s, fd %d (%s): is an io_uring",
			    collect_name(c, probe->process), probe->number, probe->link);
	return collect_refuse_unseen(c, what ? what : probe->link);
}

int uring_read(struct collect *c, const struct file_probe *probe, Coppice__IoUring *ring)
{
	struct reading s = {.c = c, .probe = probe, .ring = ring};

	return settle(c, probe, read_all(&s));
}

/* ---- registered files ----------------------------------------------------------------------- */

/* The open file of the tree that is this struct file; NULL: none. Open files are few enough. */
static int find_file(struct reading *s, uint64_t address, bool by_private, uint32_t *ret)
{
	*ret = 0;
	for (size_t i = 0; i < s->c->files->n_nodes; i++) {
		const struct file_node *node = s->c->files->nodes[i];
		_cleanup_close_ int fd = -EBADF;
		uint64_t at;
		int r;

		if (by_private && !file_is_anon(&node->probe, "[eventfd]"))
			continue;
		r = file_probe_dup(s->c, &node->probe, &fd);
		if (r == 0)
			r = view_file(s->v, fd, &at);
		if (r == 0 && by_private)
			r = view_get(s->v, at, "file", "private_data", &at);
		if (r < 0)
			return r;
		if (at == address) {
			*ret = node->msg->id;
			return 0;
		}
	}
	return 0;
}

/* The table of registered things at @member: *@ret_nodes is an array of *@ret_n pointers. */
static int read_table(struct reading *s, uint64_t at, uint64_t **ret_nodes, uint32_t *ret_n)
{
	uint64_t n, array;
	uint64_t *nodes;
	int r = view_get(s->v, at, "io_rsrc_data", "nr", &n);

	if (r == 0)
		r = view_get(s->v, at, "io_rsrc_data", "nodes", &array);
	if (r < 0)
		return r;
	n = MIN(n, (uint64_t)ENTRIES_MAX);
	nodes = arena_new_n(s->c->arena, uint64_t, n);
	if (!nodes)
		return err_oom(s->c->ctx);
	if (n > 0)
		r = view_read(s->v, array, nodes, n * sizeof(*nodes));
	*ret_nodes = nodes;
	*ret_n = (uint32_t)n;
	return r;
}

static int add_file(struct reading *s, uint32_t index, uint64_t node)
{
	enum { FLAGS = 7 }; /* in the low bits of a pointer: io_fixed_file_set() */
	Coppice__IoUringFile *file = arena_new(s->c->arena, Coppice__IoUringFile);
	Coppice__IoUringFile **slot;
	uint64_t address;
	int r = view_get(s->v, node, "io_rsrc_node", "file_ptr", &address);

	if (!file)
		return err_oom(s->c->ctx);
	coppice__io_uring_file__init(file);
	file->index = index;
	if (r == 0)
		r = view_get(s->v, node, "io_rsrc_node", "tag", &file->tag);
	if (r == 0)
		r = find_file(s, address & ~(uint64_t)FLAGS, false, &file->file);
	if (r < 0)
		return r;
	if (file->file == 0)
		return refuse(s, "have the program keep a descriptor of it, or unregister it",
			      arena_printf(s->c->arena,
					   "is an io_uring whose registered file %u is open under "
					   "no number",
					   index));
	slot = arena_append(s->c->arena, &s->ring->files, &s->ring->n_files, sizeof(*slot));
	if (!slot)
		return err_oom(s->c->ctx);
	*slot = file;
	return 0;
}

static int read_files(struct reading *s)
{
	uint64_t at = 0, *nodes = NULL;
	uint32_t n = 0;
	int r = place(s, "file_table", &at); /* which begins with its io_rsrc_data */

	if (r == 0)
		r = read_table(s, at, &nodes, &n);
	if (r < 0)
		return r;
	s->ring->file_slots = n;
	for (uint32_t i = 0; r == 0 && i < n; i++)
		if (nodes[i] != 0)
			r = add_file(s, i, nodes[i]);
	if (r == 0)
		r = get32(s, "file_alloc_start", &s->ring->file_alloc_start);
	return r != 0 ? r : get32(s, "file_alloc_end", &s->ring->file_alloc_end);
}

/* ---- registered buffers --------------------------------------------------------------------- */

static int add_buffer(struct reading *s, uint32_t index, uint64_t node)
{
	Coppice__IoUringBuffer *buffer = arena_new(s->c->arena, Coppice__IoUringBuffer);
	Coppice__IoUringBuffer **slot;
	uint64_t buf, len = 0, kernels = 0;
	int r = view_get(s->v, node, "io_rsrc_node", "buf", &buf);

	if (!buffer)
		return err_oom(s->c->ctx);
	coppice__io_uring_buffer__init(buffer);
	buffer->index = index;
	if (r == 0)
		r = view_get(s->v, node, "io_rsrc_node", "tag", &buffer->tag);
	if (r == 0)
		r = view_get(s->v, buf, "io_mapped_ubuf", "ubuf", &buffer->address);
	if (r == 0)
		r = view_get(s->v, buf, "io_mapped_ubuf", "len", &len);
	if (r == 0)
		r = view_get(s->v, buf, "io_mapped_ubuf", "is_kbuf", &kernels);
	if (r < 0)
		return r;
	buffer->length = (uint32_t)len;
	if (kernels)
		return refuse(s, NULL, "is an io_uring with a buffer of a driver's");
	slot = arena_append(s->c->arena, &s->ring->buffers, &s->ring->n_buffers, sizeof(*slot));
	if (!slot)
		return err_oom(s->c->ctx);
	*slot = buffer;
	return 0;
}

static int read_buffers(struct reading *s)
{
	uint64_t at = 0, *nodes = NULL;
	uint32_t n = 0;
	int r = place(s, "buf_table", &at);

	if (r == 0)
		r = read_table(s, at, &nodes, &n);
	if (r < 0)
		return r;
	s->ring->buffer_slots = n;
	for (uint32_t i = 0; r == 0 && i < n; i++)
		if (nodes[i] != 0)
			r = add_buffer(s, i, nodes[i]);
	return r;
}

/* ---- eventfd -------------------------------------------------------------------------------- */

static int read_eventfd(struct reading *s)
{
	uint64_t at, context, async;
	int r = get(s, "io_ev_fd", &at);

	if (r < 0 || at == 0)
		return r;
	r = view_get(s->v, at, "io_ev_fd", "cq_ev_fd", &context);
	if (r == 0)
		r = view_get(s->v, at, "io_ev_fd", "eventfd_async", &async);
	if (r == 0)
		r = find_file(s, context, true, &s->ring->eventfd);
	if (r < 0)
		return r;
	s->ring->eventfd_async = async != 0;
	return s->ring->eventfd != 0
		       ? 0
		       : refuse(s, "have the program keep a descriptor of it, or unregister it",
				"is an io_uring whose registered eventfd is open under no number");
}

/* ---- threads that use it -------------------------------------------------------------------- */

static int add_task(struct reading *s, const struct collect_thread *th, uint32_t index)
{
	Coppice__IoUringTask *task = arena_new(s->c->arena, Coppice__IoUringTask);
	Coppice__IoUringTask **slot;

	slot = arena_append(s->c->arena, &s->ring->tasks, &s->ring->n_tasks, sizeof(*slot));
	if (!task || !slot)
		return err_oom(s->c->ctx);
	coppice__io_uring_task__init(task);
	task->process = th->process->msg->id;
	task->thread = index_of(th);
	task->index = index;
	*slot = task;
	return 0;
}

/* The indices under which the thread can use the ring without a descriptor. */
static int read_registered(struct reading *s, uint64_t task, const struct collect_thread *th)
{
	enum { RINGS_MAX = 16 }; /* IO_RINGFD_REG_MAX */
	uint64_t rings[RINGS_MAX];
	struct view_member m;
	uint64_t context;
	int r = view_get(s->v, task, "task_struct", "io_uring", &context);

	if (r < 0 || context == 0)
		return r;
	r = view_find(s->v, "io_uring_task", "registered_rings", &m);
	if (r == 0)
		r = view_read(s->v, context + m.offset, rings, sizeof(rings));
	for (uint32_t i = 0; r == 0 && i < RINGS_MAX; i++)
		if (rings[i] == s->file)
			r = add_task(s, th, i);
	return r;
}

static int read_task(struct reading *s, uint64_t task)
{
	const struct collect_thread *th;
	pid_t tid = 0;
	int r = view_task_number(s->v, task, &tid);

	if (r < 0)
		return r;
	th = find_thread(s->c, tid);
	if (th)
		return read_registered(s, task, th);
	return refuse(s, "dump both together",
		      arena_printf(s->c->arena,
				   "is an io_uring that task %d outside the tree has used", tid));
}

static int by_thread(const void *a, const void *b)
{
	const Coppice__IoUringTask *x = *(Coppice__IoUringTask *const *)a;
	const Coppice__IoUringTask *y = *(Coppice__IoUringTask *const *)b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	if (x->thread != y->thread)
		return x->thread < y->thread ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

/* A list of io_tctx_node, one for each task that has used the ring and lives. */
static int read_tasks(struct reading *s)
{
	enum { TASKS_MAX = 1 << 20 };
	struct view_member link, list;
	uint64_t head, node, task;
	int r = place(s, "tctx_list", &head);

	if (r == 0)
		r = view_find(s->v, "io_tctx_node", "ctx_node", &link);
	if (r == 0)
		r = view_find(s->v, "list_head", "next", &list);
	if (r == 0)
		r = view_get(s->v, head, "list_head", "next", &node);
	for (int n = 0; r == 0 && node != head && n < TASKS_MAX; n++) {
		r = view_get(s->v, node - link.offset, "io_tctx_node", "task", &task);
		if (r == 0)
			r = read_task(s, task);
		if (r == 0)
			r = view_get(s->v, node, "list_head", "next", &node);
	}
	if (s->ring->n_tasks > 0)
		qsort(s->ring->tasks, s->ring->n_tasks, sizeof(Coppice__IoUringTask *), by_thread);
	return r;
}

/* ---- mappings ------------------------------------------------------------------------------- */

static bool has_descriptor(const struct collect *c, const struct collect_process *p, uint32_t file)
{
	const Coppice__FdTable *table = c->cp->fd_tables[p->msg->fd_table - 1];

	for (size_t i = 0; i < table->n_fds; i++)
		if (table->fds[i]->file == file)
			return true;
	return false;
}

/* The mappings of a process that are of the ring, by the inode that each ring has for itself. */
static int claim_mappings(struct reading *s, const struct collect_process *p, uint32_t file)
{
	const Coppice__Mm *mm = s->c->cp->mms[p->msg->mm - 1];

	for (size_t i = 0; i < p->n_maps; i++) {
		const struct proc_map *map = &p->maps[i];
		Coppice__Vma *vma;

		if (map->inode != s->probe->info.ino || strcmp(map->name, s->probe->link) != 0)
			continue;
		if (!has_descriptor(s->c, p, file))
			return refuse(s, "have the program unmap it",
				      arena_printf(s->c->arena,
						   "is an io_uring that %s maps without having a "
						   "descriptor of it",
						   collect_name(s->c, p)));
		vma = mm->vmas[vma_find(mm, map->start)];
		vma->file = file;
	}
	return 0;
}

static int claim_all_mappings(struct reading *s, uint32_t file)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->c->n_processes; i++) {
		const struct collect_process *p = &s->c->processes[i];

		if (!p->zombie && p->mm_owner == p)
			r = claim_mappings(s, p, file);
	}
	return r;
}

static int read_late(struct reading *s, uint32_t file)
{
	int r = begin(s);

	if (r == 0)
		r = read_files(s);
	if (r == 0)
		r = read_buffers(s);
	if (r == 0)
		r = read_eventfd(s);
	if (r == 0)
		r = read_tasks(s);
	return r != 0 ? r : claim_all_mappings(s, file);
}

int uring_read_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	_cleanup_close_ int fd = -EBADF;
	struct file_probe again = *probe;
	struct reading s = {.c = c, .probe = &again, .ring = file->io_uring};
	int r = file_probe_dup(c, probe, &fd);

	if (r < 0)
		return r;
	again.fd = fd;
	return settle(c, probe, read_late(&s, file->id));
}
