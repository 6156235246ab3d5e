/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do the pages of a restored tree agree with the image? Every page that the image has must be
 * there; a page that is there and not in the image must be zero (the kernel may have filled memory
 * by huge pages, whose rest is present though nobody asked for it). With content, what is there is
 * also compared byte for byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/pages.h"
#include "image/reader.h"
#include "task/memory-vma.h"
#include "task/memory-walk.h"
#include "task/memory.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

enum { CHUNK = 256 * 1024 };

struct compare {
	struct collect *c;
	const Coppice__Checkpoint *wanted;
	struct image_reader *images;
	bool content;
	void (*differs)(void *data, const char *text);
	void *data;

	const struct collect_process *p; /* under comparison */
	int mem;			 /* its /proc/PID/mem, opened when needed; owned */
	int pages;			 /* the page file read last; owned */
	uint32_t pages_id;
	char *have; /* CHUNK bytes each; owned */
	char *want;
};

static void report(struct compare *cmp, uint64_t start, uint64_t end, const char *what)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "process %d (%s): memory %#llx-%#llx %s", cmp->p->pid,
		       cmp->p->stat.comm, (unsigned long long)start, (unsigned long long)end, what);
	cmp->differs(cmp->data, text);
}

/* By /proc/PID/mem: process_vm_readv() would end copy-on-write sharing (memory-by-coordinator.c). */
static int read_process(struct compare *cmp, uint64_t from, size_t len)
{
	int r;

	if (cmp->mem < 0)
		cmp->mem = openat(cmp->p->proc_fd, "mem", O_RDONLY | O_CLOEXEC);
	if (cmp->mem < 0)
		return err_sys(cmp->c->ctx, -errno, "open(/proc/%d/mem)", cmp->p->pid);
	r = io_pread_exact(cmp->mem, cmp->have, len, (off_t)from);
	return r < 0 ? err_sys(cmp->c->ctx, r, "pread(/proc/%d/mem)", cmp->p->pid) : 0;
}

/* What the image has: a page file's bytes, or zeros. */
static int read_image(struct compare *cmp, const struct page_piece *piece, uint64_t at, size_t len)
{
	int r = 0;

	if (!piece || piece->kind != COPPICE__PAGE_KIND__PAGE_KIND_DATA) {
		memset(cmp->want, 0, len);
		return 0;
	}
	if (cmp->pages_id != piece->file) {
		close_guard(&cmp->pages);
		cmp->pages = -EBADF;
		cmp->pages_id = 0;
		r = image_reader_open_pages(cmp->c->ctx, cmp->images,
					    cmp->wanted->page_files[piece->file - 1], &cmp->pages);
		if (r < 0)
			return r;
		cmp->pages_id = piece->file;
	}
	r = io_pread_exact(cmp->pages, cmp->want, len,
			   (off_t)(piece->offset + (at - piece->address)));
	return r < 0 ? err_sys(cmp->c->ctx, r, "reading a page file") : 0;
}

/* @piece NULL: the bytes must be zero. */
static int compare_bytes(struct compare *cmp, const struct page_piece *piece, uint64_t start,
			 uint64_t end, const char *what)
{
	for (uint64_t at = start; at < end; at += CHUNK) {
		size_t len = (size_t)MIN((uint64_t)CHUNK, end - at);
		int r = read_process(cmp, at, len);

		if (r == 0)
			r = read_image(cmp, piece, at, len);
		if (r < 0)
			return r;
		if (memcmp(cmp->have, cmp->want, len) != 0)
			report(cmp, at, at + len, what);
	}
	return 0;
}

/* What the process has and what the image has: two ascending lists, and the head of each. */
struct sides {
	struct vma_walk walk;
	const Coppice__Vma *vma; /* @range is in it */
	struct page_range range;
	struct page_cursor cursor;
	struct page_piece piece;
};

/* Pages of the process's own that the image has nothing about. */
static int compare_extra(struct compare *cmp, const Coppice__Vma *vma, uint64_t start, uint64_t end)
{
	if (vma_has_inode(vma)) {
		report(cmp, start, end, "differs from its file, which it did not");
		return 0;
	}
	return compare_bytes(cmp, NULL, start, end, "is not zero, which it was");
}

