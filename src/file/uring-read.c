/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading an io_uring (struct io_ring_ctx) in which nothing is in flight (uring-await.c). Its pages
 * are mapped here, through a duplicate of the program's descriptor; the rest is looked up in the
 * kernel (kernel/view.h).
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "file/uring-read.h"
#include "kernel/view.h"
#include "util/macro.h"

int uring_get(struct uring_reading *s, const char *member, uint64_t *ret)
{
	return view_get(s->v, s->ctx, "io_ring_ctx", member, ret);
}

int uring_get32(struct uring_reading *s, const char *member, uint32_t *ret)
{
	uint64_t value;
	int r = uring_get(s, member, &value);

	if (r == 0)
		*ret = (uint32_t)value;
	return r;
}

int uring_place(struct uring_reading *s, const char *member, uint64_t *ret)
{
	struct view_member m;
	int r = view_find(s->v, "io_ring_ctx", member, &m);

	if (r == 0)
		*ret = s->ctx + m.offset;
	return r;
}

int uring_refuse(struct uring_reading *s, const char *hint, const char *what)
{
	int r = collect_refuse(s->c, hint, "%s, fd %d (%s): %s",
			       collect_name(s->c, s->probe->process), s->probe->number,
			       s->probe->link, what);

	return r < 0 ? r : 1;
}

/* ---- what is not kept ----------------------------------------------------------------------- */

static int has_word(struct uring_reading *s, const char *member)
{
	uint64_t value;
	int r = uring_get(s, member, &value);

	return r < 0 ? r : value != 0;
}

static int has_clock(struct uring_reading *s, const char *member)
{
	uint64_t value;
	int r = uring_get(s, member, &value);

	return r < 0 ? r : value != CLOCK_MONOTONIC;
}

static int has_tracking(struct uring_reading *s, const char *member)
{
	enum { INACTIVE = 255 }; /* IO_URING_NAPI_TRACKING_INACTIVE */
	uint64_t value;
	int r = uring_get(s, member, &value);

	return r < 0 ? r : value != INACTIVE;
}

static int has_entries(struct uring_reading *s, const char *member)
{
	uint64_t at = 0, head = 0;
	int r = uring_place(s, member, &at);

	if (r == 0)
		r = view_get(s->v, at, "xarray", "xa_head", &head);
	return r < 0 ? r : head != 0;
}

static int has_list(struct uring_reading *s, const char *member)
{
	uint64_t at = 0, next = 0;
	int r = uring_place(s, member, &at);

	if (r == 0)
		r = view_read(s->v, at, &next, sizeof(next));
	return r < 0 ? r : next != at;
}

static int has_region(struct uring_reading *s, const char *member)
{
	uint64_t at = 0, pages = 0;
	int r = uring_place(s, member, &at);

	if (r == 0)
		r = view_get(s->v, at, "io_mapped_region", "nr_pages", &pages);
	return r < 0 ? r : pages != 0;
}

/* Newer kernels tell what may be submitted from what may be registered. */
static int has_restrictions(struct uring_reading *s, const char *member)
{
	int r = has_word(s, member);

	if (r != -ENOENT)
		return r;
	err_clear(s->c->ctx);
	r = has_word(s, "op_restricted");
	return r != 0 ? r : has_word(s, "reg_restricted");
}

/*
 * A kernel that has no such member may have no such feature, or have it by another name. So those must
 * be there that every kernel has whose rings can be read at all.
 */
static const struct unkept {
	const char *member;
	int (*has)(struct uring_reading *s, const char *member);
	const char *what;
	bool may_lack; /* by its version or configuration */
} unkept[] = {
	{"compat", has_word, "is an io_uring of a 32-bit program", false},
	{"restricted", has_restrictions,
	 "is an io_uring with restrictions (IORING_REGISTER_RESTRICTIONS)", false},
	{"personalities", has_entries,
	 "is an io_uring with credentials of its own (IORING_REGISTER_PERSONALITY)", false},
	{"io_bl_xa", has_entries,
	 "is an io_uring with provided buffers (IORING_REGISTER_PBUF_RING)", false},
	{"zcrx_ctxs", has_entries, "is an io_uring that receives from a network device", true},
	{"napi_track_mode", has_tracking, "is an io_uring with busy polling (IORING_REGISTER_NAPI)",
	 true},
	{"clockid", has_clock, "is an io_uring with a clock (IORING_REGISTER_CLOCK)", false},
	{"param_region", has_region, "is an io_uring with a region (IORING_REGISTER_MEM_REGION)",
	 false},
	{"cq_overflow_list", has_list,
	 "is an io_uring with more completions than its ring has room for", false},
};

/* 1: refused. */
static int refuse_unkept(struct uring_reading *s)
{
	uint32_t flags = 0;
	int r = uring_get32(s, "flags", &flags);

	if (r < 0)
		return r;
	if (flags & ~(uint32_t)URING_SETUP_KEPT)
		return uring_refuse(
			s, "have the program set it up without",
			arena_printf(s->c->arena,
				     "is an io_uring with setup flags %#x, of which %#x are "
				     "not kept",
				     flags, flags & ~(uint32_t)URING_SETUP_KEPT));
	/* Its size says as much; and nothing is attached to but what SQPOLL has. */
	s->ring->flags = flags & ~(uint32_t)(IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP);
	for (size_t i = 0; i < ARRAY_SIZE(unkept); i++) {
		r = unkept[i].has(s, unkept[i].member);
		if (r == -ENOENT && unkept[i].may_lack)
			err_clear(s->c->ctx);
		else if (r != 0)
			return r < 0 ? r
				     : uring_refuse(s, "have the program close it before the dump",
						    unkept[i].what);
	}
	return 0;
}

