/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings that cannot be made before what they belong to: rings of AIO contexts (aio.c), and those
 * of an io_uring, in every process that had them.
 *
 * The kernel lets nobody say where the latter go (io_uring_get_unmapped_area() refuses any address, also
 * that of mremap()): it takes the first gap that is large enough. So all gaps are filled for a
 * moment, with mappings that cost nothing, and then one is made of exactly the right size in the
 * right place, time and again. Whether the kernel searches downwards or upwards, it finds no other.
 */
#include "task/memory-owned.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/proc.h"
#include "task/aio.h"
#include "task/memory-vma.h"
#include "util/cleanup.h"

enum {
	LOWEST = 65536,		/* vm.mmap_min_addr, usually */
	CALLS_PER_TABLE = 1024, /* so that tables do not grow with the number of mappings */
};
#define HIGHEST (UINT64_C(1) << 47)

/* A process whose gaps are being filled. */
struct plugging {
	struct rebuild *r;
	struct rebuild_process *p;
	struct arena *arena;
	struct proc_map *maps; /* as they are now, by address */
	size_t n_maps;
	struct call_table table;
};

static bool is_ring(const Coppice__Vma *vma)
{
	return vma->kind == COPPICE__VMA_KIND__VMA_KIND_OWNED && vma->file != 0;
}

static bool has_rings(const Coppice__Mm *mm)
{
	for (size_t i = 0; i < mm->n_vmas; i++)
		if (is_ring(mm->vmas[i]))
			return true;
	return false;
}

static int run(struct plugging *g)
{
	int r = puppet_run(g->r->ctx, g->p->puppet, &g->table);

	call_table_reset(&g->table);
	return r;
}

static int run_if_full(struct plugging *g)
{
	return g->table.n_calls < CALLS_PER_TABLE ? 0 : run(g);
}

/* ---- gaps ----------------------------------------------------------------------------------- */

static void plug(struct plugging *g, uint64_t start, uint64_t end)
{
	/* At the ends of the address space, where nothing can be, it fails. */
	call_expect_any(&g->table,
			call_add(&g->table, "mmap (to fill a gap)", SYS_mmap, CALL_IMM(start),
				 CALL_IMM(end - start), CALL_IMM(PROT_NONE),
				 CALL_IMM(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
					  MAP_FIXED_NOREPLACE),
				 CALL_IMM(-1), CALL_IMM(0)));
}

static void unplug(struct plugging *g, uint64_t start, uint64_t end)
{
	call_add(&g->table, "munmap (of what filled a gap)", SYS_munmap, CALL_IMM(start),
		 CALL_IMM(end - start));
}

/* Does @act for every gap between the mappings that were there in the beginning. */
static int for_each_gap(struct plugging *g,
			void (*act)(struct plugging *g, uint64_t start, uint64_t end))
{
	uint64_t at = LOWEST;
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->n_maps; i++) {
		if (g->maps[i].start >= HIGHEST)
			break;
		if (g->maps[i].start > at)
			act(g, at, g->maps[i].start);
		at = MAX(at, (uint64_t)g->maps[i].end);
		r = run_if_full(g);
	}
	if (r == 0 && at < HIGHEST)
		act(g, at, HIGHEST - (uint64_t)sysconf(_SC_PAGESIZE));
	return r < 0 ? r : run(g);
}

/* ---- rings ---------------------------------------------------------------------------------- */

/* -1, which mmap() refuses, if the image has none. */
static int number_of(const struct rebuild_process *p, uint32_t file)
{
	for (size_t i = 0; i < p->fd_table->n_fds; i++)
		if (p->fd_table->fds[i]->file == file)
			return (int)p->fd_table->fds[i]->number;
	return -1;
}

static int map_ring(struct plugging *g, const Coppice__Vma *vma)
{
	uint64_t len = vma->end - vma->start;

	unplug(g, vma->start, vma->end);
	call_expect_exact(&g->table,
			  call_add(&g->table, "mmap (an io_uring)", SYS_mmap, CALL_IMM(0),
				   CALL_IMM(len), CALL_IMM(vma->prot), CALL_IMM(MAP_SHARED),
				   CALL_IMM(number_of(g->p, vma->file)), CALL_IMM(vma->offset)),
			  (int64_t)vma->start);
	return run(g);
}

static int map_rings(struct plugging *g)
{
	const Coppice__Mm *mm = g->p->mm;
	int r = for_each_gap(g, plug);

	for (size_t i = 0; r == 0 && i < mm->n_vmas; i++)
		if (is_ring(mm->vmas[i]))
			r = map_ring(g, mm->vmas[i]);
	return r;
}

/* What filled the gaps goes, all but where a ring is now. */
static void unplug_around(struct plugging *g, uint64_t start, uint64_t end)
{
	const Coppice__Mm *mm = g->p->mm;

	for (size_t i = vma_find(mm, start); i < mm->n_vmas && mm->vmas[i]->start < end; i++) {
		if (!is_ring(mm->vmas[i]))
			continue;
		if (mm->vmas[i]->start > start)
			unplug(g, start, mm->vmas[i]->start);
		start = MAX(start, mm->vmas[i]->end);
	}
	if (start < end)
		unplug(g, start, end);
}

static int map_owned(struct rebuild *r, struct rebuild_process *p, struct arena *arena)
{
	struct plugging g = {.r = r, .p = p, .arena = arena};
	_cleanup_close_ int proc_fd = -EBADF;
	int result = proc_open(p->puppet->tid, &proc_fd);

	call_table_init(&g.table, arena);
	if (result == 0)
		result = proc_read_maps(proc_fd, arena, &g.maps, &g.n_maps);
	if (result < 0)
		return err_sys(r->ctx, result, "reading /proc/%d/maps", p->puppet->tid);
	result = map_rings(&g);
	return result < 0 ? result : for_each_gap(&g, unplug_around);
}

int memory_map_owned(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_processes; i++) {
		struct rebuild_process *p = &r->processes[i];
		_cleanup_(arena_deinit) struct arena arena = {};
		int result;

		if (!p->mm || !p->owns_mm)
			continue;
		arena_init(&arena, r->ctx);
		result = aio_rebuild(r, p, &arena);
		if (result == 0 && has_rings(p->mm))
			result = map_owned(r, p, &arena);
		if (result < 0)
			return err_while(r->ctx, result, "mapping the rings of process %d (%s)",
					 p->msg->pid[0], p->threads[0].msg->comm);
	}
	return 0;
}
