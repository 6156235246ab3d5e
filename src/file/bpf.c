/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BPF maps (kernel/bpf/syscall.c): arrays and hashes, also those with a value per CPU, with their
 * content, name, flags, and whether they are frozen. Several descriptions, with an access of their
 * own each, can be of one map; which are tells its id, which the kernel gives out anew.
 *
 * Refused, each by its type:
 * - maps whose entries are other objects (programs, maps, sockets, devices, cgroups);
 * - queues and stacks, which are read by taking; LRU hashes, whose order of use nobody is told;
 *   ring buffers, whose positions are in pages that only their readers map;
 * - maps with BTF: their values may hold timers, locks and pointers, which bpf(2) leaves out.
 *
 * A map that a program outside uses would go on without the tree: refused. One that is pinned in a
 * bpffs, or open in a process outside, cannot be told from one that is not.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file/bpf-content.h"
#include "file/open.h"
#include "file/state.h"
#include "kind/file.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum {
	MAP_FLAGS_KEPT = BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG |
			 BPF_F_ZERO_SEED | BPF_F_MMAPABLE | BPF_F_INNER_MAP,
};

static const char of_objects[] = "its entries are other objects of the kernel's";
static const char of_order[] =
	"the order of its entries cannot be read, or not without taking them";

/* Those that are kept have no reason why not. */
static const struct map_type {
	uint32_t type;
	bool per_cpu;
	const char *why_not;
} types[] = {
	{BPF_MAP_TYPE_HASH, false, NULL},	  {BPF_MAP_TYPE_ARRAY, false, NULL},
	{BPF_MAP_TYPE_PERCPU_HASH, true, NULL},	  {BPF_MAP_TYPE_PERCPU_ARRAY, true, NULL},
	{BPF_MAP_TYPE_LRU_HASH, false, of_order}, {BPF_MAP_TYPE_LRU_PERCPU_HASH, true, of_order},
	{BPF_MAP_TYPE_QUEUE, false, of_order},	  {BPF_MAP_TYPE_STACK, false, of_order},
	{BPF_MAP_TYPE_RINGBUF, false, of_order},  {BPF_MAP_TYPE_USER_RINGBUF, false, of_order},
};

static const struct map_type *find_type(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].type == type)
			return &types[i];
	return NULL;
}

static bool matches(const struct file_probe *probe)
{
	return strcmp(probe->link, "anon_inode:bpf-map") == 0;
}

static int read_info(struct context *ctx, int fd, struct bpf_map_info *ret)
{
	uint32_t len = sizeof(*ret);
	int r;

	memset(ret, 0, sizeof(*ret));
	r = bpf_obj_get_info_by_fd(fd, ret, &len);
	return r < 0 ? err_sys(ctx, r, "bpf(BPF_OBJ_GET_INFO_BY_FD) of a map") : 0;
}

/* Another description of the map, with its own access: BPF_F_RDONLY, BPF_F_WRONLY or 0. */
static int open_by_id(struct context *ctx, uint32_t id, uint32_t access, int *ret_fd)
{
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, opts, .open_flags = access);
	int fd = bpf_map_get_fd_by_id_opts(id, &opts);

	if (fd < 0)
		return err_sys(ctx, fd, "bpf(BPF_MAP_GET_FD_BY_ID, %u)", id);
	*ret_fd = fd;
	return 0;
}

/* ---- dump ----------------------------------------------------------------------------------- */

/* Does the program use the map? 1, 0 or -errno; one that is gone meanwhile does not. */
static int program_uses(uint32_t program, uint32_t map)
{
	enum { MAPS_MAX = 64 }; /* MAX_USED_MAPS, kernel/bpf/verifier.c */
	uint32_t ids[MAPS_MAX];
	struct bpf_prog_info info = {.nr_map_ids = MAPS_MAX, .map_ids = (uintptr_t)ids};
	uint32_t len = sizeof(info);
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(program);
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = bpf_obj_get_info_by_fd(fd, &info, &len);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < MIN(info.nr_map_ids, (uint32_t)MAPS_MAX); i++)
		if (ids[i] == map)
			return 1;
	return 0;
}

