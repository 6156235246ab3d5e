/* SPDX-License-Identifier: Apache-2.0 */
#include "file/pipes.h"

#include <errno.h>
#include <xxhash.h>

#include "file/open.h"
#include "file/pipe-content.h"
#include "file/pipe-peers.h"
#include "file/state.h"
#include "util/cleanup.h"

/* ---- which ends belong together -------------------------------------------------------------- */

static uint64_t pipe_hash(dev_t dev, ino_t ino)
{
	uint64_t key[2] = {dev, ino};

	return XXH3_64bits(key, sizeof(key));
}

static struct pipe_node *find_pipe(const struct collect_files *files, const struct stat *st)
{
	struct chain *chain = chains_find(&files->pipes, pipe_hash(st->st_dev, st->st_ino));

	for (; chain; chain = chains_next(chain)) {
		struct pipe_node *node = (struct pipe_node *)chain;

		if (node->dev == st->st_dev && node->ino == st->st_ino)
			return node;
	}
	return NULL;
}

static struct pipe_node *add_pipe(struct collect *c, const struct stat *st,
				  const Coppice__File *file)
{
	struct collect_files *files = c->files;
	struct pipe_node *node = arena_new(c->arena, struct pipe_node);

	if (!node)
		return NULL;
	*node = (struct pipe_node){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.number = files->n_pipes + 1,
		.first = file,
	};
	if (chains_add(&files->pipes, pipe_hash(st->st_dev, st->st_ino), &node->chain) < 0)
		return NULL;
	files->n_pipes++;
	return node;
}

int pipes_collect(struct collect *c, const struct file_probe *probe, const Coppice__File *file,
		  uint32_t *ret_number)
{
	struct pipe_node *node = find_pipe(c->files, &probe->st);

	if (!node)
		node = add_pipe(c, &probe->st, file);
	if (!node)
		return err_oom(c->ctx);
	if (!node->reader && reads(file))
		node->reader = probe;
	if (!node->writer && writes(file))
		node->writer = probe;
	*ret_number = node->number;
	return 0;
}

/* ---- when all are known -------------------------------------------------------------------- */

static int refuse_outside(struct collect *c, const struct file_probe *probe,
			  const struct pipe_node *node)
{
	const char *side = !node->reader   ? "its reading end is"
			   : !node->writer ? "its writing end is"
					   : "an end is also";

	return collect_refuse(
		c,
		arena_printf(
			c->arena,
			"dump the process at the other end too, or give it another at restore: "
			"dump --external '%s', restore --inherit-fd",
			probe->link),
		"%s, fd %d (%s): %s open outside the tree", collect_name(c, probe->process),
		probe->number, probe->link, side);
}

/* A descriptor that reads; where the tree has none, there is none at all and we may open one. */
static int open_reader(struct collect *c, const struct pipe_node *node, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	int r = file_probe_dup(c, node->reader ? node->reader : node->writer, &fd);

	if (r < 0)
		return r;
	if (node->reader) {
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	r = open_again(fd, O_RDONLY);
	if (r < 0)
		return err_sys(c->ctx, r, "opening the other end of a pipe");
	*ret_fd = r;
	return 0;
}

int pipes_collect_late(struct collect *c, const struct file_probe *probe, const Coppice__File *file,
		       Coppice__PipeContent **ret_content)
{
	const struct pipe_node *node = find_pipe(c->files, &probe->st);
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (node->first != file)
		return 0;
	r = pipe_has_outside_end(c, node);
	if (r < 0)
		return r;
	if (r > 0)
		return refuse_outside(c, probe, node);
	r = open_reader(c, node, &fd);
	if (r < 0)
		return r;
	return pipe_content_take(c->ctx, c->arena, fd, ret_content);
}
