/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that the coordinator puts in place, through /proc/PID/mem, which writes where the process
 * itself may not, as it does for debuggers' breakpoints:
 *
 *  - pages in private mappings that never were writable: such a mapping is not charged as memory,
 *    and making it writable for a moment would charge it for good;
 *  - pages of zeros above a file, whose own page would show instead: no page file has them.
 *
 * Both are few. A page that a fork has brought already is written again, which costs a copy.
 */
#include "task/memory-force.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "image/pages.h"
#include "image/reader.h"
#include "kernel/proc.h"
#include "task/memory-finish.h"
#include "task/memory-vma.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { CHUNK = 64 * 1024 };

struct force {
	struct rebuild *r;
	const struct rebuild_process *p;
	int mem;   /* /proc/PID/mem; owned */
	int pages; /* the page file read last; owned */
	uint32_t pages_id;
};

static void force_deinit(struct force *f)
{
	close_guard(&f->mem);
	close_guard(&f->pages);
}

static int open_mem(struct force *f)
{
	_cleanup_close_ int proc_fd = -EBADF;
	pid_t pid = f->p->puppet->tid;
	int r = proc_open(pid, &proc_fd);

	if (r < 0)
		return err_sys(f->r->ctx, r, "open(/proc/%d)", pid);
	f->mem = openat(proc_fd, "mem", O_WRONLY | O_CLOEXEC);
	return f->mem < 0 ? err_sys(f->r->ctx, -errno, "open(/proc/%d/mem)", pid) : 0;
}

static int open_pages(struct force *f, uint32_t id)
{
	int r;

	if (f->pages_id == id)
		return 0;
	close_guard(&f->pages);
	f->pages = -EBADF;
	r = image_reader_open_pages(f->r->ctx, f->r->images, f->r->cp->page_files[id - 1],
				    &f->pages);
	f->pages_id = r == 0 ? id : 0;
	return r;
}

static int force_piece(struct force *f, const struct page_piece *piece)
{
	unsigned char bytes[CHUNK] = {};
	bool data = piece->kind == COPPICE__PAGE_KIND__PAGE_KIND_DATA;
	int r = data ? open_pages(f, piece->file) : 0;

	for (uint64_t at = 0; r == 0 && at < piece->len; at += CHUNK) {
		uint64_t to = piece->address + at;
		size_t len = (size_t)MIN((uint64_t)CHUNK, piece->len - at);

		r = data ? io_pread_exact(f->pages, bytes, len, (off_t)(piece->offset + at)) : 0;
		if (r < 0)
			return err_sys(f->r->ctx, r, "reading a page file");
		r = io_pwrite_all(f->mem, bytes, len, (off_t)to);
		if (r < 0)
			return err_sys(f->r->ctx, r, "pwrite(/proc/%d/mem, %#llx)",
				       f->p->puppet->tgid, (unsigned long long)to);
	}
	return r;
}

static int force_vma(struct force *f, const Coppice__Vma *vma)
{
	const Coppice__Mm *mm = f->p->mm;
	bool all = memory_page_entry(vma) == PAGES_FORCE;
	struct page_cursor cursor;
	struct page_piece piece;
	int r = 0;

	page_cursor_init(&cursor, mm->pages, mm->n_pages, f->r->cp->origin->page_size, vma->start,
			 vma->end);
	while (r == 0 && page_cursor_next(&cursor, &piece))
		if (all || piece.kind == COPPICE__PAGE_KIND__PAGE_KIND_ZERO)
			r = force_piece(f, &piece);
	return r;
}

int force_pages(struct rebuild *r, const struct rebuild_process *p)
{
	_cleanup_(force_deinit) struct force f = {.r = r, .p = p, .mem = -EBADF, .pages = -EBADF};
	int ret = open_mem(&f);

	for (size_t i = 0; ret == 0 && i < p->mm->n_vmas; i++)
		if (vma_has_private_pages(p->mm->vmas[i]))
			ret = force_vma(&f, p->mm->vmas[i]);
	return ret;
}
