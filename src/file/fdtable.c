/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collecting descriptor tables.
 *
 * Which descriptors are one open file description only kcmp(2) tells. Two that are one agree in
 * the text of their links, mount and inode, so those go into a bucket, and within a bucket kcmp's
 * order (which is arbitrary, but total) makes a binary tree: a descriptor costs one comparison
 * where it is shared by all, and a logarithmic number where the same file was opened very often.
 * Offset and flags are no part of that key: a process outside may share the description and
 * change them while we read.
 *
 * A description is duplicated into the coordinator only at first sight and closed at once: a table
 * may have more descriptors than we may.
 */
#include "file/fdtable.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <xxhash.h>

#include "file/locks.h"
#include "file/owner.h"
#include "file/state.h"
#include "kernel/sys.h"
#include "util/cleanup.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* since 6.9 */
#endif

/* The table that is being collected. */
struct table {
	struct collect *c;
	struct collect_process *p;
	Coppice__FdTable *msg;
	pid_t tid; /* of a living thread */
	int pidfd; /* of it; owned */
};

const struct file_kind *file_kind_of(const Coppice__File *file)
{
	for (const struct file_kind *const *kind = file_kinds; *kind; kind++)
		if ((*kind)->which == file->kind_case)
			return *kind;
	return NULL;
}

static const struct file_kind *find_kind(const struct file_probe *probe)
{
	for (const struct file_kind *const *kind = file_kinds; *kind; kind++)
		if ((*kind)->matches(probe))
			return *kind;
	return NULL;
}

/* ---- one open file description ------------------------------------------------------------- */

int file_probe_dup(struct collect *c, const struct file_probe *probe, int *ret_fd)
{
	const struct collect_process *p = probe->process;
	pid_t tid = p->threads[0].tid;
	_cleanup_close_ int pidfd = sys_pidfd_open(tid, tid == p->pid ? 0 : PIDFD_THREAD);
	int fd;

	if (pidfd < 0)
		return err_sys(c->ctx, pidfd, "pidfd_open(%d)", tid);
	fd = sys_pidfd_getfd(pidfd, probe->number);
	if (fd < 0)
		return err_sys(c->ctx, fd, "pidfd_getfd(%d)", probe->number);
	*ret_fd = fd;
	return 0;
}

static int look_at(struct table *t, struct file_probe *probe)
{
	struct collect *c = t->c;
	struct statfs fs;

	probe->fd = sys_pidfd_getfd(t->pidfd, probe->number);
	if (probe->fd < 0)
		return err_sys(c->ctx, probe->fd, "pidfd_getfd(%d)", probe->number);
	if (fstat(probe->fd, &probe->st) < 0)
		return err_sys(c->ctx, -errno, "fstat(%s)", probe->link);
	if (fstatfs(probe->fd, &fs) < 0)
		return err_sys(c->ctx, -errno, "fstatfs(%s)", probe->link);
	probe->fs_type = (uint64_t)fs.f_type;
	return 0;
}

static int refuse_unknown(struct table *t, const struct file_probe *probe)
{
	return collect_refuse(t->c, NULL,
			      "%s, fd %d: %s: this kind of open file is not supported yet",
			      collect_name(t->c, t->p), probe->number, probe->link);
}

/* Fills @node for the descriptor in its probe; node->msg stays NULL when it is refused. */
static int describe(struct table *t, struct file_node *node)
{
	struct file_probe *probe = &node->probe;
	struct collect *c = t->c;
	size_t refusals = c->n_refusals;
	Coppice__File *msg;
	int r;

	r = look_at(t, probe);
	if (r < 0)
		return r;
	node->kind = find_kind(probe);
	if (!node->kind)
		return refuse_unknown(t, probe);
	msg = arena_new(c->arena, Coppice__File);
	if (!msg)
		return err_oom(c->ctx);
	coppice__file__init(msg);
	msg->flags = probe->info.flags & ~(uint32_t)O_CLOEXEC;
	msg->offset = probe->info.pos;
	msg->kind_case = node->kind->which;
	r = owner_collect(c, probe, msg);
	if (r < 0)
		return r;
	r = node->kind->collect(c, probe, msg);
	if (r == 0 && c->n_refusals == refusals)
		node->msg = msg;
	return r;
}

