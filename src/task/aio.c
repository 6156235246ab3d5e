/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts of io_setup(2), struct kioctx: a ring of completed events that the program maps and whose
 * address is the context's name, and the kernel's own idea of where its end is.
 *
 * Nothing outside the kernel tells whether requests are in flight, so that is looked up there
 * (kernel/view.h): a context has as many slots for requests as its ring has room for events, less
 * one, and each is free (in one place, or held ready on some CPU), taken by an event that was not
 * read when the kernel last looked, or in flight. Those are waited for, also polls
 * (IOCB_CMD_POLL) as long as they end by themselves.
 *
 * The kernel's end of the ring moves by completing requests alone: reads of nothing. Numbers of
 * contexts are given out in order, so those between are made and destroyed. How many slots are held
 * ready on which CPU is not kept.
 *
 * A child inherits the mapping of a ring, without the context: refused.
 */
#include "task/aio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kernel/view.h"
#include "kind/task.h"
#include "task/memory-vma.h"
#include "util/cleanup.h"

enum {
	WAIT_ROUNDS = 3000,	/* of a millisecond each */
	CONTEXTS_MAX = 1 << 16, /* the usual fs.aio-max-nr: each takes at least one */
	BATCH = 16,		/* requests: fewer than any context has room for */
	HEAD_AT = 8,		/* in the ring: struct aio_ring, fs/aio.c */
	EVENTS_AT = 32,
	EVENT_SIZE = sizeof(struct io_event),
};

bool aio_is_ring(const Coppice__Vma *vma)
{
	return vma->kind == COPPICE__VMA_KIND__VMA_KIND_OWNED && strcmp(vma->name, "/[aio]") == 0;
}

/* ---- dump ----------------------------------------------------------------------------------- */

/* The contexts of one address space being read. */
struct reading {
	struct collect *c;
	struct collect_process *p;
	Coppice__Mm *mm;
	struct kernel_view *v;
	int mem;	  /* /proc/PID/mem; owned */
	uint64_t context; /* struct kioctx */
};

static int refuse(struct reading *s, uint64_t address, const char *hint, const char *what)
{
	int r = collect_refuse(s->c, hint, "%s, context %#llx of io_setup(): %s",
			       collect_name(s->c, s->p), (unsigned long long)address, what);

	return r < 0 ? r : 1;
}

static int get(struct reading *s, const char *member, uint64_t *ret)
{
	return view_get(s->v, s->context, "kioctx", member, ret);
}

static int get32(struct reading *s, const char *member, uint32_t *ret)
{
	uint64_t value = 0;
	int r = get(s, member, &value);

	*ret = (uint32_t)value;
	return r;
}

/* Slots that the CPUs hold ready, in all. */
static int count_ready(struct reading *s, uint32_t *ret)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	uint64_t shared = 0;
	int r = get(s, "cpu", &shared);

	*ret = 0;
	for (uint32_t i = 0; r == 0 && i < (uint32_t)cpus; i++) {
		uint64_t offset, ready = 0;

		r = view_per_cpu(s->v, i, &offset);
		if (r == 0)
			r = view_get(s->v, shared + offset, "kioctx_cpu", "reqs_available", &ready);
		*ret += (uint32_t)ready;
	}
	return r;
}

static int count_in_flight(struct reading *s, uint32_t events, uint32_t *ret)
{
	uint32_t spare = 0, ready = 0, completed = 0;
	int r = get32(s, "reqs_available", &spare);

	if (r == 0)
		r = count_ready(s, &ready);
	if (r == 0)
		r = get32(s, "completed_events", &completed);
	*ret = events - 1 - spare - ready - completed;
	return r;
}

/* 1: refused. */
static int await_idle(struct reading *s, const Coppice__AioContext *aio)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	uint32_t n = 0;

	for (int round = 0; round < WAIT_ROUNDS; round++) {
		int r = count_in_flight(s, aio->events, &n);

		if (r == 0 && n > 0)
			r = cancel_point(s->c->ctx);
		if (r < 0 || n == 0)
			return r;
		(void)nanosleep(&moment, NULL); /* shorter, after a signal, does no harm */
	}
	return refuse(s, aio->address, "have the program wait for them, or cancel them",
		      arena_printf(s->c->arena,
				   "%u requests are in flight and have not ended within %d seconds",
				   n, WAIT_ROUNDS / 1000));
}

