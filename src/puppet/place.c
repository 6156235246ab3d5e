/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where boot code goes: bytes of a running program that are executable, that nobody has a use for,
 * and whose loss nobody would notice if the coordinator died and left them changed.
 *
 * The vdso is an ELF file of the kernel's in whole pages; what lies behind its content (the ends of
 * segments and the section table) is zero. Where the program has no vdso (it may unmap it), the
 * same is true of the last page of an executable segment of a mapped ELF file, if the linker
 * rounded the segment up to pages (-z separate-code, the default).
 *
 * A coordinator that died here earlier may have left its boot code, and its area. The boot code is
 * never written over: a signal handler may be running that will return into it. But then there is
 * room behind the code of such an area.
 */
#include "puppet/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/elf.h"
#include "kernel/proc.h"
#include "puppet/blob.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/macro.h"

enum { PAGE = 4096, TAIL_MAX = 65536 };

/* Executable bytes [start, end) that no content fills. */
struct tail {
	puppet_addr start;
	puppet_addr end;
};

/* Where the file's content ends in memory, if @image is the start of a mapped ELF file; or 0. */
static uint64_t content_end(struct context *ctx, struct puppet *p, puppet_addr image,
			    bool code_only)
{
	Elf64_Phdr phdr[ELF_PHDRS_MAX];
	Elf64_Ehdr ehdr;

	if (puppet_read(ctx, p, image, &ehdr, sizeof(ehdr)) < 0 || !elf_is_known(&ehdr))
		return 0;
	if (puppet_read(ctx, p, image + ehdr.e_phoff, phdr, ehdr.e_phnum * sizeof(phdr[0])) < 0)
		return 0;
	return elf_content_end(&ehdr, phdr, code_only);
}

static bool all_zero(const unsigned char *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* Looks for zeros in @tail. */
static bool tail_fits(struct context *ctx, struct puppet *p, const struct tail *tail,
		      puppet_addr *ret_at)
{
	unsigned char bytes[TAIL_MAX];
	puppet_addr at = ALIGN_UP(tail->start, (puppet_addr)16);
	size_t len;

	if (tail->end < at + ARCH_BOOT_MAX)
		return false;
	len = MIN(tail->end - at, (uint64_t)sizeof(bytes));
	if (puppet_read(ctx, p, at, bytes, len) < 0)
		return false;
	for (size_t i = 0; i + ARCH_BOOT_MAX <= len; i += ARCH_BOOT_MAX) {
		/* Not across a page border: one write to the task must be all or nothing. */
		if ((at + i) / PAGE != (at + i + ARCH_BOOT_MAX - 1) / PAGE)
			continue;
		if (!all_zero(bytes + i, ARCH_BOOT_MAX))
			continue;
		*ret_at = at + i;
		return true;
	}
	return false;
}

static bool vdso_tail(struct context *ctx, struct puppet *p, puppet_addr start, puppet_addr end,
		      struct tail *ret_tail)
{
	uint64_t content = start < end ? content_end(ctx, p, start, false) : 0;

	*ret_tail = (struct tail){start + content, end};
	return content > 0;
}

static bool is_vdso(const struct proc_map *map)
{
	return strcmp(map->name, "[vdso]") == 0;
}

/* @maps[i] is an executable mapping of a file: finds the tail of its last segment. */
static bool segment_tail(struct context *ctx, struct puppet *p, const struct proc_map *maps,
			 size_t i, struct tail *ret_tail)
{
	const struct proc_map *map = &maps[i], *head = map;
	uint64_t end;

	if (map->inode == 0 || map->shared || !(map->prot & PROT_EXEC))
		return false;
	while (head > maps && head[-1].inode == map->inode && head[-1].end == head->start)
		head--;
	if (head->offset != 0)
		return false;
	end = content_end(ctx, p, head->start, true);
	if (end <= map->offset || end > map->offset + (map->end - map->start))
		return false;
	*ret_tail = (struct tail){map->start + (end - map->offset), map->end};
	return true;
}

/* @map is the code of an area that was left behind. */
static bool leftover_tail(struct context *ctx, struct puppet *p, const struct proc_map *map,
			  struct tail *ret_tail)
{
	unsigned char bytes[PAGE];

	if (map->inode != 0 || map->prot != (PROT_READ | PROT_EXEC) || map->name[0] != '\0' ||
	    map->end - map->start < stub_blob_len || stub_blob_len > sizeof(bytes))
		return false;
	if (puppet_read(ctx, p, map->start, bytes, stub_blob_len) < 0 ||
	    memcmp(bytes, stub_blob, stub_blob_len) != 0)
		return false;
	*ret_tail = (struct tail){map->start + stub_blob_len, map->end};
	return true;
}

bool place_is_free(struct context *ctx, struct puppet *p, puppet_addr at)
{
	unsigned char bytes[ARCH_BOOT_MAX];

	if (puppet_read(ctx, p, at, bytes, sizeof(bytes)) < 0) {
		err_clear(ctx); /* a place is looked for then, which tells */
		return false;
	}
	return all_zero(bytes, sizeof(bytes));
}

/* In any of the mappings. */
static int find_in_maps(struct context *ctx, struct puppet *p, puppet_addr *ret_at)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	_cleanup_close_ int proc_fd = -EBADF;
	struct proc_map *maps;
	struct tail tail;
	char path[64];
	size_t n;
	int r;

	arena_init(&arena, ctx);
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d", p->tgid, p->tid);
	proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		return err_sys(ctx, -errno, "open(%s)", path);
	r = proc_read_maps(proc_fd, &arena, &maps, &n);
	if (r < 0)
		return err_sys(ctx, r, "%s/maps", path);
	/* From the end: there the vdso is. */
	for (size_t i = n; i-- > 0;)
		if (is_vdso(&maps[i]) && vdso_tail(ctx, p, maps[i].start, maps[i].end, &tail) &&
		    tail_fits(ctx, p, &tail, ret_at))
			return 0;
	for (size_t i = n; i-- > 0;)
		if (leftover_tail(ctx, p, &maps[i], &tail) && tail_fits(ctx, p, &tail, ret_at))
			return 0;
	for (size_t i = n; i-- > 0;)
		if (segment_tail(ctx, p, maps, i, &tail) && tail_fits(ctx, p, &tail, ret_at))
			return 0;
	return err_msg(ctx, -ENOENT, "no unused executable bytes (no vdso?) to start from");
}

int place_find(struct context *ctx, struct puppet *p, puppet_addr *ret_at)
{
	struct tail tail;

	if (vdso_tail(ctx, p, p->area->vdso_start, p->area->vdso_end, &tail) &&
	    tail_fits(ctx, p, &tail, ret_at))
		return 0;
	return find_in_maps(ctx, p, ret_at);
}