static int publish(struct collect *c, struct file_node *node)
{
	Coppice__Checkpoint *cp = c->cp;
	struct file_node **slot;
	Coppice__File **msg;

	if (!node->msg)
		return 0;
	msg = arena_append(c->arena, &cp->files, &cp->n_files, sizeof(*msg));
	slot = arena_append(c->arena, &c->files->nodes, &c->files->n_nodes, sizeof(*slot));
	if (!msg || !slot)
		return err_oom(c->ctx);
	*msg = node->msg;
	*slot = node;
	node->msg->id = (uint32_t)cp->n_files;
	return 0;
}

static int new_node(struct table *t, const struct file_probe *probe, struct file_node **ret_node)
{
	struct file_node *node = arena_new(t->c->arena, struct file_node);
	int r;

	if (!node)
		return err_oom(t->c->ctx);
	*node = (struct file_node){.probe = *probe};
	node->probe.link = arena_strdup(t->c->arena, probe->link);
	if (!node->probe.link)
		return err_oom(t->c->ctx);
	r = describe(t, node);
	close_guard(&node->probe.fd);
	node->probe.fd = -EBADF;
	if (r < 0)
		return r;
	*ret_node = node;
	return publish(t->c, node);
}

/* ---- telling them apart -------------------------------------------------------------------- */

static bool same_bucket(const struct file_probe *a, const struct file_probe *b)
{
	return a->info.mnt_id == b->info.mnt_id && a->info.ino == b->info.ino &&
	       strcmp(a->link, b->link) == 0;
}

static uint64_t bucket_hash(const struct file_probe *probe)
{
	uint64_t key[3] = {probe->info.mnt_id, probe->info.ino,
			   XXH3_64bits(probe->link, strlen(probe->link))};

	return XXH3_64bits(key, sizeof(key));
}

static struct file_node *find_root(const struct collect_files *files,
				   const struct file_probe *probe, uint64_t hash)
{
	struct chain *chain = chains_find(&files->buckets, hash);

	for (; chain; chain = chains_next(chain)) {
		struct file_node *root = (struct file_node *)chain;

		if (same_bucket(&root->probe, probe))
			return root;
	}
	return NULL;
}

/* The description, or where in the tree below @root its node belongs. */
static int search(struct table *t, struct file_node *root, int number, struct file_node **ret_found,
		  struct file_node ***ret_place)
{
	struct file_node *node = root;
	struct file_node **place = NULL;

	while (node) {
		int order = sys_kcmp(t->tid, node->probe.process->threads[0].tid, KCMP_FILE,
				     (unsigned long)number, (unsigned long)node->probe.number);

		if (order == 0) {
			*ret_found = node;
			return 0;
		}
		if (order != 1 && order != 2)
			return err_sys(t->c->ctx, order < 0 ? order : -EIO, "kcmp(KCMP_FILE)");
		place = order == 1 ? &node->less : &node->greater;
		node = *place;
	}
	*ret_found = NULL;
	*ret_place = place;
	return 0;
}

static int find_or_add(struct table *t, const struct file_probe *probe, struct file_node **ret_node)
{
	struct collect_files *files = t->c->files;
	uint64_t hash = bucket_hash(probe);
	struct file_node *root = find_root(files, probe, hash);
	struct file_node **place = NULL;
	struct file_node *found = NULL;
	int r;

	r = search(t, root, probe->number, &found, &place);
	if (r < 0)
		return r;
	if (found) {
		*ret_node = found;
		return 0;
	}
	r = new_node(t, probe, &found);
	if (r < 0)
		return r;
	*ret_node = found;
	if (place) {
		*place = found;
		return 0;
	}
	return chains_add(&files->buckets, hash, &found->chain) < 0 ? err_oom(t->c->ctx) : 0;
}

