/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling: a stub gets the mappings and pages of its program. The stub does all of it by itself,
 * from call tables: it maps, opens page files below the image directory, and reads the pages into
 * place.
 *
 * What the stub starts from:
 *	bare ........ its own area and the kernel's vdso, nothing else
 *	inherited ... it was forked by a stub that was filled before (rebuild_process.inherits).
 *		      If that is the process it shared pages with copy-on-write, mappings that are
 *		      alike are kept, pages which it did not share are dropped (MADV_DONTNEED) and
 *		      read anew, and what is marked shared is left alone. Otherwise everything goes.
 *
 * Mappings stay writable where pages are read into them, also in what a child will inherit;
 * memory-finish.c gives them their protection. Mappings are made with MAP_FIXED_NOREPLACE: the
 * stubs' area was chosen where no program has anything, so a collision is an error.
 *
 * PR_SET_MM_MAP comes after the unmapping and before any mapping: the kernel refuses another
 * executable (EBUSY) while the old one is mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "image/pages.h"
#include "task/memory-diff.h"
#include "task/memory-finish.h"
#include "task/memory-force.h"
#include "task/memory-layout.h"
#include "task/memory-marks.h"
#include "task/memory-vdso.h"
#include "task/memory-vma.h"
#include "task/memory.h"
#include "util/cleanup.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

enum {
	IOV_ROOM = 512,		 /* runs in one preadv: what fits comfortably into a slot */
	TABLE_CALLS = 2048,	 /* a table is run when it has this many entries */
	READ_MAX = 64 << 20,	 /* bytes in one preadv */
	TABLE_BYTES = 256 << 20, /* bytes read by one table, so that progress is seen */
	WINDOW = 16,		 /* stubs that work at a time */
};

/* A page file that the stub reads from. */
struct page_source {
	uint32_t file; /* PageFile.id */
	uint32_t call; /* the openat() in the first table */
	int fd;	       /* its result, once that table was run; else -1 */
};

enum fill_stage {
	FILL_SETUP,
	FILL_MAP,
	FILL_DROP,
	FILL_READ,
	FILL_CLOSE,
	FILL_DONE,
};

struct fill {
	struct rebuild *r;
	struct rebuild_process *p;
	const Coppice__Mm *mm;
	const Coppice__Mm *inherited; /* what is mapped at the start; NULL: nothing */
	const Coppice__Mm *kept;      /* the same if pages are shared, else NULL */
	struct arena arena;	      /* of the sources */
	struct arena table_arena;     /* of the table */
	struct call_table table;
	struct page_source *sources;
	size_t n_sources;
	enum fill_stage stage;
	struct vma_diff diff; /* of the stage under way */
	bool in_step;	      /* FILL_DROP, FILL_READ: @step has pages not looked at yet */
	struct vma_step step;
	struct page_cursor cursor;
	bool has_forced; /* there are pages that the coordinator has to put in place */
	/* Reads that one preadv can do. */
	struct iovec iov[IOV_ROOM];
	size_t n_iov;
	uint32_t iov_file;
	uint64_t iov_offset;
	uint64_t iov_bytes;
	uint64_t table_bytes;
};

static uint32_t page_size(const struct fill *f)
{
	return f->r->cp->origin->page_size;
}

static bool table_is_full(const struct fill *f)
{
	return f->table.n_calls >= TABLE_CALLS || f->table_bytes >= TABLE_BYTES;
}

/* ---- setup --------------------------------------------------------------------------------- */

static bool shares_pages(const struct rebuild *r, const struct rebuild_process *p)
{
	return p->inherits && p->msg->cow_parent != 0 &&
	       r->processes[p->msg->cow_parent - 1].mm == p->inherits->mm &&
	       p->inherits->mm->exe == p->mm->exe;
}

static struct page_source *find_source(struct fill *f, uint32_t file)
{
	for (size_t i = 0; i < f->n_sources; i++)
		if (f->sources[i].file == file)
			return &f->sources[i];
	return NULL;
}

