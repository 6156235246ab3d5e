/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an io_uring refers to: registered files, buffers and eventfd, the threads that can use it by an
 * index, and its mappings. Files are found by their addresses in the kernel among those that are open
 * in the tree: fdinfo shows a registered file's path, and several can have the same.
 */
#include <stdlib.h>
#include <string.h>

#include "file/anon.h"
#include "file/state.h"
#include "file/uring-read.h"
#include "kernel/view.h"
#include "task/memory-vma.h"
#include "util/cleanup.h"

enum { SLOTS_MAX = 1 << 16 };

/* ---- registered files ----------------------------------------------------------------------- */

/* The open file of the tree that is this struct file; 0: none. */
static int find_file(struct uring_reading *s, uint64_t address, bool by_private, uint32_t *ret)
{
	*ret = 0;
	for (size_t i = 0; i < s->c->files->n_nodes; i++) {
		struct file_node *node = s->c->files->nodes[i];
		uint64_t at = 0;
		int r;

		if (by_private && !file_is_anon(&node->probe, "[eventfd]"))
			continue;
		r = file_node_address(s->c, node, &at);
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
static int read_table(struct uring_reading *s, uint64_t at, uint64_t **ret_nodes, uint32_t *ret_n)
{
	uint64_t n, array;
	uint64_t *nodes;
	int r = view_get(s->v, at, "io_rsrc_data", "nr", &n);

	if (r == 0)
		r = view_get(s->v, at, "io_rsrc_data", "nodes", &array);
	if (r < 0)
		return r;
	n = MIN(n, (uint64_t)SLOTS_MAX);
	nodes = arena_new_n(s->c->arena, uint64_t, n);
	if (!nodes)
		return err_oom(s->c->ctx);
	if (n > 0)
		r = view_read(s->v, array, nodes, n * sizeof(*nodes));
	*ret_nodes = nodes;
	*ret_n = (uint32_t)n;
	return r;
}

static int add_file(struct uring_reading *s, uint32_t index, uint64_t node)
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
		return uring_refuse(
			s, "have the program keep a descriptor of it, or unregister it",
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

static int read_files(struct uring_reading *s)
{
	uint64_t at = 0, *nodes = NULL;
	uint32_t n = 0;
	int r = uring_place(s, "file_table", &at); /* which begins with its io_rsrc_data */

	if (r == 0)
		r = read_table(s, at, &nodes, &n);
	if (r < 0)
		return r;
	s->ring->file_slots = n;
	for (uint32_t i = 0; r == 0 && i < n; i++)
		if (nodes[i] != 0)
			r = add_file(s, i, nodes[i]);
	if (r == 0)
		r = uring_get32(s, "file_alloc_start", &s->ring->file_alloc_start);
	return r != 0 ? r : uring_get32(s, "file_alloc_end", &s->ring->file_alloc_end);
}

/* ---- registered buffers --------------------------------------------------------------------- */

static int add_buffer(struct uring_reading *s, uint32_t index, uint64_t node)
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
		return uring_refuse(s, NULL, "is an io_uring with a buffer of a driver's");
	slot = arena_append(s->c->arena, &s->ring->buffers, &s->ring->n_buffers, sizeof(*slot));
	if (!slot)
		return err_oom(s->c->ctx);
	*slot = buffer;
	return 0;
}

static int read_buffers(struct uring_reading *s)
{
	uint64_t at = 0, *nodes = NULL;
	uint32_t n = 0;
	int r = uring_place(s, "buf_table", &at);

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

static int read_eventfd(struct uring_reading *s)
{
	uint64_t at, context, async;
	int r = uring_get(s, "io_ev_fd", &at);

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
		       : uring_refuse(
				 s, "have the program keep a descriptor of it, or unregister it",
				 "is an io_uring whose registered eventfd is open under no number");
}

/* ---- threads that use it -------------------------------------------------------------------- */

static int add_task(struct uring_reading *s, const struct collect_thread *th, uint32_t index)
{
	Coppice__IoUringTask *task = arena_new(s->c->arena, Coppice__IoUringTask);
	Coppice__IoUringTask **slot;

	slot = arena_append(s->c->arena, &s->ring->tasks, &s->ring->n_tasks, sizeof(*slot));
	if (!task || !slot)
		return err_oom(s->c->ctx);
	coppice__io_uring_task__init(task);
	task->process = th->process->msg->id;
	task->thread = uring_index_of(th);
	task->index = index;
	*slot = task;
	return 0;
}

/* The indices under which the thread can use the ring without a descriptor. */
static int read_registered(struct uring_reading *s, uint64_t task, const struct collect_thread *th)
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

static int read_task(struct uring_reading *s, uint64_t task)
{
	const struct collect_thread *th;
	pid_t tid = 0;
	int r = view_task_number(s->v, task, &tid);

	if (r < 0)
		return r;
	th = uring_find_thread(s->c, tid);
	if (th)
		return read_registered(s, task, th);
	return uring_refuse(s, "dump both together",
			    arena_printf(s->c->arena,
					 "is an io_uring that task %d outside the tree has used",
					 tid));
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
static int read_tasks(struct uring_reading *s)
{
	enum { TASKS_MAX = 1 << 20 };
	struct view_member link, list;
	uint64_t head, node, task;
	int r = uring_place(s, "tctx_list", &head);

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
static int claim_mappings(struct uring_reading *s, const struct collect_process *p, uint32_t file)
{
	const Coppice__Mm *mm = s->c->cp->mms[p->msg->mm - 1];

	for (size_t i = 0; i < p->n_maps; i++) {
		const struct proc_map *map = &p->maps[i];
		Coppice__Vma *vma;

		if (map->inode != s->probe->info.ino || strcmp(map->name, s->probe->link) != 0)
			continue;
		if (!has_descriptor(s->c, p, file))
			return uring_refuse(
				s, "have the program unmap it",
				arena_printf(s->c->arena,
					     "is an io_uring that %s maps without having a "
					     "descriptor of it",
					     collect_name(s->c, p)));
		vma = mm->vmas[vma_find(mm, map->start)];
		vma->file = file;
	}
	return 0;
}

static int claim_all_mappings(struct uring_reading *s, uint32_t file)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->c->n_processes; i++) {
		const struct collect_process *p = &s->c->processes[i];

		if (!p->zombie && p->mm_owner == p)
			r = claim_mappings(s, p, file);
	}
	return r;
}

static int read_late(struct uring_reading *s, uint32_t file)
{
	int r = uring_begin(s);

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
	struct uring_reading s = {.c = c, .probe = &again, .ring = file->io_uring};
	int r = file_probe_dup(c, probe, &fd);

	if (r < 0)
		return r;
	again.fd = fd;
	return uring_settle(c, probe, read_late(&s, file->id));
}
