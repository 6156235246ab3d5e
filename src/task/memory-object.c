/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of what has no path to find it by: shared anonymous memory, memfds, deleted files.
 * It is read and written by the coordinator through a descriptor of the object, once, however many
 * processes map it or have it open.
 *
 * Holes (SEEK_DATA) and pages of zeros are left out; the object reads the same afterwards, though
 * fallocated blocks become holes. The last page of a file whose size is no multiple of the page
 * size is stored whole, filled up with zeros; loading stops at the size.
 */
#include "task/memory-object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/inode.h"
#include "image/reader.h"
#include "image/writer.h"
#include "task/memory-batch.h"
#include "task/memory.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

enum { COPY_SIZE = 1 << 20 };

/* ---- out ----------------------------------------------------------------------------------- */

/* As much as can be had of [@at, @at + @len): short only at the end of the file. */
static int read_some(struct context *ctx, int fd, char *buf, size_t len, uint64_t at,
		     size_t *ret_len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(ctx, -errno, "pread");
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_len = done;
	return 0;
}

/* Writes the pages of @buf that are not zero. */
static int save_pages(struct context *ctx, const char *buf, size_t pages, uint64_t at,
		      struct page_out *out, struct page_runs *runs)
{
	size_t size = out->page_size;

	for (size_t i = 0; i < pages;) {
		size_t n = 0;
		int r;

		while (i + n < pages && !page_is_zero(buf + (i + n) * size, size))
			n++;
		if (n == 0) {
			i++;
			continue;
		}
		r = io_write_all(out->fd, buf + i * size, n * size);
		if (r < 0)
			return err_sys(ctx, r, "write (page file)");
		r = page_out_run(ctx, out, runs, at + i * size, n);
		if (r < 0)
			return r;
		i += n;
	}
	return 0;
}

/* [@start, @end) of the file, which is no hole. */
static int save_extent(struct context *ctx, int fd, char *buf, uint64_t start, uint64_t end,
		       struct page_out *out, struct page_runs *runs)
{
	for (uint64_t at = start; at < end; at += COPY_SIZE) {
		size_t want = (size_t)MIN((uint64_t)COPY_SIZE, end - at);
		size_t pages;
		size_t len = 0;
		int r = cancel_point(ctx);

		if (r == 0)
			r = read_some(ctx, fd, buf, want, at, &len);
		if (r < 0)
			return r;
		pages = (len + out->page_size - 1) / out->page_size;
		memset(buf + len, 0, pages * out->page_size - len);
		r = save_pages(ctx, buf, pages, at, out, runs);
		if (r < 0)
			return r;
		if (len < want)
			break;
	}
	return 0;
}

