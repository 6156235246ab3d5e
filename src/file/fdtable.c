/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting descriptor tables: the numbers, and what is known of each number alone. */
#include "file/fdtable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "file/description.h"
#include "file/external.h"
#include "file/leases.h"
#include "file/lock-mapped.h"
#include "file/locks.h"
#include "file/peek-guard.h"
#include "file/state.h"
#include "util/cleanup.h"

static int add_fd(struct collect *c, Coppice__FdTable *table, int number, bool cloexec,
		  uint32_t file)
{
	Coppice__Fd **slot;
	Coppice__Fd *fd = arena_new(c->arena, Coppice__Fd);

	slot = arena_append(c->arena, &table->fds, &table->n_fds, sizeof(*slot));
	if (!fd || !slot)
		return err_oom(c->ctx);
	coppice__fd__init(fd);
	*slot = fd;
	fd->number = (uint32_t)number;
	fd->file = file;
	fd->cloexec = cloexec;
	return 0;
}

static int collect_number(struct fd_source *s, Coppice__FdTable *table, int number)
{
	struct collect *c = s->c;
	struct file_probe probe = {.process = s->p, .number = number, .fd = -EBADF};
	const struct proc_dir dir = collect_dir(c, s->p);
	_cleanup_free_ char *link = NULL;
	struct file_node *node = NULL;
	char name[32];
	int r;

	(void)snprintf(name, sizeof(name), "fd/%d", number);
	r = proc_dir_link(&dir, name, &link);
	if (r < 0)
		return err_sys(c->ctx, r, "readlink(/proc/%d/%s)", s->p->pid, name);
	probe.link = link;
	r = proc_read_fdinfo(&dir, number, c->arena, &probe.info);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/fdinfo/%d", s->p->pid, number);
	r = description_find(s, &probe, &node);
	if (r < 0)
		return err_while(c->ctx, r, "collecting fd %d (%s)", number, link);
	if (!node->msg)
		return 0;
	r = locks_collect(c, s->p, number, node, &probe.info);
	if (r < 0)
		return err_while(c->ctx, r, "collecting the locks of fd %d (%s)", number, link);
	return add_fd(c, table, number, probe.info.flags & O_CLOEXEC, node->msg->id);
}

/* While a program's task waits in the command loop, its table has a number of ours. */
static bool is_ours(const struct collect *c, const struct collect_process *p, int number)
{
	const struct puppet_area *area = p->puppet->area;

	if (number >= c->hide_fd_from)
		return true;
	return p->puppet->borrowed && area && area->socket >= 0 && area->far_socket == number;
}

static int collect_numbers(struct fd_source *s, Coppice__FdTable *table)
{
	struct collect *c = s->c;
	int *numbers;
	size_t n;
	int r;

	r = proc_read_numbers(s->p->proc_fd, "fd", c->arena, &numbers, &n);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/fd", s->p->pid);
	for (size_t i = 0; i < n; i++) {
		if (is_ours(c, s->p, numbers[i]))
			continue;
		r = collect_number(s, table, numbers[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int files_collect(struct collect *c, struct collect_process *p)
{
	_cleanup_(fd_source_deinit) struct fd_source s = {.pidfd = -EBADF};
	int r = fd_source_init(&s, c, p);

	if (r >= 0)
		r = collect_numbers(&s, c->cp->fd_tables[p->msg->fd_table - 1]);
	if (r < 0)
		return err_while(c->ctx, r, "collecting the files of %s", collect_name(c, p));
	return 0;
}

static int while_collecting(struct collect *c, const struct file_node *node, int r)
{
	if (r >= 0)
		return r;
	return err_while(c->ctx, r, "collecting fd %d (%s) of %s", node->probe.number,
			 node->probe.link, collect_name(c, node->probe.process));
}

int files_collect_late(struct collect *c)
{
	struct collect_files *files = collect_files_get(c);

	int r = 0;

	if (!files)
		return err_oom(c->ctx);
	/* The list grows by what is found in flight. */
	for (size_t i = 0; r >= 0 && i < files->n_nodes; i++) {
		struct file_node *node = files->nodes[i];

		if (node->kind->collect_queued)
			r = while_collecting(
				c, node, node->kind->collect_queued(c, &node->probe, node->msg));
	}
	peek_guard_stop(files->peek_guard);
	files->peek_guard = NULL;
	for (size_t i = 0; r >= 0 && i < files->n_nodes; i++) {
		struct file_node *node = files->nodes[i];

		if (node->kind->collect_late)
			r = while_collecting(c, node,
					     node->kind->collect_late(c, &node->probe, node->msg));
	}
	if (r >= 0)
		r = locks_mapped_collect_late(c);
	if (r >= 0)
		r = leases_collect_late(c);
	return r < 0 ? r : external_collect_late(c);
}

void files_collect_deinit(struct collect *c)
{
	collect_files_deinit(c->files);
}
