/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files that belong to the outside: a pipe, socket, terminal or other file that the user named at
 * the dump (--external). Nothing of the object is kept but its name. At restore a descriptor of
 * coppice's own takes its place (--inherit-fd), with its access mode, offset and owner; it need not be of the
 * same kind. Of the description O_NONBLOCK and O_APPEND are set as the program had them, which it
 * relies on.
 *
 * The first description of a name shares that of the descriptor that was given; further ones are opened
 * anew, which works for all but sockets. They are recognised again by kcmp when the restored tree
 * is verified.
 */
#include "file/external.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file/open.h"
#include "file/state.h"
#include "kernel/sys.h"
#include "util/cleanup.h"

#define KEPT_FLAGS ((uint32_t)(O_APPEND | O_NONBLOCK))

/* ---- collect ------------------------------------------------------------------------------- */

bool resource_names(const struct resource *resource, const struct stat *st, uint64_t mnt_id)
{
	switch (resource->type) {
	case RESOURCE_PIPE:
		return S_ISFIFO(st->st_mode) && st->st_ino == resource->inode;
	case RESOURCE_SOCKET:
		return S_ISSOCK(st->st_mode) && st->st_ino == resource->inode;
	case RESOURCE_TTY:
		return S_ISCHR(st->st_mode) && st->st_rdev == resource->first &&
		       st->st_dev == resource->inode;
	case RESOURCE_FILE:
		return !S_ISSOCK(st->st_mode) && mnt_id == resource->first &&
		       st->st_ino == resource->inode;
	default:
		return false;
	}
}

static const struct resource *find_named(const struct collect *c, const struct file_probe *probe)
{
	if (probe->info.flags & O_PATH)
		return NULL;
	for (size_t i = 0; i < c->opt.n_external; i++) {
		const struct resource *resource = &c->opt.external[i];

		/* a FIFO with a name is a file */
		if (resource->type == RESOURCE_PIPE && probe->fs_type != PIPEFS_MAGIC)
			continue;
		if (resource_names(resource, &probe->st, probe->info.mnt_id))
			return resource;
	}
	return NULL;
}

/* The file of the image that was restored as this description; NULL: none that is external. */
static const Coppice__File *find_given(const struct collect *c, const struct file_probe *probe)
{
	const struct rebuild *r = c->rebuilt;
	pid_t tid = probe->in_flight ? getpid() : probe->process->puppet->tid;
	int number = probe->in_flight ? probe->fd : probe->number;

	if (!r || r->opt.n_inherited == 0)
		return NULL;
	for (size_t i = 0; i < r->n_files; i++) {
		const struct rebuild_file *file = &r->files[i];

		if (file->msg->kind_case == COPPICE__FILE__KIND_EXTERNAL && file->fd >= 0 &&
		    sys_kcmp(getpid(), tid, KCMP_FILE, (unsigned long)file->fd,
			     (unsigned long)number) == 0)
			return file->msg;
	}
	return NULL;
}

bool external_matches(const struct collect *c, const struct file_probe *probe)
{
	return find_named(c, probe) || find_given(c, probe);
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	const struct resource *named = find_named(c, probe);
	const Coppice__File *given = named ? NULL : find_given(c, probe);
	Coppice__External *external = arena_new(c->arena, Coppice__External);
	char text[RESOURCE_TEXT];

	if (!external)
		return err_oom(c->ctx);
	coppice__external__init(external);
	file->external = external;
	file->offset = 0;
	file->flags &= O_ACCMODE | KEPT_FLAGS;
	if (given) {
		*external = *given->external;
		file->flags = (file->flags & KEPT_FLAGS) | (given->flags & O_ACCMODE);
		return 0;
	}
	resource_format(named, text);
	external->resource = arena_strdup(c->arena, text);
	external->path = arena_strdup(c->arena, probe->link);
	return external->resource && external->path ? 0 : err_oom(c->ctx);
}

