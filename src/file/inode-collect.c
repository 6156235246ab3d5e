/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting inodes: the table of those seen so far, and the three ways to one. See inode.h. */
#include "file/inode.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "file/inode-storage.h"
#include "file/overlay-below.h"
#include "file/state.h"
#include "util/cleanup.h"

/* ---- the table ---------------------------------------------------------------------------- */

static int publish(struct collect *c, struct inode_node *node)
{
	Coppice__Checkpoint *cp = c->cp;
	Coppice__Inode **slot;
	struct inode_node **by_id;

	slot = arena_append(c->arena, &cp->inodes, &cp->n_inodes, sizeof(*slot));
	by_id = arena_append(c->arena, &c->files->inode_by_id, &c->files->n_inodes, sizeof(*by_id));
	if (!slot || !by_id)
		return err_oom(c->ctx);
	*slot = node->msg;
	*by_id = node;
	node->msg->id = (uint32_t)cp->n_inodes;
	return 0;
}

static int make_node(struct collect *c, struct collect_process *p, const char *what,
		     const struct inode_sight *sight, struct inode_node *node)
{
	struct inode_refusal refusal = {};
	Coppice__Inode *msg;
	int r;

	*node = (struct inode_node){
		.dev = sight->st.st_dev,
		.ino = sight->st.st_ino,
		.magic = sight->magic,
		.text = sight->text,
		.changed_ns =
			(int64_t)sight->st.st_ctim.tv_sec * 1000000000 + sight->st.st_ctim.tv_nsec,
	};
	msg = arena_new(c->arena, Coppice__Inode);
	if (!msg)
		return err_oom(c->ctx);
	r = inode_describe(c, sight, msg, &refusal);
	if (r < 0)
		return err_while(c->ctx, r, "collecting %s of %s", what, collect_name(c, p));
	if (refusal.why)
		return collect_refuse(c, refusal.hint, "%s, %s (%s): %s", collect_name(c, p), what,
				      sight->text, refusal.why);
	node->msg = msg;
	return publish(c, node);
}

static uint64_t inode_hash(dev_t dev, ino_t ino)
{
	uint64_t key[2] = {dev, ino};

	return XXH3_64bits(key, sizeof(key));
}

static struct inode_node *find_node(const struct collect_files *files, dev_t dev, ino_t ino)
{
	struct chain *chain = chains_find(&files->inodes, inode_hash(dev, ino));

	for (; chain; chain = chains_next(chain)) {
		struct inode_node *node = (struct inode_node *)chain;

		if (node->dev == dev && node->ino == ino)
			return node;
	}
	return NULL;
}

static uint32_t node_id(const struct inode_node *node)
{
	return node->msg ? node->msg->id : 0;
}

static bool is_by_handle(const struct inode_node *node)
{
	return node->msg && node->msg->storage == COPPICE__INODE_STORAGE__INODE_STORAGE_HANDLE;
}

static int inode_collect(struct collect *c, struct collect_process *p, const char *what,
			 const struct inode_sight *sight, uint32_t *ret_inode)
{
	struct collect_files *files = collect_files_get(c);
	struct inode_node *node;
	int r;

	if (!files)
		return err_oom(c->ctx);
	node = find_node(files, sight->st.st_dev, sight->st.st_ino);
	if (!node) {
		node = arena_new(c->arena, struct inode_node);
		if (!node)
			return err_oom(c->ctx);
		r = make_node(c, p, what, sight, node);
		if (r < 0)
			return r;
		r = chains_add(&files->inodes, inode_hash(node->dev, node->ino), &node->chain);
		if (r < 0)
			return err_oom(c->ctx);
	} else if (is_by_handle(node) && inode_path_leads_to(sight)) {
		r = inode_found_by(c, sight, node->msg);
		if (r < 0)
			return r;
		node->text = sight->text;
	}
	*ret_inode = node_id(node);
	return 0;
}