/* The next extent with data from *@start on, rounded to pages; false: no more. */
static bool next_extent(int fd, uint64_t size, uint32_t page_size, uint64_t *start, uint64_t *end)
{
	off_t data;
	off_t hole;

	if (*start >= size)
		return false;
	data = lseek(fd, (off_t)*start, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return false;
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	/* hugetlbfs and others cannot tell: then all of it is data. */
	if (hole < 0) {
		data = (off_t)*start;
		hole = (off_t)size;
	}
	*start = MAX(*start, ALIGN_DOWN((uint64_t)data, (uint64_t)page_size));
	*end = MIN(size, ALIGN_UP((uint64_t)hole, (uint64_t)page_size));
	return true;
}

int content_save_fd(struct context *ctx, int fd, uint64_t size, struct page_out *out,
		    struct page_runs *runs)
{
	_cleanup_free_ char *buf = malloc(COPY_SIZE);
	uint64_t start = 0;
	uint64_t end;

	if (!buf)
		return err_oom(ctx);
	while (next_extent(fd, size, out->page_size, &start, &end)) {
		int r = save_extent(ctx, fd, buf, start, end, out, runs);

		if (r < 0)
			return r;
		start = end;
	}
	return 0;
}

static int save_inode(struct collect *c, struct image_writer *image, Coppice__Inode *inode,
		      struct memory_stats *stats)
{
	_cleanup_page_out_ struct page_out out = {.fd = -EBADF};
	struct page_runs runs = {.arena = c->arena};
	_cleanup_close_ int fd = -EBADF;
	int r = inode_open_content(c, inode->id, &fd);

	if (r < 0)
		return r;
	r = page_out_open(c->ctx, image, &out);
	if (r == 0)
		r = content_save_fd(c->ctx, fd, inode->size, &out, &runs);
	if (r < 0)
		return r;
	stats->written += out.offset;
	inode->content = runs.list;
	inode->n_content = runs.n;
	return page_out_close(c->ctx, image, &out);
}

static const char *name_of(const Coppice__Inode *inode)
{
	if (inode->path[0] != '\0')
		return inode->path;
	return inode->name[0] != '\0' ? inode->name : "shared memory";
}

int memory_save_inodes(struct collect *c, struct image_writer *image, struct memory_stats *stats)
{
	for (size_t i = 0; i < c->cp->n_inodes; i++) {
		Coppice__Inode *inode = c->cp->inodes[i];
		int r;

		if (!inode_needs_content(inode) || inode->size == 0)
			continue;
		r = save_inode(c, image, inode, stats);
		if (r < 0)
			return err_while(c->ctx, r, "saving the content of %s", name_of(inode));
	}
	return 0;
}

/* ---- in ------------------------------------------------------------------------------------ */

/* A run of the page file on its way to an object. */
struct load {
	struct context *ctx;
	int from;
	int to;
	char *buf;	/* COPY_SIZE bytes */
	uint64_t block; /* size of a huge page; 0: an ordinary file */
};

/* hugetlbfs knows no write(): each huge page is mapped in turn. */
static int load_huge(const struct load *l, uint64_t offset, uint64_t at, size_t len)
{
	uint64_t base = ALIGN_DOWN(at, l->block);
	char *p = mmap(NULL, l->block, PROT_READ | PROT_WRITE, MAP_SHARED, l->to, (off_t)base);
	int r;

	if (p == MAP_FAILED)
		return err_sys(l->ctx, -errno, "mmap (a huge page of it)");
	r = io_pread_exact(l->from, p + (at - base), len, (off_t)offset);
	(void)munmap(p, l->block);
	return r < 0 ? err_sys(l->ctx, r, "reading the page file") : 0;
}

static int load_some(const struct load *l, uint64_t offset, uint64_t at, size_t len)
{
	int r = io_pread_exact(l->from, l->buf, len, (off_t)offset);

	if (r < 0)
		return err_sys(l->ctx, r, "reading the page file");
	r = io_pwrite_all(l->to, l->buf, len, (off_t)at);
	return r < 0 ? err_sys(l->ctx, r, "writing it") : 0;
}

static int load_run(const struct load *l, uint64_t offset, uint64_t at, uint64_t len)
{
	while (len > 0) {
		uint64_t room = l->block > 0 ? l->block - at % l->block : (uint64_t)COPY_SIZE;
		size_t n = (size_t)MIN(len, room);
		int r = cancel_point(l->ctx);

		if (r == 0)
			r = l->block > 0 ? load_huge(l, offset, at, n)
					 : load_some(l, offset, at, n);
		if (r < 0)
			return r;
		offset += n;
		at += n;
		len -= n;
	}
	return 0;
}

static uint64_t huge_block(const Coppice__Inode *inode, int fd)
{
	struct stat st;

	return inode->storage == COPPICE__INODE_STORAGE__INODE_STORAGE_HUGETLB &&
			       fstat(fd, &st) == 0
		       ? (uint64_t)st.st_blksize
		       : 0;
}

int content_load_fd(struct context *ctx, struct image_reader *images, const Coppice__Checkpoint *cp,
		    const Coppice__Inode *inode, int fd)
{
	_cleanup_free_ char *buf = malloc(COPY_SIZE);
	_cleanup_close_ int pages = -EBADF;
	uint32_t page_size = cp->origin->page_size;
	struct load load = {.ctx = ctx, .to = fd, .buf = buf, .block = huge_block(inode, fd)};
	struct page_cursor cursor;
	struct page_piece piece;
	uint32_t file = 0;

	if (!buf)
		return err_oom(ctx);
	page_cursor_init(&cursor, inode->content, inode->n_content, page_size, 0,
			 ALIGN_UP(inode->size, (uint64_t)page_size));
	while (page_cursor_next(&cursor, &piece)) {
		uint64_t len = MIN(piece.len, inode->size - piece.address);
		int r = 0;

		if (piece.kind != COPPICE__PAGE_KIND__PAGE_KIND_DATA)
			continue;
		if (piece.file != file) {
			close_guard(&pages);
			pages = -EBADF;
			r = image_reader_open_pages(ctx, images, cp->page_files[piece.file - 1],
						    &pages);
			file = piece.file;
		}
		load.from = pages;
		if (r == 0)
			r = load_run(&load, piece.offset, piece.address, len);
		if (r < 0)
			return r;
	}
	return 0;
}

int memory_load_inodes(struct rebuild *r)
{
	for (size_t i = 0; i < r->n_inodes; i++) {
		struct rebuild_inode *inode = &r->inodes[i];
		int ret;

		if (!inode->needs_content)
			continue;
		ret = content_load_fd(r->ctx, r->images, r->cp, inode->msg, inode->fd_rw);
		if (ret < 0)
			return err_while(r->ctx, ret, "restoring the content of %s",
					 name_of(inode->msg));
		inode->needs_content = false;
	}
	return 0;
}