/* The next range with pages of the process's own; an empty one at the end. */
static int next_range(struct compare *cmp, struct sides *sides)
{
	int r = vma_walk_next(&sides->walk, &sides->vma, &sides->range);

	if (r == 0)
		sides->range = (struct page_range){.start = UINT64_MAX, .end = UINT64_MAX};
	return r < 0 ? err_sys(cmp->c->ctx, r, "scanning the page tables") : 0;
}

static void next_piece(struct sides *sides)
{
	if (!page_cursor_next(&sides->cursor, &sides->piece))
		sides->piece = (struct page_piece){.address = UINT64_MAX};
}

/* The heads from @at on, up to where one of them begins or ends; *@ret_at is where that is. */
static int compare_heads(struct compare *cmp, const struct sides *sides, uint64_t at,
			 uint64_t *ret_at)
{
	const struct page_range *range = &sides->range;
	const struct page_piece *piece = &sides->piece;
	uint64_t has = MAX(range->start, at);
	uint64_t wants = MAX(piece->address, at);

	if (has < wants) {
		*ret_at = MIN(range->end, wants);
		return compare_extra(cmp, sides->vma, has, *ret_at);
	}
	if (wants < has) {
		*ret_at = MIN(piece->address + piece->len, has);
		report(cmp, wants, *ret_at, "is missing");
		return 0;
	}
	*ret_at = MIN(range->end, piece->address + piece->len);
	if (!cmp->content)
		return 0;
	return compare_bytes(cmp, piece, has, *ret_at, "has other content");
}

static int compare_pages(struct compare *cmp, const struct pagemap *pagemap, const Coppice__Mm *mm,
			 const Coppice__Mm *wanted)
{
	struct sides sides;
	uint64_t at = 0;
	int r;

	vma_walk_init(&sides.walk, pagemap, mm);
	page_cursor_init(&sides.cursor, wanted->pages, wanted->n_pages, pagemap->page_size, 0,
			 UINT64_MAX);
	next_piece(&sides);
	r = next_range(cmp, &sides);
	while (r == 0 && (sides.range.start < UINT64_MAX || sides.piece.address < UINT64_MAX)) {
		r = compare_heads(cmp, &sides, at, &at);
		if (r == 0 && sides.range.end <= at)
			r = next_range(cmp, &sides);
		if (sides.piece.address + sides.piece.len <= at)
			next_piece(&sides);
	}
	return r;
}

static int compare_mm(struct compare *cmp)
{
	_cleanup_(pagemap_close) struct pagemap pagemap = {.fd = -EBADF};
	const Coppice__Mm *mm = cmp->c->cp->mms[cmp->p->msg->mm - 1];
	const Coppice__Mm *wanted = cmp->wanted->mms[cmp->p->msg->mm - 1];
	int r = pagemap_open(cmp->p->proc_fd, &pagemap);

	if (r < 0)
		return err_sys(cmp->c->ctx, r, "open(/proc/%d/pagemap)", cmp->p->pid);
	close_guard(&cmp->mem);
	cmp->mem = -EBADF;
	return compare_pages(cmp, &pagemap, mm, wanted);
}

static void compare_deinit(struct compare *cmp)
{
	close_guard(&cmp->mem);
	close_guard(&cmp->pages);
	free(cmp->have);
	free(cmp->want);
}

int memory_compare(struct collect *c, const Coppice__Checkpoint *wanted,
		   struct image_reader *images, bool content,
		   void (*differs)(void *data, const char *text), void *data)
{
	_cleanup_(compare_deinit) struct compare cmp = {
		.c = c,
		.wanted = wanted,
		.images = images,
		.content = content,
		.differs = differs,
		.data = data,
		.mem = -EBADF,
		.pages = -EBADF,
		.have = malloc(CHUNK),
		.want = malloc(CHUNK),
	};

	if (!cmp.have || !cmp.want)
		return err_oom(c->ctx);
	for (size_t i = 0; i < c->n_processes; i++) {
		const struct collect_process *p = &c->processes[i];
		int r;

		if (p->zombie || p->mm_owner != p || p->msg->mm > wanted->n_mms)
			continue;
		cmp.p = p;
		r = compare_mm(&cmp);
		if (r < 0)
			return err_while(c->ctx, r, "comparing the memory of process %d (%s)",
					 p->pid, p->stat.comm);
	}
	return 0;
}