/* ---- the three ways to an inode ----------------------------------------------------------- */

/*
 * /proc/TID of a living thread: a dead leader has no memory and no descriptors left, and task/TID
 * has no map_files. The number cannot be reused while we hold the thread.
 */
static char *magic_path(struct collect *c, const struct collect_process *p, const char *name)
{
	return arena_printf(c->arena, "/proc/%d/%s", p->threads[0].tid, name);
}

static int look(struct collect *c, struct collect_process *p, const char *name,
		struct inode_sight *ret)
{
	const struct proc_dir dir = collect_dir(c, p);
	_cleanup_free_ char *text = NULL;
	struct inode_sight sight = {};
	int r;

	sight.magic = magic_path(c, p, name);
	if (!sight.magic)
		return err_oom(c->ctx);
	r = proc_dir_link(&dir, name, &text);
	if (r < 0)
		return err_sys(c->ctx, r, "readlink(%s)", sight.magic);
	sight.text = arena_strdup(c->arena, text);
	if (!sight.text)
		return err_oom(c->ctx);
	if (stat(sight.magic, &sight.st) < 0)
		return err_sys(c->ctx, -errno, "stat(%s)", sight.magic);
	*ret = sight;
	return 0;
}

int inode_collect_link(struct collect *c, struct collect_process *p, const char *name,
		       uint32_t *ret_inode)
{
	struct inode_sight sight = {};
	int r;

	r = look(c, p, name, &sight);
	if (r < 0)
		return err_while(c->ctx, r, "collecting %s of %s", name, collect_name(c, p));
	return inode_collect(c, p, name, &sight, ret_inode);
}

int inode_collect_fd(struct collect *c, const struct file_probe *probe, uint32_t *ret_inode)
{
	struct inode_sight sight = {
		.text = probe->link,
		.st = probe->st,
		.leased = strstr(probe->info.rest, ": LEASE  ") &&
			  !strstr(probe->info.rest, ": LEASE  ACTIVE    READ "),
	};
	char name[32];

	(void)snprintf(name, sizeof(name), "fd/%d", probe->in_flight ? probe->fd : probe->number);
	sight.magic = probe->in_flight ? arena_printf(c->arena, "/proc/self/%s", name)
				       : magic_path(c, probe->process, name);
	if (!sight.magic)
		return err_oom(c->ctx);
	(void)snprintf(name, sizeof(name), "fd %d", probe->number);
	return inode_collect(c, probe->process, name, &sight, ret_inode);
}

/*
 * A line of maps that was seen before. Following map_files costs three path walks, and every
 * process maps the same libraries: device, inode and name as maps shows them stand for the same
 * file throughout a collection, since the mappings keep it alive.
 */
struct mapping_node {
	struct chain chain;
	const struct proc_map *map;
	uint32_t inode;
};

static uint64_t mapping_hash(const struct proc_map *map)
{
	uint64_t key[4] = {map->dev_major, map->dev_minor, map->inode,
			   XXH3_64bits(map->name, strlen(map->name))};

	return XXH3_64bits(key, sizeof(key));
}

static bool same_file(const struct proc_map *a, const struct proc_map *b)
{
	return a->dev_major == b->dev_major && a->dev_minor == b->dev_minor &&
	       a->inode == b->inode && a->deleted == b->deleted && strcmp(a->name, b->name) == 0;
}

static const struct mapping_node *find_mapping(const struct collect_files *files,
					       const struct proc_map *map, uint64_t hash)
{
	struct chain *chain = chains_find(&files->mappings, hash);

	for (; chain; chain = chains_next(chain))
		if (same_file(((struct mapping_node *)chain)->map, map))
			return (struct mapping_node *)chain;
	return NULL;
}