int external_collect_late(struct collect *c)
{
	for (size_t i = 0; i < c->opt.n_external; i++) {
		char text[RESOURCE_TEXT];
		bool found = false;

		resource_format(&c->opt.external[i], text);
		for (size_t k = 0; k < c->cp->n_files; k++)
			if (c->cp->files[k]->kind_case == COPPICE__FILE__KIND_EXTERNAL &&
			    strcmp(c->cp->files[k]->external->resource, text) == 0)
				found = true;
		if (!found &&
		    collect_refuse(c, NULL, "--external %s: no process of the tree has it open",
				   text) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- rebuild: which descriptor ------------------------------------------------------------- */

static bool is_for(const struct inherited_fd *given, const Coppice__External *external)
{
	struct resource resource;

	if (given->resource.type == RESOURCE_PATH)
		return external->path[0] == '/' &&
		       strcmp(external->path + 1, given->resource.path) == 0;
	return resource_parse(external->resource, &resource) == 0 &&
	       resource_equal(&resource, &given->resource);
}

static bool allows(int fd, uint32_t access)
{
	int flags = fcntl(fd, F_GETFL);
	uint32_t mode;

	if (flags < 0 || (flags & O_PATH))
		return false;
	mode = (uint32_t)flags & O_ACCMODE;
	return mode == O_RDWR || mode == (access & O_ACCMODE);
}

/* Is the description behind @fd that of a file already? */
static bool is_taken(const struct rebuild *r, int fd)
{
	for (size_t i = 0; i < r->n_files; i++)
		if (r->files[i].msg->kind_case == COPPICE__FILE__KIND_EXTERNAL &&
		    r->files[i].fd >= 0 &&
		    sys_kcmp(getpid(), getpid(), KCMP_FILE, (unsigned long)r->files[i].fd,
			     (unsigned long)fd) == 0)
			return true;
	return false;
}

/*
 * The descriptor for @file: rather one that no file has yet; NULL: none was given. @ret_unfit: one was,
 * but it is not open in the right way.
 */
static const struct inherited_fd *find_fd(const struct rebuild *r, const Coppice__File *file,
					  bool *ret_taken, const struct inherited_fd **ret_unfit)
{
	const struct inherited_fd *second = NULL;

	*ret_unfit = NULL;
	for (size_t i = 0; i < r->opt.n_inherited; i++) {
		const struct inherited_fd *given = &r->opt.inherited[i];

		if (!is_for(given, file->external))
			continue;
		if (!allows(given->fd, file->flags))
			*ret_unfit = given;
		else if (!is_taken(r, given->fd)) {
			*ret_taken = false;
			return given;
		} else if (!second)
			second = given;
	}
	*ret_taken = true;
	return second;
}

/* "process 812 (cmd), fd 1" for the first descriptor of the file; arena. */
static const char *user_of(struct rebuild *r, const Coppice__File *file)
{
	for (size_t i = 0; i < r->n_processes; i++) {
		const Coppice__FdTable *table = r->processes[i].fd_table;

		for (size_t k = 0; table && k < table->n_fds; k++)
			if (table->fds[k]->file == file->id)
				return arena_printf(r->arena, "%s, fd %u",
						    rebuild_name(r, &r->processes[i]),
						    table->fds[k]->number);
	}
	return "in flight in a socket";
}

static int check(struct rebuild *r, const Coppice__File *file)
{
	static const char *const mode[] = {"reading", "writing", "reading and writing", "that"};
	const Coppice__External *external = file->external;
	const struct inherited_fd *unfit;
	bool taken;

	if (find_fd(r, file, &taken, &unfit))
		return 0;
	if (unfit)
		return rebuild_refuse(r, "give one that is open for it",
				      "%s: fd %d, given for %s, is not open for %s",
				      user_of(r, file), unfit->fd, external->resource,
				      mode[file->flags & O_ACCMODE]);
	return rebuild_refuse(
		r,
		arena_printf(r->arena, "give it with --inherit-fd 'fd[N]:%s'", external->resource),
		"%s: %s (%s) belongs to the outside, and nothing was given for it",
		user_of(r, file), external->resource, external->path);
}

int external_check_all(struct rebuild *r)
{
	for (size_t i = 0; i < r->opt.n_inherited; i++) {
		const struct inherited_fd *given = &r->opt.inherited[i];
		bool found = false;
		int result;

		for (size_t k = 0; k < r->n_files; k++)
			if (r->files[k].msg->kind_case == COPPICE__FILE__KIND_EXTERNAL)
				found = found || is_for(given, r->files[k].msg->external);
		if (found)
			continue;
		result = rebuild_refuse(r, "'coppice show' lists the files of an image",
					"--inherit-fd fd[%d]:%s: the image has no such file",
					given->fd, given->text);
		if (result < 0)
			return result;
	}
	return 0;
}

/* ---- rebuild: making ------------------------------------------------------------------------- */

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const struct inherited_fd *unfit, *given;
	bool taken;
	int fd;

	given = find_fd(r, file, &taken, &unfit);
	if (!given)
		return err_msg(r->ctx, -ENOENT, "nothing was given for %s",
			       file->external->resource);
	fd = taken ? open_again(given->fd, file->flags & O_ACCMODE)
		   : fcntl(given->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(r->ctx, taken ? fd : -errno, "opening fd %d once more for %s",
			       given->fd, file->external->resource);
	*ret_fd = fd;
	return 0;
}

/* Keeps the descriptor until the restored tree has been verified. */
static int resume(struct rebuild *r, const Coppice__File *file, int fd)
{
	(void)r;
	(void)file;
	(void)fd;
	return 0;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s of the outside", file->external->resource);
}

static bool matches(const struct file_probe *probe)
{
	(void)probe; /* by what the user named alone: external_matches() */
	return false;
}

const struct file_kind kind_external = {
	.name = "external file",
	.which = COPPICE__FILE__KIND_EXTERNAL,
	.foreign = true,
	.matches = matches,
	.collect = collect,
	.check = check,
	.create = create,
	.resume = resume,
	.describe = describe,
};
