/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages out, the safe way: the coordinator reads them and writes them. The process does nothing and
 * is charged for nothing. process_vm_readv() is the fast way to read, but it pins the pages, and a
 * page that is shared copy-on-write gets copied for that (gup_must_unshare() in mm/gup.c, 5.19): a
 * dump would take away what the processes save by sharing. So what is mapped more than once is read
 * from /proc/PID/mem, which pins nothing, as is what the process itself may not read (PROT_NONE,
 * execute-only).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/pagemap.h"
#include "task/memory-batch.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { COPY_PAGES = 512, IOVS = 512 };

struct by_coordinator {
	char *buffer; /* COPY_PAGES pages, at the place of their state[]; owned */
	int mem;      /* /proc/PID/mem, opened when needed; owned */
};

static void way_close(struct mm_save *s, void *state)
{
	struct by_coordinator *w = state;

	(void)s;
	close_guard(&w->mem);
	free(w->buffer);
	free(w);
}

static int way_open(struct mm_save *s, void **ret_state)
{
	struct by_coordinator *w = calloc(1, sizeof(*w));

	if (!w)
		return err_oom(s->c->ctx);
	w->mem = -EBADF;
	w->buffer = malloc((size_t)COPY_PAGES * s->out->page_size);
	if (!w->buffer) {
		free(w);
		return err_oom(s->c->ctx);
	}
	*ret_state = w;
	return 0;
}

/* What one process_vm_readv() fetches. */
struct remote_read {
	struct iovec remote[IOVS];
	struct iovec local[IOVS];
	size_t n;
	size_t len;
};

static int flush(struct mm_save *s, struct remote_read *read)
{
	pid_t tid = s->p->puppet->tid;
	ssize_t n;

	if (read->n == 0)
		return 0;
	n = process_vm_readv(tid, read->local, read->n, read->remote, read->n, 0);
	if (n < 0)
		return err_sys(s->c->ctx, -errno, "process_vm_readv(%d, %p)", tid,
			       read->remote[0].iov_base);
	if ((size_t)n != read->len)
		return err_msg(s->c->ctx, -EIO, "process_vm_readv(%d, %p): %zd bytes of %zu", tid,
			       read->remote[0].iov_base, n, read->len);
	read->n = 0;
	read->len = 0;
	return 0;
}

static int read_forced(struct mm_save *s, struct by_coordinator *w, uint64_t from, char *to,
		       size_t len)
{
	int r;

	if (w->mem < 0)
		w->mem = openat(s->p->proc_fd, "mem", O_RDONLY | O_CLOEXEC);
	if (w->mem < 0)
		return err_sys(s->c->ctx, -errno, "open(/proc/%d/mem)", s->p->pid);
	r = io_pread_exact(w->mem, to, len, (off_t)from);
	return r < 0 ? err_sys(s->c->ctx, r, "pread(/proc/%d/mem, %#llx)", s->p->pid,
			       (unsigned long long)from)
		     : 0;
}

static void mark_zero(struct page_batch *batch, const char *buffer)
{
	for (uint32_t i = 0; i < batch->n_pages; i++)
		if (batch->state[i] == PAGE_STATE_DATA &&
		    page_is_zero(buffer + (size_t)i * batch->page_size, batch->page_size))
			batch->state[i] = PAGE_STATE_ZERO;
}

static int read_pinned(struct mm_save *s, struct remote_read *read, uint64_t from, char *to,
		       size_t len)
{
	int r = read->n == IOVS ? flush(s, read) : 0;

	if (r < 0)
		return r;
	read->remote[read->n] = (struct iovec){(void *)(uintptr_t)from, len};
	read->local[read->n++] = (struct iovec){to, len};
	read->len += len;
	return 0;
}

/* Pages that are this process's alone, or not, from index @i on. */
static uint32_t alike(const uint64_t *entries, uint32_t i, uint32_t n)
{
	uint32_t k = i + 1;

	while (k < n && pagemap_entry_exclusive(entries[k]) == pagemap_entry_exclusive(entries[i]))
		k++;
	return k - i;
}

static int fetch_run(struct mm_save *s, struct by_coordinator *w, const struct page_batch *batch,
		     const struct batch_run *run, struct remote_read *read)
{
	const uint64_t *entries = &batch->entry[run->first];
	size_t size = batch->page_size;
	uint32_t n;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < run->pages; i += n) {
		uint64_t from = run->start + i * size;
		char *to = w->buffer + (run->first + i) * size;

		n = alike(entries, i, run->pages);
		if ((run->range->vma->prot & PROT_READ) && pagemap_entry_exclusive(entries[i]))
			r = read_pinned(s, read, from, to, n * size);
		else
			r = read_forced(s, w, from, to, n * size);
	}
	return r;
}

/* Reads everything that is DATA into the buffer. */
static int fetch(struct mm_save *s, struct by_coordinator *w, const struct page_batch *batch)
{
	struct batch_cursor cursor = {};
	struct remote_read read = {};
	struct batch_run run;

	while (batch_next(batch, &cursor, &run)) {
		int r = run.state == PAGE_STATE_DATA ? fetch_run(s, w, batch, &run, &read) : 0;

		if (r < 0)
			return r;
	}
	return flush(s, &read);
}

/* That of judging what is shared (memory-cow.c) will do. */
static int know_entries(struct mm_save *s, struct page_batch *batch)
{
	int r = batch->has_entries ? 0 : batch_read_entries(batch, s->pagemap, batch->entry);

	batch->has_entries = r == 0;
	return r < 0 ? err_sys(s->c->ctx, r, "reading /proc/%d/pagemap", s->p->pid) : 0;
}

static int way_find_zero(struct mm_save *s, void *state, struct page_batch *batch)
{
	struct by_coordinator *w = state;
	int r = know_entries(s, batch);

	if (r == 0)
		r = fetch(s, w, batch);
	if (r < 0)
		return r;
	mark_zero(batch, w->buffer);
	return 0;
}

static int way_write(struct mm_save *s, void *state, const struct page_batch *batch)
{
	struct by_coordinator *w = state;
	struct batch_cursor cursor = {};
	struct iovec iov[COPY_PAGES];
	struct batch_run run;
	size_t n = 0;
	int r;

	while (batch_next(batch, &cursor, &run))
		if (run.state == PAGE_STATE_DATA)
			iov[n++] = (struct iovec){w->buffer + (size_t)run.first * batch->page_size,
						  (size_t)run.pages * batch->page_size};
	r = io_writev_all(s->out->fd, iov, n);
	return r < 0 ? err_sys(s->c->ctx, r, "writev (page file)") : 0;
}

const struct page_way page_way_coordinator = {
	.batch_pages = COPY_PAGES,
	.open = way_open,
	.find_zero = way_find_zero,
	.write = way_write,
	.close = way_close,
};