/* ---- in flight ------------------------------------------------------------------------------ */

/* 1: refused. They have been waited for. */
static int refuse_in_flight(struct uring_reading *s)
{
	uint32_t n = 0;
	int r = uring_in_flight(s, &n);

	if (r < 0 || n == 0)
		return r;
	return uring_refuse(
		s, "have the program wait for them, or cancel them",
		arena_printf(s->c->arena,
			     "is an io_uring with %u requests in flight that have not ended "
			     "within %d seconds",
			     n, URING_WAIT_MS / 1000));
}

/* ---- rings ---------------------------------------------------------------------------------- */

static int read_region(struct uring_reading *s, const char *member, off_t offset,
		       ProtobufCBinaryData *ret)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t at = 0, pages = 0;
	size_t len;
	void *map;
	int r = uring_place(s, member, &at);

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

static int read_counters(struct uring_reading *s)
{
	Coppice__IoUring *ring = s->ring;
	uint32_t disabled = 0;
	int r = uring_get32(s, "sq_entries", &ring->sq_entries);

	if (r == 0)
		r = uring_get32(s, "cq_entries", &ring->cq_entries);
	if (r == 0)
		r = uring_get32(s, "cached_sq_head", &ring->sq_head);
	if (r == 0)
		r = uring_get32(s, "cached_cq_tail", &ring->cq_tail);
	if (r == 0)
		r = uring_get32(s, "drain_disabled", &disabled);
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
static int refuse_counters(struct uring_reading *s)
{
	struct uring_steps n;
	uint64_t all;

	uring_steps(s->ring, &n);
	all = (uint64_t)n.plain + n.silent + n.dropped + n.messages;
	if (n.dropped > 0 && (s->ring->flags & IORING_SETUP_NO_SQARRAY))
		return uring_refuse(s, NULL, "is an io_uring that lost submissions");
	if (all <= URING_STEPS_MAX)
		return 0;
	return uring_refuse(
		s, "have the program set up a new one from time to time",
		arena_printf(s->c->arena,
			     "is an io_uring whose counters stand at %u and %u, too far to "
			     "be reached again in about a minute",
			     s->ring->sq_head, s->ring->cq_tail));
}

/* ---- who it belongs to ---------------------------------------------------------------------- */

struct collect_thread *uring_find_thread(struct collect *c, pid_t tid)
{
	for (size_t i = 0; i < c->n_processes; i++)
		for (size_t k = 0; k < c->processes[i].n_threads; k++)
			if (c->processes[i].threads[k].tid == tid)
				return &c->processes[i].threads[k];
	return NULL;
}

uint32_t uring_index_of(const struct collect_thread *th)
{
	return (uint32_t)(th - th->process->threads);
}

/* The one thread that may submit, if there is such; 1: refused. */
static int read_submitter(struct uring_reading *s)
{
	const struct collect_thread *th = &s->probe->process->threads[0];
	uint64_t task = 0;
	pid_t tid = 0;
	int r = 0;

	if (s->ring->flags & IORING_SETUP_SINGLE_ISSUER)
		r = uring_get(s, "submitter_task", &task);
	if (r == 0 && task != 0) {
		r = view_task_number(s->v, task, &tid);
		th = r == 0 ? uring_find_thread(s->c, tid) : NULL;
	}
	if (r < 0)
		return r;
	if (!th)
		return uring_refuse(s, "have the program close it before the dump",
				    "is an io_uring for a single thread, which is not in the tree");
	s->ring->process = th->process->msg->id;
	s->ring->thread = uring_index_of(th);
	return 0;
}

/* ---- all at once ---------------------------------------------------------------------------- */

static int read_limits(struct uring_reading *s)
{
	struct view_member m;
	uint32_t set = 0;
	int r = uring_get32(s, "iowq_limits_set", &set);

	if (r < 0 || !set)
		return r;
	r = view_find(s->v, "io_ring_ctx", "iowq_limits", &m);
	s->ring->worker_limits = arena_new_n(s->c->arena, uint32_t, 2);
	if (!s->ring->worker_limits)
		return err_oom(s->c->ctx);
	s->ring->n_worker_limits = 2;
	return r < 0 ? r : view_read(s->v, s->ctx + m.offset, s->ring->worker_limits, 8);
}

int uring_begin(struct uring_reading *s)
{
	int r = collect_view(s->c, &s->v);

	if (r == 0)
		r = view_file(s->v, s->probe->fd, &s->file);
	return r < 0 ? r : view_get(s->v, s->file, "file", "private_data", &s->ctx);
}

static int read_all(struct uring_reading *s)
{
	int r = uring_begin(s);

	if (r == 0)
		r = refuse_unkept(s);
	if (r == 0)
		r = read_submitter(s);
	if (r == 0)
		r = refuse_in_flight(s);
	if (r == 0)
		r = read_counters(s);
	if (r == 0)
		r = refuse_counters(s);
	return r != 0 ? r : read_limits(s);
}

int uring_settle(struct collect *c, const struct file_probe *probe, int r)
{
	const char *what;

	if (!view_is_barred(r))
		return r < 0 ? r : 0;
	what = arena_printf(c->arena, "%s, fd %d (%s): is an io_uring",
			    collect_name(c, probe->process), probe->number, probe->link);
	return collect_refuse_unseen(c, what ? what : probe->link);
}

int uring_read(struct collect *c, const struct file_probe *probe, Coppice__IoUring *ring)
{
	struct uring_reading s = {.c = c, .probe = probe, .ring = ring};

	return uring_settle(c, probe, read_all(&s));
}
