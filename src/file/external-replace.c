/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that the dump kept as files, and for which the user gives another at restore, by their path:
 * they become external ones in the checkpoint before anything looks at it, as if they had been
 * dumped so. An inode that nobody refers to any more goes, and the ids behind it move up: ids are
 * dense, and verification compares them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "file/external.h"
#include "image/validate.h"
#include "util/macro.h"

struct references {
	uint32_t inode;
	size_t n;
};

static int count(void *data, uint32_t *id)
{
	struct references *references = data;

	references->n += *id == references->inode;
	return 0;
}

static int move_up(void *data, uint32_t *id)
{
	const struct references *gone = data;

	*id -= *id > gone->inode;
	return 0;
}

static bool is_at(const char *path, const struct inherited_fd *given)
{
	return path[0] == '/' && strcmp(path + 1, given->resource.path) == 0;
}

static bool is_locked(const Coppice__Checkpoint *cp, uint32_t file)
{
	for (size_t i = 0; i < cp->n_file_locks; i++)
		if (cp->file_locks[i]->file == file)
			return true;
	return false;
}

static int make_external(struct context *ctx, struct arena *arena, Coppice__File *file,
			 const char *path)
{
	Coppice__External *external = arena_new(arena, Coppice__External);

	if (!external)
		return err_oom(ctx);
	coppice__external__init(external);
	external->path = (char *)path;
	external->resource = (char *)path;
	file->kind_case = COPPICE__FILE__KIND_EXTERNAL;
	file->external = external;
	file->flags &= O_ACCMODE | O_APPEND | O_NONBLOCK;
	file->offset = 0;
	file->owner = NULL;
	return 0;
}

/* Turns the descriptions of inode @id, all of which were opened by that path, into external ones. */
static int replace_inode(struct context *ctx, struct arena *arena, Coppice__Checkpoint *cp,
			 uint32_t id)
{
	struct references references = {.inode = id};
	const char *path = cp->inodes[id - 1]->path;
	size_t replaced = 0;
	int r;

	for (size_t i = 0; i < cp->n_files; i++) {
		Coppice__File *file = cp->files[i];

		if (file->kind_case != COPPICE__FILE__KIND_REGULAR || file->regular->inode != id ||
		    file->regular->path[0] != '\0' || (file->flags & O_PATH))
			continue;
		if (is_locked(cp, file->id))
			return err_msg(ctx, -EOPNOTSUPP, "%s: has locks, and cannot be replaced",
				       path);
		replaced++;
	}
	(void)checkpoint_references(cp, "inodes", count, &references);
	if (replaced == 0)
		return 0; /* external_check_all() says so */
	if (references.n != replaced)
		return err_msg(
			ctx, -EOPNOTSUPP,
			"%s: is mapped, or open by another name or with O_PATH, and cannot be "
			"replaced",
			path);
	for (size_t i = 0; i < cp->n_files; i++)
		if (cp->files[i]->kind_case == COPPICE__FILE__KIND_REGULAR &&
		    cp->files[i]->regular->inode == id) {
			r = make_external(ctx, arena, cp->files[i], path);
			if (r < 0)
				return r;
		}
	(void)checkpoint_references(cp, "inodes", move_up, &references);
	for (size_t i = id; i < cp->n_inodes; i++) {
		cp->inodes[i - 1] = cp->inodes[i];
		cp->inodes[i - 1]->id = (uint32_t)i;
	}
	cp->n_inodes--;
	return 0;
}

int external_replace(struct context *ctx, struct arena *arena, Coppice__Checkpoint *cp,
		     const struct rebuild_options *opt)
{
	for (size_t i = 0; i < opt->n_inherited; i++) {
		const struct inherited_fd *given = &opt->inherited[i];

		if (given->resource.type != RESOURCE_PATH)
			continue;
		for (size_t k = 0; k < cp->n_inodes; k++) {
			int r;

			if (!is_at(cp->inodes[k]->path, given))
				continue;
			r = replace_inode(ctx, arena, cp, (uint32_t)k + 1);
			if (r < 0)
				return err_while(ctx, r,
						 "replacing what --inherit-fd fd[%d]:%s names",
						 given->fd, given->text);
			break;
		}
	}
	return 0;
}