/* The ring must be mapped where its name says, as a whole; 1: refused. */
static int read_ring(struct reading *s, Coppice__AioContext *aio)
{
	const Coppice__Vma *vma = NULL;
	uint64_t size = 0;
	size_t i = vma_find(s->mm, aio->address);
	ssize_t n;
	int r = get(s, "mmap_size", &size);

	if (r < 0)
		return r;
	if (i < s->mm->n_vmas)
		vma = s->mm->vmas[i];
	if (!vma || !aio_is_ring(vma) || vma->start != aio->address ||
	    vma->end - vma->start != size)
		return refuse(s, aio->address, "have the program destroy it",
			      "its ring is not mapped as a whole");
	aio->ring.data = arena_alloc(s->c->arena, size);
	if (!aio->ring.data)
		return err_oom(s->c->ctx);
	aio->ring.len = size;
	n = pread(s->mem, aio->ring.data, size, (off_t)aio->address);
	return n == (ssize_t)size ? 0
				  : err_sys(s->c->ctx, n < 0 ? -errno : -EIO,
					    "reading the ring of an AIO context");
}

static int read_context(struct reading *s)
{
	Coppice__AioContext *aio = arena_new(s->c->arena, Coppice__AioContext);
	Coppice__AioContext **slot;
	int r;

	slot = arena_append(s->c->arena, &s->mm->aio, &s->mm->n_aio, sizeof(*slot));
	if (!aio || !slot)
		return err_oom(s->c->ctx);
	coppice__aio_context__init(aio);
	*slot = aio;
	r = get(s, "user_id", &aio->address);
	if (r == 0)
		r = get32(s, "id", &aio->id);
	if (r == 0)
		r = get32(s, "max_reqs", &aio->requests);
	if (r == 0)
		r = get32(s, "nr_events", &aio->events);
	if (r == 0)
		r = await_idle(s, aio);
	if (r == 0)
		r = get32(s, "tail", &aio->tail);
	return r != 0 ? r : read_ring(s, aio);
}

/* mm_struct, which is what an open /proc/PID/mem is for the kernel. */
static int find_mm(struct reading *s, uint64_t *ret)
{
	uint64_t file;
	int r = collect_view(s->c, &s->v);

	if (r == 0)
		r = view_file(s->v, s->mem, &file);
	return r < 0 ? r : view_get(s->v, file, "file", "private_data", ret);
}

static int read_contexts(struct reading *s)
{
	struct view_member slots;
	uint64_t mm, table = 0, n = 0;
	int r = find_mm(s, &mm);

	if (r == 0)
		r = view_get(s->v, mm, "mm_struct", "ioctx_table", &table);
	if (r == 0)
		r = view_find(s->v, "kioctx_table", "table", &slots);
	if (r == 0 && table != 0)
		r = view_get(s->v, table, "kioctx_table", "nr", &n);
	for (uint64_t i = 0; r == 0 && i < MIN(n, (uint64_t)CONTEXTS_MAX); i++) {
		r = view_read(s->v, table + slots.offset + i * sizeof(s->context), &s->context,
			      sizeof(s->context));
		if (r == 0 && s->context != 0)
			r = read_context(s);
	}
	return r;
}

static bool has_context(const Coppice__Mm *mm, uint64_t address)
{
	for (size_t i = 0; i < mm->n_aio; i++)
		if (mm->aio[i]->address == address)
			return true;
	return false;
}

static int refuse_inherited(struct reading *s)
{
	for (size_t i = 0; i < s->mm->n_vmas; i++)
		if (aio_is_ring(s->mm->vmas[i]) && !has_context(s->mm, s->mm->vmas[i]->start))
			return refuse(s, s->mm->vmas[i]->start, "have the program unmap it",
				      "it is another process's, which this one has the ring of");
	return 0;
}

static bool has_ring(const Coppice__Mm *mm)
{
	for (size_t i = 0; i < mm->n_vmas; i++)
		if (aio_is_ring(mm->vmas[i]))
			return true;
	return false;
}