/* ---- one table ----------------------------------------------------------------------------- */

static int add_fd(struct table *t, int number, bool cloexec, uint32_t file)
{
	Coppice__Fd **slot;
	Coppice__Fd *fd = arena_new(t->c->arena, Coppice__Fd);

	slot = arena_append(t->c->arena, &t->msg->fds, &t->msg->n_fds, sizeof(*slot));
	if (!fd || !slot)
		return err_oom(t->c->ctx);
	coppice__fd__init(fd);
	*slot = fd;
	fd->number = (uint32_t)number;
	fd->file = file;
	fd->cloexec = cloexec;
	return 0;
}

static int collect_number(struct table *t, int number)
{
	struct collect *c = t->c;
	struct file_probe probe = {.process = t->p, .number = number, .fd = -EBADF};
	char name[32], link[PATH_MAX + 1];
	struct file_node *node = NULL;
	ssize_t len;
	int r;

	(void)snprintf(name, sizeof(name), "fd/%d", number);
	len = readlinkat(t->p->proc_fd, name, link, sizeof(link) - 1);
	if (len < 0)
		return err_sys(c->ctx, -errno, "readlink(/proc/%d/%s)", t->p->pid, name);
	link[len] = '\0';
	probe.link = link;
	r = proc_read_fdinfo(t->p->proc_fd, number, c->arena, &probe.info);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/fdinfo/%d", t->p->pid, number);
	r = find_or_add(t, &probe, &node);
	if (r < 0)
		return err_while(c->ctx, r, "collecting fd %d (%s)", number, link);
	if (!node->msg)
		return 0;
	r = locks_collect(c, t->p, number, node, &probe.info);
	if (r < 0)
		return err_while(c->ctx, r, "collecting the locks of fd %d (%s)", number, link);
	return add_fd(t, number, probe.info.flags & O_CLOEXEC, node->msg->id);
}

static int collect_numbers(struct table *t)
{
	struct collect *c = t->c;
	int *numbers;
	size_t n;
	int r;

	r = proc_read_numbers(t->p->proc_fd, "fd", c->arena, &numbers, &n);
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/fd", t->p->pid);
	for (size_t i = 0; i < n; i++) {
		if (numbers[i] >= c->hide_fd_from)
			break;
		r = collect_number(t, numbers[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int files_collect(struct collect *c, struct collect_process *p)
{
	pid_t tid = p->threads[0].tid;
	_cleanup_close_ int pidfd = sys_pidfd_open(tid, tid == p->pid ? 0 : PIDFD_THREAD);
	struct table t = {
		.c = c,
		.p = p,
		.msg = c->cp->fd_tables[p->msg->fd_table - 1],
		.tid = tid,
		.pidfd = pidfd,
	};
	int r;

	if (!collect_files_get(c))
		return err_oom(c->ctx);
	r = pidfd < 0 ? err_sys(c->ctx, pidfd, "pidfd_open(%d)", tid) : collect_numbers(&t);
	if (r < 0)
		return err_while(c->ctx, r, "collecting the files of %s", collect_name(c, p));
	return 0;
}

int files_collect_late(struct collect *c)
{
	struct collect_files *files = collect_files_get(c);

	if (!files)
		return err_oom(c->ctx);
	for (size_t i = 0; i < files->n_nodes; i++) {
		struct file_node *node = files->nodes[i];
		int r;

		if (!node->kind->collect_late)
			continue;
		r = node->kind->collect_late(c, &node->probe, node->msg);
		if (r < 0)
			return err_while(c->ctx, r, "collecting fd %d (%s) of %s",
					 node->probe.number, node->probe.link,
					 collect_name(c, node->probe.process));
	}
	return 0;
}
