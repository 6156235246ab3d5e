/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flock() and OFD locks belong to an open file description, which lives on in a mapping when its last
 * descriptor is closed; and the lock with it. (A Java program holds its hsperfdata file so.) Then only
 * /proc/locks shows it, by device and inode as the mapping does. It is taken again, by the process
 * that maps the file, through the description that the stubs map from. All mappings of a file share that
 * one: where several processes map it, the lock goes with the last of them.
 *
 * Of an OFD lock nobody can tell whose it is. One that shows on no descriptor of the tree, on a file that
 * the tree maps, is taken to be the tree's; if it is somebody else's, the restore cannot take it and says so.
 */
#include "file/lock-mapped.h"

#include <errno.h>
#include <fcntl.h>

#include "file/locks.h"
#include "file/state.h"
#include "kernel/scan.h"
#include "util/cleanup.h"
#include "util/io.h"

static bool same_lock(const struct lock_line *a, const struct lock_line *b)
{
	return a->kind == b->kind && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor &&
	       a->ino == b->ino && a->start == b->start && a->length == b->length &&
	       a->write == b->write && a->pid == b->pid;
}

int lock_shown(struct collect *c, const struct lock_line *line)
{
	struct collect_files *files = c->files;
	struct lock_line *slot;

	slot = arena_append(c->arena, &files->locks_shown, &files->n_locks_shown, sizeof(*slot));
	if (!slot)
		return err_oom(c->ctx);
	*slot = *line;
	return 0;
}

static bool is_shown(const struct collect *c, const struct lock_line *line)
{
	for (size_t i = 0; i < c->files->n_locks_shown; i++)
		if (same_lock(&c->files->locks_shown[i], line))
			return true;
	return false;
}

/* A process of the tree that maps the file; NULL: none does. */
static struct collect_process *find_mapper(struct collect *c, const struct lock_line *line,
					   const struct proc_map **ret_map)
{
	for (size_t i = 0; i < c->n_processes; i++) {
		struct collect_process *p = &c->processes[i];

		for (size_t k = 0; k < p->n_maps; k++)
			if (p->maps[k].inode == line->ino &&
			    p->maps[k].dev_major == line->dev_major &&
			    p->maps[k].dev_minor == line->dev_minor) {
				*ret_map = &p->maps[k];
				return p;
			}
	}
	return NULL;
}

/* Who took it is alive and no process of the tree: it is not the tree's to lose. */
static bool is_others(const struct collect *c, const struct lock_line *line)
{
	_cleanup_close_ int fd = -EBADF;

	if (line->pid <= 0)
		return false;
	for (size_t i = 0; i < c->n_processes; i++)
		if (c->processes[i].pid == line->pid)
			return false;
	return proc_open(line->pid, &fd) == 0;
}

/* The mapping in the image. */
static const Coppice__Vma *find_vma(const struct collect *c, const struct collect_process *p,
				    const struct proc_map *map)
{
	const Coppice__Mm *mm = c->cp->mms[p->msg->mm - 1];

	for (size_t i = 0; i < mm->n_vmas; i++)
		if (mm->vmas[i]->start <= map->start && map->start < mm->vmas[i]->end)
			return mm->vmas[i];
	return NULL;
}

static int add_lock(struct collect *c, const struct collect_process *p, const Coppice__Vma *vma,
		    const struct lock_line *line)
{
	Coppice__Checkpoint *cp = c->cp;
	Coppice__FileLock *lock = arena_new(c->arena, Coppice__FileLock);
	Coppice__FileLock **slot;

	slot = arena_append(c->arena, &cp->file_locks, &cp->n_file_locks, sizeof(*slot));
	if (!lock || !slot)
		return err_oom(c->ctx);
	coppice__file_lock__init(lock);
	*slot = lock;
	lock->kind = line->kind;
	lock->process = p->msg->id;
	lock->inode = vma->inode;
	lock->writable = vma->open_flags == O_RDWR;
	lock->write = line->write;
	lock->start = line->start;
	lock->length = line->length;
	return 0;
}

static int look_at(struct collect *c, const struct lock_line *line)
{
	const struct proc_map *map = NULL;
	const Coppice__Vma *vma;
	struct collect_process *p;

	/* a POSIX lock goes when any descriptor of the file is closed */
	if (line->waits || line->kind == COPPICE__FILE_LOCK__KIND__POSIX || is_shown(c, line))
		return 0;
	p = find_mapper(c, line, &map);
	if (!p || is_others(c, line))
		return 0;
	vma = find_vma(c, p, map);
	if (line->kind != COPPICE__FILE_LOCK__KIND__LEASE && vma && vma->inode != 0)
		return add_lock(c, p, vma, line);
	return collect_refuse(
		c, "have the program give the lease up, or keep the file open",
		"%s, mapping %lx-%lx (%s): a lease on this file shows on no descriptor, "
		"so it is held through the mapping alone",
		collect_name(c, p), map->start, map->end, map->name);
}

int locks_mapped_collect_late(struct collect *c)
{
	_cleanup_free_ char *text = NULL;
	struct lock_line line;
	size_t len;
	int r = io_read_file(AT_FDCWD, "/proc/locks", &text, &len);

	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/locks");
	for (const char *at = text; r >= 0 && *at != '\0'; at = scan_next_line(at))
		if (lock_parse(at, &line) == 0)
			r = look_at(c, &line);
	return r;
}

/* ---- rebuild -------------------------------------------------------------------------------- */

int locks_mapped_rebuild(struct rebuild *r)
{
	for (size_t i = 0; i < r->cp->n_file_locks; i++) {
		const Coppice__FileLock *lock = r->cp->file_locks[i];
		const struct rebuild_inode *ri;
		struct rebuild_process *p;
		struct call_table t;
		int number, result;

		if (lock->inode == 0)
			continue;
		ri = &r->inodes[lock->inode - 1];
		p = &r->processes[lock->process - 1];
		number = lock->writable ? ri->map_fd_rw : ri->map_fd;
		if (number < 0)
			return err_msg(r->ctx, -EBADMSG, "%s is locked, but not mapped",
				       ri->msg->path);
		call_table_init(&t, r->arena);
		lock_ask(&t, lock, number);
		result = puppet_run(r->ctx, p->threads[0].puppet, &t);
		if (result < 0)
			return err_while(r->ctx, result, "restoring the lock on %s, which %s maps",
					 ri->msg->path, rebuild_name(r, p));
	}
	return 0;
}