static int collect(struct collect *c, struct collect_process *p)
{
	_cleanup_close_ int mem = -EBADF;
	struct reading s = {.c = c, .p = p};
	const char *what;
	int r;

	if (p->zombie || p->mm_owner != p)
		return 0;
	s.mm = c->cp->mms[p->msg->mm - 1];
	if (!has_ring(s.mm))
		return 0;
	s.mem = mem = openat(p->proc_fd, "mem", O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return err_sys(c->ctx, -errno, "open(/proc/%d/mem)", p->pid);
	r = read_contexts(&s);
	if (r == 0)
		r = refuse_inherited(&s);
	if (!view_is_barred(r))
		return r < 0 ? r : 0;
	what = arena_printf(c->arena, "%s: has a context of io_setup()", collect_name(c, p));
	return collect_refuse_unseen(c, what ? what : "io_setup()");
}

/* ---- restore -------------------------------------------------------------------------------- */

/* The contexts of one address space being made. */
struct making {
	struct rebuild *r;
	struct rebuild_process *p;
	const Coppice__Mm *mm;
	struct call_table table;
	uint32_t n;	   /* contexts made, those in between too */
	uint64_t *address; /* where each was put first */
};

static int run(struct making *m)
{
	int result = puppet_run(m->r->ctx, m->p->puppet, &m->table);

	call_table_reset(&m->table);
	return result;
}

/* The context with this number, or NULL for one in between. */
static const Coppice__AioContext *with_id(const struct making *m, uint32_t id)
{
	for (size_t i = 0; i < m->mm->n_aio; i++)
		if (m->mm->aio[i]->id == id)
			return m->mm->aio[i];
	return NULL;
}

/* So that no new ring lands where another belongs. */
static int reserve(struct making *m)
{
	for (size_t i = 0; i < m->mm->n_aio; i++) {
		const Coppice__AioContext *aio = m->mm->aio[i];
		uint32_t call = call_add(
			&m->table, "mmap (a place for a ring)", SYS_mmap, CALL_IMM(aio->address),
			CALL_IMM(aio->ring.len), CALL_IMM(PROT_NONE),
			CALL_IMM(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE),
			CALL_IMM(-1), CALL_IMM(0));

		call_expect_exact(&m->table, call, (int64_t)aio->address);
	}
	return run(m);
}

static int set_up(struct making *m)
{
	int result;

	for (uint32_t id = 0; id < m->n; id++) {
		const Coppice__AioContext *aio = with_id(m, id);
		uint32_t at = call_space(&m->table, NULL, sizeof(uint64_t));

		call_add(&m->table, "io_setup", SYS_io_setup, CALL_IMM(aio ? aio->requests : 1),
			 CALL_DATA(at));
	}
	result = puppet_run(m->r->ctx, m->p->puppet, &m->table);
	if (result == -EAGAIN)
		(void)err_hint(m->r->ctx, result, "raise the sysctl fs.aio-max-nr");
	for (uint32_t id = 0; result == 0 && id < m->n; id++)
		memcpy(&m->address[id], call_arg_bytes(&m->table, id, 1), sizeof(m->address[id]));
	call_table_reset(&m->table);
	return result;
}

/* The number of CPUs has a say in the size of a ring (ioctx_alloc()). */
static int check_size(struct making *m, const Coppice__AioContext *aio)
{
	struct {
		uint32_t id;
		uint32_t nr;
	} head;
	int result = puppet_read(m->r->ctx, m->p->puppet, m->address[aio->id], &head, sizeof(head));

	if (result < 0)
		return result;
	if (head.id != aio->id || head.nr != aio->events)
		return err_msg(m->r->ctx, -EOPNOTSUPP,
			       "an AIO context for %u requests has number %u and room for %u "
			       "events here, and had %u and %u",
			       aio->requests, head.id, head.nr, aio->id, aio->events);
	return 0;
}

/* To their places, those in between to nowhere. */
static int move(struct making *m)
{
	for (uint32_t id = 0; id < m->n; id++) {
		const Coppice__AioContext *aio = with_id(m, id);
		uint32_t call;

		if (!aio) {
			call_add(&m->table, "io_destroy", SYS_io_destroy, CALL_IMM(m->address[id]));
			continue;
		}
		call = call_add(&m->table, "mremap (a ring)", SYS_mremap, CALL_IMM(m->address[id]),
				CALL_IMM(aio->ring.len), CALL_IMM(aio->ring.len),
				CALL_IMM(MREMAP_MAYMOVE | MREMAP_FIXED), CALL_IMM(aio->address));
		call_expect_exact(&m->table, call, (int64_t)aio->address);
	}
	return run(m);
}

/* ---- events --------------------------------------------------------------------------------- */

static uint32_t unread_of(const Coppice__AioContext *aio)
{
	uint32_t head;

	memcpy(&head, aio->ring.data + HEAD_AT, sizeof(head));
	return (aio->tail + aio->events - head % aio->events) % aio->events;
}

/* Where the program's head may be after so many events: never past its place in the end. */
static uint32_t head_for(const Coppice__AioContext *aio, uint32_t done)
{
	uint32_t unread = unread_of(aio);

	if (unread > aio->tail) /* the ring's end lies between */
		return aio->tail + aio->events - unread;
	return MIN(done, aio->tail - unread);
}

/* Pointers to one request, as many as a call may have, and the request behind them. */
static uint32_t add_requests(struct making *m)
{
	struct {
		uint64_t pointer[BATCH];
		struct iocb request;
	} piece = {
		/* A read of nothing from a socket: it ends at once. */
		.request.aio_lio_opcode = IOCB_CMD_PREAD,
		.request.aio_fildes = (uint32_t)(m->r->fd_base + REBUILD_FD_DOORBELL),
	};
	uint32_t at = call_space(&m->table, &piece, sizeof(piece));

	for (uint32_t i = 0; i < BATCH; i++)
		call_point(&m->table, at + i * (uint32_t)sizeof(uint64_t),
			   at + (uint32_t)offsetof(typeof(piece), request));
	return at;
}

static void add_head(struct making *m, const Coppice__AioContext *aio, uint32_t done)
{
	uint32_t head = head_for(aio, done);

	call_add(&m->table, "setting the head of a ring", CALL_OP_COPY,
		 CALL_IMM(aio->address + HEAD_AT),
		 CALL_DATA(call_space(&m->table, &head, sizeof(head))), CALL_IMM(sizeof(head)));
}

/* Completes as many requests as bring the kernel's end of the ring to where it was. */
static int complete(struct making *m, const Coppice__AioContext *aio)
{
	enum { CALLS = 256 };
	uint32_t done = 0;
	int result = 0;

	while (result == 0 && done < aio->tail) {
		uint32_t requests = add_requests(m);

		add_head(m, aio, done);
		for (int i = 0; i < CALLS && done < aio->tail; i++) {
			uint32_t some = MIN(aio->tail - done, (uint32_t)BATCH);

			call_expect_exact(&m->table,
					  call_add(&m->table, "io_submit", SYS_io_submit,
						   CALL_IMM(aio->address), CALL_IMM(some),
						   CALL_DATA(requests)),
					  some);
			done += some;
			add_head(m, aio, done);
		}
		result = run(m);
	}
	return result;
}

static int fill(struct making *m, const Coppice__AioContext *aio)
{
	const Coppice__Vma *vma = m->mm->vmas[vma_find(m->mm, aio->address)];
	int result = complete(m, aio);

	if (result == 0)
		result = puppet_write(m->r->ctx, m->p->puppet, aio->address, aio->ring.data,
				      aio->ring.len);
	if (result < 0 || vma->prot == (PROT_READ | PROT_WRITE))
		return result;
	call_add(&m->table, "mprotect", SYS_mprotect, CALL_IMM(vma->start),
		 CALL_IMM(vma->end - vma->start), CALL_IMM(vma->prot));
	return run(m);
}

int aio_rebuild(struct rebuild *r, struct rebuild_process *p, struct arena *arena)
{
	struct making m = {.r = r, .p = p, .mm = p->mm};
	int result;

	if (m.mm->n_aio == 0)
		return 0;
	call_table_init(&m.table, arena);
	m.n = m.mm->aio[m.mm->n_aio - 1]->id + 1;
	m.address = arena_new_n(arena, uint64_t, m.n);
	if (!m.address)
		return err_oom(r->ctx);
	result = reserve(&m);
	if (result == 0)
		result = set_up(&m);
	for (size_t i = 0; result == 0 && i < m.mm->n_aio; i++)
		result = check_size(&m, m.mm->aio[i]);
	if (result == 0)
		result = move(&m);
	for (size_t i = 0; result == 0 && i < m.mm->n_aio; i++)
		result = fill(&m, m.mm->aio[i]);
	return result;
}

const struct task_aspect aspect_aio = {
	.name = "AIO contexts",
	.collect = collect,
};
