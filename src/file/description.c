/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collecting open file descriptions.
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
#include "file/description.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <xxhash.h>

#include "file/external.h"
#include "file/owner.h"
#include "file/state.h"
#include "file/unsupported.h"
#include "kernel/sys.h"
#include "util/cleanup.h"

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

int fd_source_init(struct fd_source *s, struct collect *c, struct collect_process *p)
{
	*s = (struct fd_source){.c = c, .p = p, .tid = p->puppet->tid, .pidfd = -EBADF};
	if (!collect_files_get(c))
		return err_oom(c->ctx);
	return puppet_pidfd(c->ctx, p->puppet, &s->pidfd);
}

void fd_source_deinit(struct fd_source *s)
{
	close_guard(&s->pidfd);
	s->pidfd = -EBADF;
}

int file_probe_dup(struct collect *c, const struct file_probe *probe, int *ret_fd)
{
	if (probe->in_flight) {
		int fd = fcntl(probe->fd, F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return err_sys(c->ctx, -errno, "fcntl(F_DUPFD_CLOEXEC)");
		*ret_fd = fd;
		return 0;
	}
	return puppet_fd_out(c->ctx, probe->process->puppet, probe->number, ret_fd);
}

/* @pidfd: where probe->number is to be had from, unless it is here already. */
static int look_at(struct collect *c, int pidfd, struct file_probe *probe)
{
	struct statfs fs;

	if (!probe->in_flight)
		probe->fd = sys_pidfd_getfd(pidfd, probe->number);
	if (probe->fd < 0)
		return err_sys(c->ctx, probe->fd, "pidfd_getfd(%d)", probe->number);
	if (fstat(probe->fd, &probe->st) < 0)
		return err_sys(c->ctx, -errno, "fstat(%s)", probe->link);
	if (fstatfs(probe->fd, &fs) < 0)
		return err_sys(c->ctx, -errno, "fstatfs(%s)", probe->link);
	probe->fs_type = (uint64_t)fs.f_type;
	return 0;
}

static int refuse_unsupported(struct collect *c, const struct file_probe *probe,
			      const struct file_unsupported *known)
{
	return collect_refuse(c, "have the program close it before the dump",
			      "%s, fd %d (%s): is %s: %s", collect_name(c, probe->process),
			      probe->number, probe->link, known->what, known->why);
}

static int refuse_unknown(struct collect *c, const struct file_probe *probe)
{
	return collect_refuse(c, NULL, "%s, fd %d: %s: this kind of open file is not supported yet",
			      collect_name(c, probe->process), probe->number, probe->link);
}

/* Fills @node for the descriptor in its probe; node->msg stays NULL when it is refused. */
static int describe(struct collect *c, int pidfd, struct file_node *node)
{
	struct file_probe *probe = &node->probe;
	const struct file_unsupported *known;
	size_t refusals = c->n_refusals;
	Coppice__File *msg;
	bool external;
	int r;

	r = look_at(c, pidfd, probe);
	if (r < 0)
		return r;
	external = external_matches(c, probe);
	known = external ? NULL : file_unsupported_find(probe->link, probe->fs_type);
	if (known)
		return refuse_unsupported(c, probe, known);
	node->kind = external ? &kind_external : find_kind(probe);
	if (!node->kind)
		return refuse_unknown(c, probe);
	msg = arena_new(c->arena, Coppice__File);
	if (!msg)
		return err_oom(c->ctx);
	coppice__file__init(msg);
	msg->flags = probe->info.flags & ~(uint32_t)O_CLOEXEC;
	msg->offset = probe->info.pos;
	msg->kind_case = node->kind->which;
	r = node->kind->foreign ? 0 : owner_collect(c, probe, msg);
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

static int new_node(struct collect *c, int pidfd, const struct file_probe *probe,
		    struct file_node **ret_node)
{
	struct file_node *node = arena_new(c->arena, struct file_node);
	int r;

	if (!node)
		return err_oom(c->ctx);
	*node = (struct file_node){.probe = *probe};
	node->probe.link = arena_strdup(c->arena, probe->link);
	if (!node->probe.link)
		return err_oom(c->ctx);
	r = describe(c, pidfd, node);
	if (!probe->in_flight) {
		close_guard(&node->probe.fd);
		node->probe.fd = -EBADF;
	}
	if (r < 0)
		return r;
	*ret_node = node;
	return publish(c, node);
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

pid_t file_probe_holder(const struct file_probe *probe, unsigned long *ret_number)
{
	*ret_number = (unsigned long)(probe->in_flight ? probe->fd : probe->number);
	return probe->in_flight ? getpid() : probe->process->puppet->tid;
}

/* The description, or where in the tree below @root its node belongs. */
static int search(struct collect *c, struct file_node *root, const struct file_probe *probe,
		  struct file_node **ret_found, struct file_node ***ret_place)
{
	unsigned long number, other_number;
	pid_t pid = file_probe_holder(probe, &number);
	struct file_node *node = root;
	struct file_node **place = NULL;

	while (node) {
		pid_t other = file_probe_holder(&node->probe, &other_number);
		int order = sys_kcmp(pid, other, KCMP_FILE, number, other_number);

		if (order == 0) {
			*ret_found = node;
			return 0;
		}
		if (order != 1 && order != 2)
			return err_sys(c->ctx, order < 0 ? order : -EIO, "kcmp(KCMP_FILE)");
		place = order == 1 ? &node->less : &node->greater;
		node = *place;
	}
	*ret_found = NULL;
	*ret_place = place;
	return 0;
}

static int find_or_add(struct collect *c, int pidfd, const struct file_probe *probe,
		       struct file_node **ret_node)
{
	struct collect_files *files = c->files;
	uint64_t hash = bucket_hash(probe);
	struct file_node *root = find_root(files, probe, hash);
	struct file_node **place = NULL;
	struct file_node *found = NULL;
	int r;

	r = search(c, root, probe, &found, &place);
	if (r < 0)
		return r;
	if (found) {
		*ret_node = found;
		return 0;
	}
	r = new_node(c, pidfd, probe, &found);
	if (r < 0)
		return r;
	*ret_node = found;
	if (place) {
		*place = found;
		return 0;
	}
	return chains_add(&files->buckets, hash, &found->chain) < 0 ? err_oom(c->ctx) : 0;
}

int description_find(struct fd_source *s, const struct file_probe *probe,
		     struct file_node **ret_node)
{
	return find_or_add(s->c, s->pidfd, probe, ret_node);
}

/* ---- in flight ----------------------------------------------------------------------------- */

/* What is known of a descriptor before its kind is, of one of ours. */
static int look_at_ours(struct collect *c, struct file_probe *probe)
{
	_cleanup_close_ int self = -EBADF;
	char name[32], *link;
	int r = proc_open(getpid(), &self);

	if (r < 0)
		return err_sys(c->ctx, r, "open(/proc/self)");
	(void)snprintf(name, sizeof(name), "fd/%d", probe->fd);
	r = proc_read_link(self, name, c->arena, &link);
	if (r < 0)
		return err_sys(c->ctx, r, "readlink(/proc/self/%s)", name);
	probe->link = link;
	r = proc_read_own_fdinfo(probe->fd, c->arena, &probe->info);
	return r < 0 ? err_sys(c->ctx, r, "reading /proc/self/fdinfo/%d", probe->fd) : 0;
}

/* Locks are taken again by a process through its descriptor, of which there is none. */
static int refuse_locks(struct collect *c, const struct file_probe *probe)
{
	if (!strstr(probe->info.rest, "lock:\t"))
		return 0;
	return collect_refuse(c,
			      "have the program receive it, or give the lock up, before the dump",
			      "%s, fd %d: a locked file (%s) is in flight in it",
			      collect_name(c, probe->process), probe->number, probe->link);
}

int description_find_in_flight(struct collect *c, const struct file_probe *carrier, int fd,
			       struct file_node **ret_node)
{
	struct collect_files *files = c->files;
	struct file_probe probe = {
		.process = carrier->process,
		.number = carrier->number,
		.fd = fd,
		.in_flight = true,
	};
	int *slot = arena_append(c->arena, &files->in_flight, &files->n_in_flight, sizeof(*slot));
	int r;

	if (!slot) {
		close_guard(&fd);
		return err_oom(c->ctx);
	}
	*slot = fd;
	r = look_at_ours(c, &probe);
	if (r >= 0)
		r = find_or_add(c, -EBADF, &probe, ret_node);
	if (r < 0)
		return err_while(c->ctx, r, "collecting a descriptor in flight");
	if ((*ret_node)->probe.fd == fd)
		return refuse_locks(c, &(*ret_node)->probe);
	/* known already */
	close_guard(slot);
	files->n_in_flight--;
	return 0;
}
