/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for address spaces, page runs and page files. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "image/format.h"
#include "image/validate-internal.h"

enum {
	AUXV_MAX = 4096, /* AT_VECTOR_SIZE words, far below this on any architecture */
	AUXV_ENTRY = 16,
	N_PKEYS = 16,
	HANDLE_MAX = 128, /* MAX_HANDLE_SZ */
};

static bool aligned(const struct validation *v, uint64_t value)
{
	return (value & (v->page_size - 1)) == 0;
}

/* ---- VMAs ----------------------------------------------------------------------------------- */

static int check_vma(const struct validation *v, const Coppice__Mm *mm, size_t i)
{
	const Coppice__Vma *vma = mm->vmas[i];
	bool object = vma->kind == COPPICE__VMA_KIND__VMA_KIND_FILE ||
		      vma->kind == COPPICE__VMA_KIND__VMA_KIND_SHARED_ANON;

	if (!aligned(v, vma->start) || !aligned(v, vma->end) || vma->start >= vma->end)
		return invalid(v, "vmas[%zu]: 0x%" PRIx64 "-0x%" PRIx64 " is no range of pages", i,
			       vma->start, vma->end);
	if (i > 0 && vma->start < mm->vmas[i - 1]->end)
		return invalid(v,
			       "vmas[%zu].start: 0x%" PRIx64
			       " lies before the end of the VMA before it",
			       i, vma->start);
	if (object != (vma->inode != 0))
		return invalid(v, "vmas[%zu].inode: %u does not fit its kind", i, vma->inode);
	if (vma->pkey >= N_PKEYS)
		return invalid(v, "vmas[%zu].pkey: %u, there are %d", i, vma->pkey, N_PKEYS);
	if (vma->hugetlb_shift >= 64)
		return invalid(v, "vmas[%zu].hugetlb_shift: %u", i, vma->hugetlb_shift);
	return 0;
}

static int check_guards(const struct validation *v, const Coppice__Mm *mm)
{
	uint64_t last = 0;

	for (size_t i = 0; i < mm->n_guards; i++) {
		const Coppice__Range *g = mm->guards[i];

		if (!aligned(v, g->start) || !aligned(v, g->end) || g->start >= g->end ||
		    g->start < last)
			return invalid(v,
				       "guards[%zu]: 0x%" PRIx64 "-0x%" PRIx64 " is not in order",
				       i, g->start, g->end);
		last = g->end;
	}
	return 0;
}

/* ---- page runs ------------------------------------------------------------------------------ */

static int check_source(const struct validation *v, const char *list, size_t i,
			const Coppice__PageRun *run)
{
	const Coppice__PageFile *file;

	switch (run->kind) {
	case COPPICE__PAGE_KIND__PAGE_KIND_ZERO:
		return 0;
	case COPPICE__PAGE_KIND__PAGE_KIND_DATA:
		break;
	default:
		return invalid(v, "%s[%zu].kind: this coppice cannot read such pages", list, i);
	}
	if (run->file == 0)
		return invalid(v, "%s[%zu].file: missing", list, i);
	file = v->cp->page_files[run->file - 1];
	if (!aligned(v, run->offset) || run->offset > file->size ||
	    run->pages > (file->size - run->offset) / v->page_size)
		return invalid(v,
			       "%s[%zu].offset: %" PRIu64 " pages at %" PRIu64
			       " lie outside page file %u with its %" PRIu64 " bytes",
			       list, i, run->pages, run->offset, run->file, file->size);
	return 0;
}

/* Order, alignment and source; where the runs must lie is the caller's. */
static int check_runs(const struct validation *v, const char *list, Coppice__PageRun *const *runs,
		      size_t n)
{
	uint64_t last = 0;

	for (size_t i = 0; i < n; i++) {
		const Coppice__PageRun *run = runs[i];
		int r;

		if (run->pages == 0 || !aligned(v, run->address) ||
		    run->pages > (UINT64_MAX - run->address) / v->page_size)
			return invalid(v, "%s[%zu].address: %" PRIu64 " pages at 0x%" PRIx64, list,
				       i, run->pages, run->address);
		if (run->address < last)
			return invalid(v, "%s[%zu].address: 0x%" PRIx64 " is not in order", list, i,
				       run->address);
		r = check_source(v, list, i, run);
		if (r < 0)
			return r;
		last = run->address + run->pages * v->page_size;
	}
	return 0;
}

/* Every page of every run belongs to a VMA; a run may go on in the next one. */
static int check_inside(const struct validation *v, const Coppice__Mm *mm)
{
	size_t k = 0;

	for (size_t i = 0; i < mm->n_pages; i++) {
		uint64_t at = mm->pages[i]->address;
		uint64_t end = at + mm->pages[i]->pages * v->page_size;

		while (k < mm->n_vmas && mm->vmas[k]->end <= at)
			k++;
		for (; k < mm->n_vmas && mm->vmas[k]->start <= at && mm->vmas[k]->end < end; k++)
			at = mm->vmas[k]->end;
		if (k == mm->n_vmas || mm->vmas[k]->start > at)
			return invalid(v, "pages[%zu].address: 0x%" PRIx64 " lies in no VMA", i,
				       at);
	}
	return 0;
}

