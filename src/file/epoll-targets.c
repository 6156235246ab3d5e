/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an epoll instance watches. An entry is known by the pair of an open file description and the
 * number that it was added by (ep_find()), and fdinfo shows the number only. Mostly that number
 * still leads to the description, but the number may have been closed or be used for something else
 * as long as the description is held elsewhere, and several entries may have the same number.
 * kcmp(KCMP_EPOLL_TFD) compares an entry, found by number and by its place among those of the same
 * number, with a description of ours.
 *
 * Each such call walks through the instance, so where the inode tells enough it is not made: both
 * fdinfos show the number that it has for the kernel, and there is one description of a socket. Of an
 * instance with many other entries the kernel's memory tells at once, if it can be seen
 * (epoll-view.c).
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "file/description.h"
#include "file/epoll.h"
#include "image/lookup.h"
#include "kernel/fdinfo.h"
#include "kernel/sys.h"
#include "kernel/view.h"

enum { MANY = 256 }; /* entries from which on opening the view pays */

struct line {
	struct fdinfo_epoll_entry entry;
	uint64_t address; /* struct file; 0: not seen */
	size_t place;	  /* in fdinfo */
	uint32_t nth;	  /* among those of the same number */
	struct file_node *target;
};

static int by_number(const void *a, const void *b)
{
	const struct line *x = a;
	const struct line *y = b;

	if (x->entry.number != y->entry.number)
		return x->entry.number < y->entry.number ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

/* Dense and independent of the kernel's addresses. */
static int by_number_and_file(const void *a, const void *b)
{
	const struct line *x = a;
	const struct line *y = b;

	if (x->entry.number != y->entry.number)
		return x->entry.number < y->entry.number ? -1 : 1;
	return (x->target->msg->id > y->target->msg->id) -
	       (x->target->msg->id < y->target->msg->id);
}

static int read_lines(struct collect *c, const struct file_probe *probe, struct line **ret,
		      size_t *ret_n)
{
	struct fdinfo_epoll_entry *entries;
	struct line *lines;
	size_t n;
	int r = parse_fdinfo_epoll(probe->info.rest, c->arena, &entries, &n);

	if (r < 0)
		return err_msg(c->ctx, r, "fdinfo of an epoll instance cannot be understood");
	lines = arena_new_n(c->arena, struct line, n);
	if (!lines)
		return err_oom(c->ctx);
	for (size_t i = 0; i < n; i++)
		lines[i] = (struct line){.entry = entries[i], .place = i};
	if (n > 1)
		qsort(lines, n, sizeof(*lines), by_number);
	for (size_t i = 1; i < n; i++)
		if (lines[i].entry.number == lines[i - 1].entry.number)
			lines[i].nth = lines[i - 1].nth + 1;
	*ret = lines;
	*ret_n = n;
	return 0;
}

/* What the number leads to now, where the instance itself is open; or NULL. */
static struct file_node *by_its_number(const struct collect *c, const struct file_probe *epoll,
				       uint32_t number)
{
	const Coppice__FdTable *table = c->cp->fd_tables[epoll->process->msg->fd_table - 1];
	const Coppice__Fd *fd = lookup_fd(table, number);

	return fd ? c->files->nodes[fd->file - 1] : NULL;
}

/* Entries for which the inode may not tell enough. */
static size_t count_others(const struct collect *c, const struct file_probe *epoll,
			   const struct line *lines, size_t n)
{
	size_t others = 0;

	for (size_t i = 0; i < n; i++) {
		const struct file_node *likely = by_its_number(c, epoll, lines[i].entry.number);

		others += !likely || !S_ISSOCK(likely->probe.st.st_mode);
	}
	return others;
}

/* Which files the entries watch; those that are not seen are asked for one by one. */
static int see_lines(struct collect *c, const struct file_probe *probe, struct line *lines,
		     size_t n)
{
	struct epoll_seen *seen = arena_new_n(c->arena, struct epoll_seen, n);
	int r = seen ? epoll_view(c, probe, seen, n) : err_oom(c->ctx);

	if (view_is_barred(r)) {
		err_clear(c->ctx);
		return 0;
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		if (seen[lines[i].place].number == lines[i].entry.number)
			lines[i].address = seen[lines[i].place].file;
	return r;
}

static int is_at(struct collect *c, struct file_node *node, uint64_t address)
{
	uint64_t at = 0;
	int r = file_node_address(c, node, &at);

	return r < 0 ? r : at == address;
}

/* 1: the entry watches this description. */
static int is_target(struct collect *c, const struct file_probe *epoll, const struct line *line,
		     struct file_node *node)
{
	struct kcmp_epoll_slot slot = {.tfd = line->entry.number, .toff = line->nth};
	unsigned long number, epoll_number;
	pid_t pid = file_probe_holder(&node->probe, &number);
	pid_t epoll_pid = file_probe_holder(epoll, &epoll_number);
	int r;

	if (node->probe.info.ino != 0 && node->probe.info.ino != line->entry.ino)
		return 0;
	/* The kernel's dev_t has 20 bits for the minor number. */
	if (S_ISSOCK(node->probe.st.st_mode))
		return node->probe.st.st_ino == line->entry.ino &&
		       node->probe.st.st_dev ==
			       makedev(line->entry.dev >> 20, line->entry.dev & 0xfffff);
	if (line->address != 0)
		return is_at(c, node, line->address);
	slot.efd = (uint32_t)epoll_number;
	r = sys_kcmp(pid, epoll_pid, KCMP_EPOLL_TFD, number, (unsigned long)&slot);
	return r < 0 ? err_sys(c->ctx, r, "kcmp(KCMP_EPOLL_TFD, %u)", line->entry.number) : r == 0;
}

static int find_target(struct collect *c, const struct file_probe *epoll, struct line *line)
{
	const struct collect_files *files = c->files;
	struct file_node *likely = by_its_number(c, epoll, line->entry.number);
	int r = likely ? is_target(c, epoll, line, likely) : 0;

	if (r > 0)
		line->target = likely;
	for (size_t i = 0; r == 0 && i < files->n_nodes; i++) {
		r = is_target(c, epoll, line, files->nodes[i]);
		if (r > 0)
			line->target = files->nodes[i];
	}
	if (r != 0)
		return r < 0 ? r : 0;
	return collect_refuse(c, "have the program remove it (EPOLL_CTL_DEL) before the dump",
			      "%s, fd %d (%s): what it watches by the number %u is not open in the "
			      "tree, or cannot be kept",
			      collect_name(c, epoll->process), epoll->number, epoll->link,
			      line->entry.number);
}

static int fill(struct collect *c, const struct line *lines, size_t n, struct epoll_node *epoll)
{
	Coppice__EpollEntry *entries = arena_new_n(c->arena, Coppice__EpollEntry, n);

	epoll->msg.entries = arena_new_n(c->arena, Coppice__EpollEntry *, n);
	epoll->targets = arena_new_n(c->arena, struct file_node *, n);
	if (!entries || !epoll->msg.entries || !epoll->targets)
		return err_oom(c->ctx);
	for (size_t i = 0; i < n; i++) {
		coppice__epoll_entry__init(&entries[i]);
		entries[i].number = lines[i].entry.number;
		entries[i].file = lines[i].target->msg->id;
		entries[i].events = lines[i].entry.events;
		entries[i].data = lines[i].entry.data;
		epoll->msg.entries[i] = &entries[i];
		epoll->targets[i] = lines[i].target;
	}
	epoll->msg.n_entries = n;
	return 0;
}

int epoll_resolve(struct collect *c, const struct file_probe *probe, struct epoll_node *epoll)
{
	struct line *lines = NULL;
	size_t n = 0, known = 0;
	int r;

	if (epoll->resolved)
		return 0;
	epoll->resolved = true;
	r = read_lines(c, probe, &lines, &n);
	if (r == 0 && count_others(c, probe, lines, n) >= MANY)
		r = see_lines(c, probe, lines, n);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = find_target(c, probe, &lines[i]);
		if (lines[i].target)
			lines[known++] = lines[i];
	}
	if (r < 0)
		return r;
	if (known > 1)
		qsort(lines, known, sizeof(*lines), by_number_and_file);
	return fill(c, lines, known, epoll);
}