static int follow_mapping(struct collect *c, struct collect_process *p, const struct proc_map *map,
			  uint32_t *ret_inode)
{
	struct inode_sight sight = {};
	char name[80];
	int r;

	(void)snprintf(name, sizeof(name), "map_files/%lx-%lx", map->start, map->end);
	r = look(c, p, name, &sight);
	if (r == -EPERM)
		(void)err_hint(c->ctx, r, "following map_files needs CAP_CHECKPOINT_RESTORE");
	(void)snprintf(name, sizeof(name), "mapping %lx-%lx", map->start, map->end);
	if (r < 0)
		return err_while(c->ctx, r, "collecting %s (%s) of %s", name, map->name,
				 collect_name(c, p));
	if (!S_ISREG(sight.st.st_mode) &&
	    !(S_ISCHR(sight.st.st_mode) && sight.st.st_rdev == makedev(1, 5))) {
		*ret_inode = 0;
		return collect_refuse(c, NULL, "%s, %s (%s): mappings of devices are not supported",
				      collect_name(c, p), name, sight.text);
	}
	return inode_collect(c, p, name, &sight, ret_inode);
}

/* When the tree's root began to run; a second before, since clocks are set. */
static int64_t tree_began_ns(const struct collect *c)
{
	struct timespec real, boot;

	(void)clock_gettime(CLOCK_REALTIME, &real); /* cannot fail */
	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	return (int64_t)(real.tv_sec - boot.tv_sec - 1) * 1000000000 + real.tv_nsec - boot.tv_nsec +
	       (int64_t)c->processes[0].stat.start_time * (1000000000 / sysconf(_SC_CLK_TCK));
}

/*
 * A file on overlayfs that was copied up while the tree has run may be mapped as it was before. Its
 * change time is that of the copy.
 */
static int check_layer(struct collect *c, struct collect_process *p, const struct proc_map *map,
		       uint32_t inode)
{
	const struct inode_node *node = inode != 0 ? c->files->inode_by_id[inode - 1] : NULL;
	int r;

	if (!node || node->msg->fs_type != OVERLAYFS_SUPER_MAGIC ||
	    node->changed_ns < tree_began_ns(c))
		return 0;
	r = overlay_shows_below(c, p, map, node->magic);
	if (r <= 0)
		return r;
	return collect_refuse(
		c, "start the program again, so that it maps the file as it is now",
		"%s, mapping %lx-%lx (%s): shows a file of overlayfs's lower layer, which "
		"has been copied up since",
		collect_name(c, p), map->start, map->end, map->name);
}

int inode_collect_mapping(struct collect *c, struct collect_process *p, const struct proc_map *map,
			  uint32_t *ret_inode)
{
	struct collect_files *files = collect_files_get(c);
	uint64_t hash = mapping_hash(map);
	const struct mapping_node *known;
	struct mapping_node *node;
	uint32_t inode = 0;
	int r;

	if (!files)
		return err_oom(c->ctx);
	known = find_mapping(files, map, hash);
	if (known) {
		*ret_inode = known->inode;
		return check_layer(c, p, map, known->inode);
	}
	r = follow_mapping(c, p, map, &inode);
	if (r < 0)
		return r;
	node = arena_new(c->arena, struct mapping_node);
	if (!node)
		return err_oom(c->ctx);
	*node = (struct mapping_node){.map = map, .inode = inode};
	if (chains_add(&files->mappings, hash, &node->chain) < 0)
		return err_oom(c->ctx);
	*ret_inode = inode;
	return check_layer(c, p, map, inode);
}

int inode_open_content(struct collect *c, uint32_t inode, int *ret_fd)
{
	const struct inode_node *node = c->files->inode_by_id[inode - 1];
	int fd = open(node->magic, O_RDONLY | O_CLOEXEC | O_NOATIME | O_NONBLOCK);

	if (fd < 0 && errno == EPERM) /* O_NOATIME is for the owner and CAP_FOWNER */
		fd = open(node->magic, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_sys(c->ctx, -errno, "open(%s) (%s)", node->magic, node->msg->path);
	*ret_fd = fd;
	return 0;
}