/* ---- AIO contexts --------------------------------------------------------------------------- */

static int check_aio_context(const struct validation *v, const Coppice__Mm *mm, size_t i)
{
	enum { HEADER = 32, EVENT = 32, CONTEXTS_MAX = 1 << 16, EVENTS_MAX = 1 << 24 };
	const Coppice__AioContext *aio = mm->aio[i];
	const Coppice__Vma *vma = NULL;

	for (size_t k = 0; k < mm->n_vmas && !vma; k++)
		if (mm->vmas[k]->start == aio->address)
			vma = mm->vmas[k];
	if (!vma || vma->kind != COPPICE__VMA_KIND__VMA_KIND_OWNED ||
	    vma->end - vma->start != aio->ring.len)
		return invalid(v, "aio[%zu].address: 0x%" PRIx64 " is no mapping of its size", i,
			       aio->address);
	if (aio->id >= CONTEXTS_MAX || (i > 0 && aio->id <= mm->aio[i - 1]->id))
		return invalid(v, "aio[%zu].id: %u is not in order", i, aio->id);
	if (aio->events == 0 || aio->events > EVENTS_MAX || aio->tail >= aio->events)
		return invalid(v, "aio[%zu].tail: %u of %u events", i, aio->tail, aio->events);
	if (aio->ring.len !=
	    ALIGN_UP(HEADER + (uint64_t)aio->events * EVENT, (uint64_t)v->page_size))
		return invalid(v, "aio[%zu].ring: %zu bytes are none for %u events", i,
			       aio->ring.len, aio->events);
	return 0;
}

int validate_mm(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__Mm *mm = (const Coppice__Mm *)msg;
	int r = 0;

	if (mm->auxv.len > AUXV_MAX || mm->auxv.len % AUXV_ENTRY != 0)
		return invalid(v, "auxv: %zu bytes", mm->auxv.len);
	for (size_t i = 0; r == 0 && i < mm->n_vmas; i++)
		r = check_vma(v, mm, i);
	for (size_t i = 0; r == 0 && i < mm->n_pkeys_allocated; i++)
		if (mm->pkeys_allocated[i] >= N_PKEYS)
			r = invalid(v, "pkeys_allocated[%zu]: %u, there are %d", i,
				    mm->pkeys_allocated[i], N_PKEYS);
	for (size_t i = 0; r == 0 && i < mm->n_aio; i++)
		r = check_aio_context(v, mm, i);
	if (r == 0)
		r = check_guards(v, mm);
	if (r == 0)
		r = check_runs(v, "pages", mm->pages, mm->n_pages);
	return r < 0 ? r : check_inside(v, mm);
}

int validate_page_file(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__PageFile *file = (const Coppice__PageFile *)msg;
	char name[IMAGE_NAME_MAX];

	(void)snprintf(name, sizeof(name), "%s%" PRIu32 "%s", IMAGE_PAGES_PREFIX, file->id,
		       IMAGE_SUFFIX);
	if (strcmp(file->name, name) != 0)
		return invalid(v, "name: not %s", name);
	if (!aligned(v, file->size))
		return invalid(v, "size: %" PRIu64 " bytes are no whole pages", file->size);
	return 0;
}

int validate_inode(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__Inode *inode = (const Coppice__Inode *)msg;
	int r = check_runs(v, "content", inode->content, inode->n_content);

	if (r < 0)
		return r;
	if (inode->size > INT64_MAX)
		return invalid(v, "size: %" PRIu64, inode->size);
	if (inode->n_content > 0) {
		const Coppice__PageRun *last = inode->content[inode->n_content - 1];

		/* The last page of a file may be used in part. */
		if (last->address + last->pages * v->page_size >
		    ALIGN_UP(inode->size, (uint64_t)v->page_size))
			return invalid(v,
				       "content[%zu]: lies behind the end of the file (%" PRIu64
				       " bytes)",
				       inode->n_content - 1, inode->size);
	}
	switch (inode->storage) {
	case COPPICE__INODE_STORAGE__INODE_STORAGE_PATH:
	case COPPICE__INODE_STORAGE__INODE_STORAGE_DELETED:
		if (inode->path[0] == '\0')
			return invalid(v, "path: missing");
		break;
	case COPPICE__INODE_STORAGE__INODE_STORAGE_HANDLE:
		if (inode->path[0] == '\0' || inode->handle.len == 0 ||
		    inode->handle.len > HANDLE_MAX)
			return invalid(v, "handle: %zu bytes, path \"%s\"", inode->handle.len,
				       inode->path);
		break;
	default:
		break;
	}
	return 0;
}