static int open_source(struct fill *f, uint32_t file)
{
	const char *name = f->r->cp->page_files[file - 1]->name;
	struct page_source *source;

	source = arena_append(&f->arena, &f->sources, &f->n_sources, sizeof(*source));
	if (!source)
		return err_oom(f->r->ctx);
	source->file = file;
	source->fd = -1;
	source->call = call_add(&f->table, "openat (page file)", SYS_openat,
				CALL_IMM(f->r->fd_base + REBUILD_FD_IMAGES),
				CALL_DATA(call_string(&f->table, name)),
				CALL_IMM(O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
	return 0;
}

static int open_sources(struct fill *f)
{
	uint32_t last = 0;

	for (size_t i = 0; i < f->mm->n_pages; i++) {
		const Coppice__PageRun *run = f->mm->pages[i];
		int r;

		f->has_forced |= run->kind == COPPICE__PAGE_KIND__PAGE_KIND_ZERO;
		if (run->kind != COPPICE__PAGE_KIND__PAGE_KIND_DATA || run->file == last)
			continue;
		last = run->file;
		r = find_source(f, last) ? 0 : open_source(f, last);
		if (r < 0)
			return r;
	}
	return 0;
}

static void add_munmap(struct fill *f, uint64_t start, uint64_t end)
{
	call_add(&f->table, "munmap", SYS_munmap, CALL_IMM(start), CALL_IMM(end - start));
}

/* Neighbours go together. */
static void unmap_unkept(struct fill *f)
{
	static const Coppice__Mm nothing = COPPICE__MM__INIT;
	struct vma_diff diff;
	struct vma_step step;
	uint64_t start = 0;
	uint64_t end = 0;

	if (!f->inherited)
		return;
	vma_diff_init(&diff, f->inherited, f->kept ? f->mm : &nothing);
	while (vma_diff_next(&diff, &step)) {
		if (step.kind != VMA_UNMAP && step.kind != VMA_REPLACE)
			continue;
		if (step.start != end) {
			if (start < end)
				add_munmap(f, start, end);
			start = step.start;
		}
		end = step.end;
	}
	if (start < end)
		add_munmap(f, start, end);
}

/* Room for the vdso's detour: where neither the old nor the new layout has anything. */
static int find_spare(struct fill *f, const struct vdso_layout *from, uint64_t size, uint64_t *ret)
{
	const Coppice__Mm *mms[] = {f->mm, f->inherited};
	size_t n = 0;
	struct address_range *used = arena_new_n(
		&f->arena, struct address_range,
		f->mm->n_vmas + (f->inherited ? f->inherited->n_vmas : 0) + from->n + 1);

	if (!used)
		return err_oom(f->r->ctx);
	for (size_t i = 0; i < ARRAY_SIZE(mms); i++)
		for (size_t k = 0; mms[i] && k < mms[i]->n_vmas; k++)
			used[n++] = (struct address_range){mms[i]->vmas[k]->start,
							   mms[i]->vmas[k]->end};
	for (size_t i = 0; i < from->n; i++)
		used[n++] = (struct address_range){from->piece[i].start,
						   from->piece[i].start + from->piece[i].len};
	used[n++] = (struct address_range){f->r->stub_base, f->r->stub_base + f->r->stub_size};
	*ret = layout_find_gap(used, n, size, page_size(f), 0, UINT64_C(1) << 32,
			       UINT64_C(1) << 46);
	return *ret != 0 ? 0 : err_msg(f->r->ctx, -ENOMEM, "no room to move the vdso");
}

static int place_vdso(struct fill *f)
{
	struct vdso_layout from;
	struct vdso_layout to;
	uint64_t spare = 0;
	uint64_t size;
	int r = 0;

	if (f->inherited)
		vdso_layout_of_mm(f->inherited, &from);
	else
		r = vdso_layout_of_puppet(f->r->ctx, f->p->puppet, &from);
	if (r < 0)
		return r;
	vdso_layout_of_mm(f->mm, &to);
	size = vdso_spare(&from, &to);
	if (size > 0) {
		r = find_spare(f, &from, size, &spare);
		if (r < 0)
			return r;
	}
	vdso_move(&from, &to, spare, &f->table);
	return 0;
}

static int build_setup(struct fill *f)
{
	int r = open_sources(f);

	if (r < 0)
		return r;
	unmap_unkept(f);
	r = place_vdso(f);
	if (r < 0)
		return r;
	/* The executable stays what it is if a fork has brought the right one. */
	marks_restore(f->r, f->mm, f->inherited && f->inherited->exe == f->mm->exe, &f->table);
	return 0;
}

/* ---- mappings ------------------------------------------------------------------------------ */

static int map_flags(const Coppice__Vma *vma)
{
	int flags = (int)vma->flags & (MAP_TYPE | MAP_GROWSDOWN | MAP_NORESERVE);

	if (vma->advice & COPPICE__VMA_ADVICE__VMA_ADVICE_DROPPABLE)
		flags = (flags & ~MAP_TYPE) | MAP_DROPPABLE;
	if (vma_has_inode(vma))
		return flags | MAP_FIXED_NOREPLACE;
	if (vma->hugetlb_shift != 0)
		flags |= MAP_HUGETLB | (int)(vma->hugetlb_shift << MAP_HUGE_SHIFT);
	return flags | MAP_FIXED_NOREPLACE | MAP_ANONYMOUS;
}

static int map_fd(const struct fill *f, const Coppice__Vma *vma)
{
	const struct rebuild_inode *inode;

	if (!vma_has_inode(vma))
		return -1;
	inode = &f->r->inodes[vma->inode - 1];
	return vma->open_flags == O_RDWR ? inode->map_fd_rw : inode->map_fd;
}

static void add_policy(struct fill *f, const Coppice__Vma *vma)
{
	const Coppice__MemPolicy *policy = vma->policy;
	unsigned char nodes[128] = {};

	if (!policy)
		return;
	memcpy(nodes, policy->nodes.data, MIN(policy->nodes.len, sizeof(nodes)));
	call_add(&f->table, "mbind", SYS_mbind, CALL_IMM(vma->start),
		 CALL_IMM(vma->end - vma->start), CALL_IMM((uint32_t)policy->mode | policy->flags),
		 CALL_DATA(call_space(&f->table, nodes, sizeof(nodes))),
		 CALL_IMM(sizeof(nodes) * 8 + 1), CALL_IMM(0));
}

/* What decides how pages are allocated must be said before they are. */
static void add_early_advice(struct fill *f, const struct vma_step *step)
{
	uint64_t len = step->end - step->start;

	if (step->vma->advice & COPPICE__VMA_ADVICE__VMA_ADVICE_HUGEPAGE)
		call_add(&f->table, "madvise(MADV_HUGEPAGE)", SYS_madvise, CALL_IMM(step->start),
			 CALL_IMM(len), CALL_IMM(MADV_HUGEPAGE));
	if (step->vma->advice & COPPICE__VMA_ADVICE__VMA_ADVICE_NOHUGEPAGE)
		call_add(&f->table, "madvise(MADV_NOHUGEPAGE)", SYS_madvise, CALL_IMM(step->start),
			 CALL_IMM(len), CALL_IMM(MADV_NOHUGEPAGE));
}

/*
 * A mapping that counts as memory though it is not writable: mprotect() would take the charge back
 * from an anonymous one that never had a page, so it gets one for a moment.
 */
static void add_charge(struct fill *f, const struct vma_step *step)
{
	if (!step->vma->accounted || step->vma->kind != COPPICE__VMA_KIND__VMA_KIND_ANON ||
	    memory_has_pages(f->r, f->mm, step->vma))
		return;
	call_add(&f->table, "madvise(MADV_POPULATE_WRITE)", SYS_madvise, CALL_IMM(step->start),
		 CALL_IMM(page_size(f)), CALL_IMM(MADV_POPULATE_WRITE));
	call_add(&f->table, "madvise(MADV_DONTNEED)", SYS_madvise, CALL_IMM(step->start),
		 CALL_IMM(page_size(f)), CALL_IMM(MADV_DONTNEED));
}

static void add_map(struct fill *f, const struct vma_step *step)
{
	const Coppice__Vma *vma = step->vma;
	uint64_t offset = vma_has_inode(vma) ? vma->offset + (step->start - vma->start) : 0;
	uint32_t i;

	i = call_add(&f->table, "mmap", SYS_mmap, CALL_IMM(step->start),
		     CALL_IMM(step->end - step->start),
		     CALL_IMM(memory_working_prot(f->r, f->mm, vma)), CALL_IMM(map_flags(vma)),
		     CALL_IMM(map_fd(f, vma)), CALL_IMM(offset));
	call_expect_exact(&f->table, i, (int64_t)step->start);
	add_policy(f, vma);
	add_early_advice(f, step);
	add_charge(f, step);
}

static void add_keep(struct fill *f, const struct vma_step *step)
{
	int prot = memory_working_prot(f->r, f->mm, step->vma);

	if (memory_working_prot(f->r, f->kept, step->old) != prot)
		call_add(&f->table, "mprotect", SYS_mprotect, CALL_IMM(step->start),
			 CALL_IMM(step->end - step->start), CALL_IMM(prot));
}

/* Returns true when all mappings are in tables. */
static bool build_maps(struct fill *f)
{
	struct vma_step step;

	while (!table_is_full(f)) {
		if (!vma_diff_next(&f->diff, &step))
			return true;
		if (step.kind == VMA_MAP || step.kind == VMA_REPLACE)
			add_map(f, &step);
		else if (step.kind == VMA_KEEP)
			add_keep(f, &step);
	}
	return false;
}

/* ---- pages --------------------------------------------------------------------------------- */

static struct call_arg source_fd(struct fill *f, uint32_t file)
{
	const struct page_source *source = find_source(f, file);

	return source->fd >= 0 ? CALL_IMM(source->fd) : CALL_RESULT(source->call);
}

static void flush_reads(struct fill *f)
{
	uint32_t i;

	if (f->n_iov == 0)
		return;
	i = call_add(&f->table, "preadv (page file)", SYS_preadv, source_fd(f, f->iov_file),
		     CALL_DATA(call_space(&f->table, f->iov, f->n_iov * sizeof(f->iov[0]))),
		     CALL_IMM(f->n_iov), CALL_IMM(f->iov_offset), CALL_IMM(0));
	call_expect_exact(&f->table, i, (int64_t)f->iov_bytes);
	f->table_bytes += f->iov_bytes;
	f->n_iov = 0;
	f->iov_bytes = 0;
}

/* Takes as much of @piece as one preadv may still have; returns how much. */
static uint64_t add_read(struct fill *f, const struct page_piece *piece)
{
	uint64_t len;

	if (f->n_iov == IOV_ROOM || f->iov_bytes >= READ_MAX || piece->file != f->iov_file ||
	    piece->offset != f->iov_offset + f->iov_bytes)
		flush_reads(f);
	if (f->n_iov == 0) {
		f->iov_file = piece->file;
		f->iov_offset = piece->offset;
	}
	len = MIN(piece->len, (uint64_t)READ_MAX - f->iov_bytes);
	f->iov[f->n_iov++] =
		(struct iovec){.iov_base = (void *)(uintptr_t)piece->address, .iov_len = len};
	f->iov_bytes += len;
	return len;
}

static void add_drop(struct fill *f, uint64_t start, uint64_t end)
{
	struct page_cursor cursor;
	struct page_piece piece;

	if (start >= end)
		return;
	page_cursor_init(&cursor, f->kept->pages, f->kept->n_pages, page_size(f), start, end);
	if (page_cursor_next(&cursor, &piece))
		call_add(&f->table, "madvise(MADV_DONTNEED)", SYS_madvise, CALL_IMM(start),
			 CALL_IMM(end - start), CALL_IMM(MADV_DONTNEED));
}

/* In what is kept, everything between the pages that are shared: false when the table is full. */
static bool build_drops(struct fill *f)
{
	struct page_piece piece;

	if (f->step.kind != VMA_KEEP)
		return true;
	while (!table_is_full(f)) {
		if (!page_cursor_next(&f->cursor, &piece)) {
			add_drop(f, f->step.start, f->step.end);
			return true;
		}
		if (!piece.shared)
			continue;
		add_drop(f, f->step.start, piece.address);
		f->step.start = piece.address + piece.len;
	}
	return false;
}

static bool build_reads(struct fill *f)
{
	struct page_piece piece;

	while (!table_is_full(f)) {
		if (!page_cursor_next(&f->cursor, &piece))
			return true;
		if (piece.kind != COPPICE__PAGE_KIND__PAGE_KIND_DATA ||
		    (piece.shared && f->step.kind == VMA_KEEP))
			continue;
		if (memory_page_entry(f->step.vma) == PAGES_FORCE) {
			f->has_forced = true;
			continue;
		}
		while (piece.len > 0) {
			uint64_t len = add_read(f, &piece);

			piece.address += len;
			piece.offset += len;
			piece.len -= len;
		}
	}
	return false;
}

/* Moves on to the next range with private pages. */
static bool next_step(struct fill *f)
{
	while (vma_diff_next(&f->diff, &f->step)) {
		if (f->step.kind == VMA_UNMAP || !vma_has_private_pages(f->step.vma))
			continue;
		page_cursor_init(&f->cursor, f->mm->pages, f->mm->n_pages, page_size(f),
				 f->step.start, f->step.end);
		f->in_step = true;
		return true;
	}
	return false;
}

/* Does @build for the pages of one range after the other; true when that was all. */
static bool build_pages(struct fill *f, bool (*build)(struct fill *f))
{
	while (f->in_step || next_step(f)) {
		if (!build(f))
			return false;
		f->in_step = false;
	}
	return true;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void start_stage(struct fill *f, enum fill_stage stage)
{
	f->stage = stage;
	f->in_step = false;
	vma_diff_init(&f->diff, f->kept, f->mm);
}

static void add_closes(struct fill *f)
{
	for (size_t i = 0; i < f->n_sources; i++)
		call_add(&f->table, "close", SYS_close, source_fd(f, f->sources[i].file));
}

/* Builds the next table, as many stages as go into it. */
static int build_table(struct fill *f)
{
	bool done = true;
	int r;

	/* In an arena of its own: a reset table would take new memory each time. */
	arena_deinit(&f->table_arena);
	arena_init(&f->table_arena, f->r->ctx);
	call_table_init(&f->table, &f->table_arena);
	f->table_bytes = 0;
	while (done && f->stage != FILL_DONE) {
		switch (f->stage) {
		case FILL_SETUP:
			r = build_setup(f);
			if (r < 0)
				return r;
			break;
		case FILL_MAP:
			done = build_maps(f);
			break;
		case FILL_DROP:
			done = !f->kept || build_pages(f, build_drops);
			break;
		case FILL_READ:
			done = build_pages(f, build_reads);
			/* A batch of reads never waits for another table: its file may be closed. */
			flush_reads(f);
			break;
		case FILL_CLOSE:
			add_closes(f);
			break;
		case FILL_DONE:
			break;
		}
		if (done)
			start_stage(f, f->stage + 1);
	}
	return 0;
}

static int fill_start(struct fill *f)
{
	int r = build_table(f);

	return r < 0 ? r : puppet_start(f->r->ctx, f->p->puppet, &f->table);
}

/* 1: there is more to do, start again; 0: filled. */
static int fill_finish(struct fill *f)
{
	int r = puppet_finish(f->r->ctx, f->p->puppet, &f->table);

	if (r < 0)
		return r;
	for (size_t i = 0; i < f->n_sources; i++)
		if (f->sources[i].fd < 0)
			f->sources[i].fd = (int)call_result(&f->table, f->sources[i].call);
	if (f->stage != FILL_DONE)
		return 1;
	r = f->has_forced ? force_pages(f->r, f->p) : 0;
	if (r < 0)
		return r;
	f->p->filled = true;
	return 0;
}

static int while_filling(struct fill *f, int r)
{
	const Coppice__Process *msg = f->p->msg;

	return err_while(f->r->ctx, r, "filling the memory of process %d (%s)", f->p->puppet->tgid,
			 msg->n_threads > 0 ? msg->threads[0]->comm : msg->comm);
}

static void fill_init(struct fill *f, struct rebuild *r, struct rebuild_process *p)
{
	*f = (struct fill){.r = r, .p = p, .mm = p->mm};
	f->inherited = p->inherits ? p->inherits->mm : NULL;
	f->kept = shares_pages(r, p) ? f->inherited : NULL;
	arena_init(&f->arena, r->ctx);
	arena_init(&f->table_arena, r->ctx);
	start_stage(f, FILL_SETUP);
}

static void fill_deinit(struct fill *f)
{
	arena_deinit(&f->table_arena);
	arena_deinit(&f->arena);
}

int memory_fill_one(struct rebuild *r, struct rebuild_process *p)
{
	_cleanup_(fill_deinit) struct fill f;
	int ret;

	if (p->filled)
		return 0;
	fill_init(&f, r, p);
	do {
		ret = cancel_point(r->ctx);
		if (ret >= 0)
			ret = fill_start(&f);
		if (ret >= 0)
			ret = fill_finish(&f);
	} while (ret > 0);
	return ret < 0 ? while_filling(&f, ret) : 0;
}

/* Fills whose stubs work at the same time. */
struct fill_window {
	struct fill *fill[WINDOW]; /* owned */
	size_t n;
};

static void fill_free(struct fill *f)
{
	fill_deinit(f);
	free(f);
}

static void window_deinit(struct fill_window *w)
{
	for (size_t i = 0; i < w->n; i++)
		fill_free(w->fill[i]);
}

static int window_add(struct fill_window *w, struct rebuild *r, struct rebuild_process *p)
{
	struct fill *f = malloc(sizeof(*f));

	if (!f)
		return err_oom(r->ctx);
	fill_init(f, r, p);
	w->fill[w->n++] = f;
	return 0;
}

/* Lets everybody in the window do a table; who is done leaves. */
static int window_round(struct fill_window *w)
{
	size_t left = 0;
	int r = 0;

	for (size_t i = 0; i < w->n; i++) {
		r = fill_start(w->fill[i]);
		if (r < 0)
			return while_filling(w->fill[i], r);
	}
	for (size_t i = 0; i < w->n; i++) {
		int more = r < 0 ? r : fill_finish(w->fill[i]);

		if (more < 0 && r >= 0)
			r = while_filling(w->fill[i], more);
		if (more == 0)
			fill_free(w->fill[i]);
		else
			w->fill[left++] = w->fill[i];
	}
	w->n = left;
	return r;
}

static bool wants_filling(const struct rebuild_process *p)
{
	return p->mm && p->owns_mm && !p->filled;
}

int memory_fill(struct rebuild *r)
{
	_cleanup_(window_deinit) struct fill_window w = {};
	size_t next = 0;
	int ret;

	while (next < r->n_processes || w.n > 0) {
		for (; next < r->n_processes && w.n < WINDOW; next++) {
			if (!wants_filling(&r->processes[next]))
				continue;
			ret = window_add(&w, r, &r->processes[next]);
			if (ret < 0)
				return ret;
		}
		ret = cancel_point(r->ctx);
		if (ret >= 0)
			ret = window_round(&w);
		if (ret < 0)
			return ret;
		progress(r->ctx, "filling memory", next - w.n, r->n_processes);
	}
	return 0;
}