static int find_user(struct context *ctx, uint32_t map, uint32_t *ret_program)
{
	uint32_t program = 0;
	int r;

	while ((r = bpf_prog_get_next_id(program, &program)) == 0) {
		r = program_uses(program, map);
		if (r < 0)
			return err_sys(ctx, r, "asking BPF program %u for its maps", program);
		if (r > 0) {
			*ret_program = program;
			return 1;
		}
	}
	return r == -ENOENT ? 0 : err_sys(ctx, r, "bpf(BPF_PROG_GET_NEXT_ID)");
}

static int refuse(struct collect *c, const struct file_probe *probe, const char *why)
{
	return collect_refuse(c, "have the program close it before the dump", "%s, fd %d (%s): %s",
			      collect_name(c, probe->process), probe->number, probe->link, why);
}

/* 1: refused, 0: nothing is in the way. */
static int refuse_unkept(struct collect *c, const struct file_probe *probe,
			 const struct bpf_map_info *info)
{
	const struct map_type *type = find_type(info->type);
	const char *why = !type ? of_objects : type->why_not ? type->why_not : NULL;
	uint32_t program = 0;
	char text[128];
	int r;

	if (why)
		(void)snprintf(text, sizeof(text), "is a BPF map of type %u: %s", info->type, why);
	else if (info->btf_id != 0)
		(void)snprintf(text, sizeof(text),
			       "is a BPF map with BTF: its values may hold what cannot be read");
	else if (info->ifindex != 0 || (info->map_flags & ~(uint32_t)MAP_FLAGS_KEPT))
		(void)snprintf(text, sizeof(text),
			       "is a BPF map with flags %#x, which cannot be given again",
			       info->map_flags);
	else {
		r = find_user(c->ctx, info->id, &program);
		if (r <= 0)
			return r;
		(void)snprintf(text, sizeof(text),
			       "is a BPF map that program %u uses, which is not dumped", program);
	}
	r = refuse(c, probe, text);
	return r < 0 ? r : 1;
}

static bool is_frozen(const struct file_probe *probe)
{
	return strstr(probe->info.rest, "frozen:\t1") != NULL;
}

static int collect_content(struct collect *c, const struct file_probe *probe,
			   const struct bpf_map_info *info, Coppice__BpfMap *map)
{
	Coppice__BpfMapContent *content = arena_new(c->arena, Coppice__BpfMapContent);
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!content)
		return err_oom(c->ctx);
	coppice__bpf_map_content__init(content);
	map->content = content;
	content->type = info->type;
	content->key_size = info->key_size;
	content->value_size = info->value_size;
	content->max_entries = info->max_entries;
	content->flags = info->map_flags;
	content->frozen = is_frozen(probe);
	if (find_type(info->type)->per_cpu)
		content->cpus = (uint32_t)libbpf_num_possible_cpus();
	content->name = arena_strdup(c->arena, info->name);
	if (!content->name)
		return err_oom(c->ctx);
	/* The program's own description may not be allowed to read. */
	r = open_by_id(c->ctx, info->id, 0, &fd);
	return r < 0 ? r : bpf_map_content_take(c->ctx, c->arena, fd, content);
}

/* The number of the map with this id; *@ret_first: it is new. */
static int number_of(struct collect *c, uint32_t id, uint32_t *ret_number, bool *ret_first)
{
	struct collect_files *files = c->files;
	uint32_t *slot;

	for (size_t i = 0; i < files->n_bpf_maps; i++)
		if (files->bpf_maps[i] == id) {
			*ret_number = (uint32_t)i + 1;
			return 0;
		}
	slot = arena_append(c->arena, &files->bpf_maps, &files->n_bpf_maps, sizeof(*slot));
	if (!slot)
		return err_oom(c->ctx);
	*slot = id;
	*ret_number = (uint32_t)files->n_bpf_maps;
	*ret_first = true;
	return 0;
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__BpfMap *map = arena_new(c->arena, Coppice__BpfMap);
	struct bpf_map_info info;
	bool first = false;
	int r;

	if (!map)
		return err_oom(c->ctx);
	coppice__bpf_map__init(map);
	file->bpf_map = map;
	r = read_info(c->ctx, probe->fd, &info);
	if (r == 0)
		r = refuse_unkept(c, probe, &info);
	if (r != 0)
		return r < 0 ? r : 0;
	r = number_of(c, info.id, &map->map, &first);
	return r < 0 || !first ? r : collect_content(c, probe, &info, map);
}

/* ---- restore -------------------------------------------------------------------------------- */

/* The kernel takes as many bytes for a value as the type says, whatever the image has. */
static bool is_kept(const Coppice__BpfMapContent *content)
{
	const struct map_type *type = find_type(content->type);

	return type && !type->why_not && type->per_cpu == (content->cpus != 0) &&
	       !(content->flags & ~(uint32_t)MAP_FLAGS_KEPT);
}

static int check(struct rebuild *r, const Coppice__File *file)
{
	const Coppice__BpfMapContent *content = file->bpf_map->content;
	int cpus = libbpf_num_possible_cpus();
	uint32_t id = 0;
	int result;

	if (content && !is_kept(content))
		return rebuild_refuse(r, "use the coppice that made the image",
				      "a BPF map has type %u, flags %#x and values for %u CPUs",
				      content->type, content->flags, content->cpus);
	if (content && content->cpus != 0 && content->cpus != (uint32_t)cpus)
		return rebuild_refuse(r, NULL,
				      "a BPF map has values for %u CPUs, and this machine has %d",
				      content->cpus, cpus);
	result = bpf_map_get_next_id(0, &id);
	if (result < 0 && result != -ENOENT)
		return rebuild_refuse(r, "BPF maps need CAP_BPF and CAP_SYS_ADMIN",
				      "coppice may not make BPF maps here (%s)", err_name(result));
	return 0;
}

static int make(struct rebuild *r, const Coppice__BpfMapContent *content, int *ret_fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = content->flags);
	_cleanup_close_ int fd = bpf_map_create(content->type, content->name, content->key_size,
						content->value_size, content->max_entries, &opts);
	int result;

	if (fd < 0)
		return err_sys(r->ctx, fd, "bpf(BPF_MAP_CREATE, %u)", content->type);
	result = bpf_map_content_put(r->ctx, content, fd);
	if (result < 0)
		return result;
	if (content->frozen) {
		result = bpf_map_freeze(fd);
		if (result < 0)
			return err_sys(r->ctx, result, "bpf(BPF_MAP_FREEZE)");
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Some description of the map that exists already: validation has seen that there is one. */
static int made_before(const struct rebuild *r, uint32_t map)
{
	for (size_t i = 0; i < r->n_files; i++) {
		const Coppice__File *file = r->files[i].msg;

		if (file->kind_case == COPPICE__FILE__KIND_BPF_MAP && file->bpf_map->map == map)
			return r->files[i].fd;
	}
	return -EBADF;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	uint32_t mode = file->flags & O_ACCMODE;
	uint32_t access = mode == O_RDONLY ? BPF_F_RDONLY : mode == O_WRONLY ? BPF_F_WRONLY : 0;
	_cleanup_close_ int first = -EBADF;
	struct bpf_map_info info;
	int result = 0;

	if (file->bpf_map->content)
		result = make(r, file->bpf_map->content, &first);
	if (result == 0)
		result = read_info(r->ctx, first >= 0 ? first : made_before(r, file->bpf_map->map),
				   &info);
	return result < 0 ? result : open_by_id(r->ctx, info.id, access, ret_fd);
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	const Coppice__BpfMapContent *content = file->bpf_map->content;

	if (content)
		(void)snprintf(buf, size, "BPF map %u (%s), type %u, %zu entries",
			       file->bpf_map->map, content->name, content->type,
			       content->keys.len / content->key_size);
	else
		(void)snprintf(buf, size, "BPF map %u", file->bpf_map->map);
}

const struct file_kind kind_bpf = {
	.name = "BPF map",
	.which = COPPICE__FILE__KIND_BPF_MAP,
	.matches = matches,
	.collect = collect,
	.check = check,
	.create = create,
	.describe = describe,
};
