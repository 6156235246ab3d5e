/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMAs: the mappings of an address space, as /proc/PID/smaps shows them.
 *
 * VmFlags has nearly all of vm_flags. Not shown, and not kept: the VMA's anon_vma (which pages may
 * be shared with whom; memory-cow.c keeps the sharing itself), and vm_pgoff of anonymous mappings,
 * which only decides about merging. VM_SOFTDIRTY is shown but not kept. VM_ACCOUNT, charged against
 * the overcommit limit, is what a private mapping keeps from having been writable once.
 *
 * What a mapping maps is never taken from the name, except for the kernel's own objects, whose
 * names no file can have in combination with their device and inode numbers: src/file follows
 * /proc/PID/map_files.
 */
#include "task/memory-vma.h"

#include <fcntl.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "file/inode.h"

/* Mappings with one of these flags cannot be had again by mmap() and madvise(). */
static const struct unkept {
	uint64_t flags;
	const char *why;
	const char *hint;
} unkept[] = {
	{VMF_UFFD_MISSING | VMF_UFFD_WP | VMF_UFFD_MINOR, "is registered with userfaultfd",
	 "have the program unregister it (UFFDIO_UNREGISTER) before the dump"},
	{VMF_PFNMAP | VMF_IO | VMF_MIXEDMAP | VMF_ARCH_1, "maps device memory", NULL},
	{VMF_SHADOW_STACK, "is a shadow stack",
	 "start the program with GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK"},
	{VMF_SYNC, "was mapped with MAP_SYNC", NULL},
	{VMF_UNKNOWN, "has a flag in VmFlags that this version does not know", NULL},
};

/* Flags that are kept as advice. */
static const struct {
	uint64_t flag;
	uint64_t advice;
} advice_bits[] = {
	{VMF_SEQ_READ, COPPICE__VMA_ADVICE__VMA_ADVICE_SEQUENTIAL},
	{VMF_RAND_READ, COPPICE__VMA_ADVICE__VMA_ADVICE_RANDOM},
	{VMF_DONTCOPY, COPPICE__VMA_ADVICE__VMA_ADVICE_DONTFORK},
	{VMF_WIPEONFORK, COPPICE__VMA_ADVICE__VMA_ADVICE_WIPEONFORK},
	{VMF_DONTDUMP, COPPICE__VMA_ADVICE__VMA_ADVICE_DONTDUMP},
	{VMF_HUGEPAGE, COPPICE__VMA_ADVICE__VMA_ADVICE_HUGEPAGE},
	{VMF_NOHUGEPAGE, COPPICE__VMA_ADVICE__VMA_ADVICE_NOHUGEPAGE},
	{VMF_MERGEABLE, COPPICE__VMA_ADVICE__VMA_ADVICE_MERGEABLE},
	{VMF_DROPPABLE, COPPICE__VMA_ADVICE__VMA_ADVICE_DROPPABLE},
};

bool vma_has_inode(const Coppice__Vma *vma)
{
	return vma->kind == COPPICE__VMA_KIND__VMA_KIND_FILE ||
	       vma->kind == COPPICE__VMA_KIND__VMA_KIND_SHARED_ANON;
}

bool vma_has_private_pages(const Coppice__Vma *vma)
{
	return (vma->flags & MAP_TYPE) == MAP_PRIVATE &&
	       (vma->kind == COPPICE__VMA_KIND__VMA_KIND_ANON || vma_has_inode(vma));
}

size_t vma_find(const Coppice__Mm *mm, uint64_t address)
{
	size_t low = 0;
	size_t high = mm->n_vmas;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mm->vmas[middle]->end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int refuse_map(struct collect *c, struct collect_process *p, const struct proc_map *map,
		      const char *why, const char *hint)
{
	return collect_refuse(c, hint, "%s, mapping %llx-%llx (%s): %s", collect_name(c, p),
			      (unsigned long long)map->start, (unsigned long long)map->end,
			      map->name[0] != '\0' ? map->name : "anonymous", why);
}

static bool is_vdso_name(const char *name)
{
	return strcmp(name, "[vdso]") == 0 || strncmp(name, "[vvar", strlen("[vvar")) == 0;
}

/* Without a file: anonymous memory, or something that the kernel put there. */
static bool kind_without_file(const struct proc_map *map, Coppice__VmaKind *ret_kind)
{
	static const char *const ordinary[] = {"", "[heap]", "[stack]"};

	for (size_t i = 0; i < ARRAY_SIZE(ordinary); i++) {
		if (strcmp(map->name, ordinary[i]) == 0) {
			*ret_kind = COPPICE__VMA_KIND__VMA_KIND_ANON;
			return true;
		}
	}
	if (strncmp(map->name, "[anon:", strlen("[anon:")) == 0)
		*ret_kind = COPPICE__VMA_KIND__VMA_KIND_ANON;
	else if (is_vdso_name(map->name))
		*ret_kind = COPPICE__VMA_KIND__VMA_KIND_VDSO;
	else if (strcmp(map->name, "[vsyscall]") == 0)
		*ret_kind = COPPICE__VMA_KIND__VMA_KIND_VSYSCALL;
	else
		return false;
	return true;
}

/* What stands behind a mapping with a file; *@ret_inode is 0 where it was refused. */
static int kind_with_file(struct collect *c, struct collect_process *p, const struct proc_map *map,
			  Coppice__Vma *vma)
{
	const Coppice__Inode *inode;
	int r;

	if (map->deleted && strncmp(map->name, "/SYSV", strlen("/SYSV")) == 0)
		return refuse_map(c, p, map, "System V shared memory is not supported yet", NULL);
	/* Private anonymous huge pages have a file of their own, which nobody else can reach. */
	if (map->deleted && !map->shared && strcmp(map->name, "/anon_hugepage") == 0)
		return 0;

	r = inode_collect_mapping(c, p, map, &vma->inode);
	if (r < 0 || vma->inode == 0)
		return r;
	inode = c->cp->inodes[vma->inode - 1];
	if (S_ISCHR(inode->mode) && inode->rdev != makedev(1, 5))
		return refuse_map(c, p, map,
				  "mappings of devices other than /dev/zero cannot be kept", NULL);
	vma->kind = inode_needs_content(inode) &&
				    inode->storage != COPPICE__INODE_STORAGE__INODE_STORAGE_DELETED
			    ? COPPICE__VMA_KIND__VMA_KIND_SHARED_ANON
			    : COPPICE__VMA_KIND__VMA_KIND_FILE;
	vma->offset = map->offset;
	if (map->shared && (map->flags & VMF_MAYWRITE))
		vma->open_flags = O_RDWR;
	return 0;
}

static int refuse_flags(struct collect *c, struct collect_process *p, const struct proc_map *map)
{
	for (size_t i = 0; i < ARRAY_SIZE(unkept); i++) {
		int r;

		if (!(map->flags & unkept[i].flags))
			continue;
		r = refuse_map(c, p, map, unkept[i].why, unkept[i].hint);
		if (r < 0)
			return r;
	}
	/* hugetlbfs sets it always, drivers do where a mapping is more than its pages. */
	if ((map->flags & (VMF_DONTEXPAND | VMF_HUGETLB)) == VMF_DONTEXPAND)
		return refuse_map(c, p, map, "was made by a driver (VM_DONTEXPAND)", NULL);
	return 0;
}

static void set_flags(const struct proc_map *map, Coppice__Vma *vma)
{
	vma->flags = map->shared ? MAP_SHARED : MAP_PRIVATE;
	if (map->flags & VMF_GROWSDOWN)
		vma->flags |= MAP_GROWSDOWN;
	if (map->flags & VMF_NORESERVE)
		vma->flags |= MAP_NORESERVE;
	if (map->flags & VMF_HUGETLB) {
		vma->flags |= MAP_HUGETLB;
		vma->hugetlb_shift = (uint32_t)__builtin_ctzll(map->page_size | 1ULL << 63);
	}
	for (size_t i = 0; i < ARRAY_SIZE(advice_bits); i++)
		if (map->flags & advice_bits[i].flag)
			vma->advice |= advice_bits[i].advice;
	if (map->flags & VMF_LOCKED)
		vma->locked = map->flags & VMF_LOCKONFAULT ? 2 : 1;
	vma->accounted = !map->shared && !(map->prot & PROT_WRITE) && (map->flags & VMF_ACCOUNT);
	vma->sealed = (map->flags & VMF_SEALED) != 0;
	vma->pkey = map->pkey;
}

/* The user's name of anonymous memory: "[anon:NAME]" or "[anon_shmem:NAME]". */
static int set_name(struct collect *c, const struct proc_map *map, Coppice__Vma *vma)
{
	const char *colon = strchr(map->name, ':');
	size_t len = strlen(map->name);

	if (strncmp(map->name, "[anon", strlen("[anon")) != 0 || !colon ||
	    map->name[len - 1] != ']')
		return 0;
	vma->name =
		arena_printf(c->arena, "%.*s", (int)(map->name + len - 1 - (colon + 1)), colon + 1);
	return vma->name ? 0 : err_oom(c->ctx);
}

/* The kernel's own mappings: their place and nothing else is state. */
static int collect_special(const struct proc_map *map, Coppice__Vma *vma)
{
	vma->flags = MAP_PRIVATE;
	vma->sealed = (map->flags & VMF_SEALED) != 0;
	vma->name = map->name;
	return 0;
}

/*
 * A mapping that its owner makes: nobody else can. Its pages are the owner's, and so are those of
 * its flags that mmap() and madvise() do not set. Who that is, is found later: until then the name
 * tells.
 */
static bool is_owned(const struct proc_map *map)
{
	return (map->deleted && strcmp(map->name, "/[aio]") == 0) ||
	       strcmp(map->name, "anon_inode:[io_uring]") == 0;
}

static int collect_owned(const struct proc_map *map, Coppice__Vma *vma)
{
	vma->kind = COPPICE__VMA_KIND__VMA_KIND_OWNED;
	vma->offset = map->offset;
	vma->name = map->name;
	set_flags(map, vma);
	return 0;
}

static int collect_one(struct collect *c, struct collect_process *p, const struct proc_map *map,
		       Coppice__Vma *vma)
{
	bool has_file = map->inode != 0 || map->dev_major != 0 || map->dev_minor != 0;
	int r;

	vma->start = map->start;
	vma->end = map->end;
	vma->prot = (uint32_t)map->prot;
	if (!has_file && !kind_without_file(map, &vma->kind))
		return refuse_map(c, p, map, "this mapping of the kernel's cannot be kept", NULL);
	if (vma->kind == COPPICE__VMA_KIND__VMA_KIND_VDSO ||
	    vma->kind == COPPICE__VMA_KIND__VMA_KIND_VSYSCALL)
		return collect_special(map, vma);
	if (has_file && is_owned(map))
		return collect_owned(map, vma);
	set_flags(map, vma);
	r = refuse_flags(c, p, map);
	if (r < 0)
		return r;
	if (has_file) {
		r = kind_with_file(c, p, map, vma);
		if (r < 0)
			return r;
	}
	return set_name(c, map, vma);
}

struct hidden {
	uint64_t start;
	uint64_t end;
};

/* Cuts what is ours off @map; returns false if nothing is left before or at the hidden range. */
static bool next_visible(const struct proc_map *map, const struct hidden *hidden, size_t n,
			 uint64_t *at, struct proc_map *ret_piece)
{
	uint64_t start = *at;
	uint64_t end = map->end;

	for (size_t i = 0; i < n; i++)
		if (hidden[i].start <= start && start < hidden[i].end)
			start = hidden[i].end;
	for (size_t i = 0; i < n; i++)
		if (hidden[i].start >= start && hidden[i].start < end &&
		    hidden[i].start < hidden[i].end)
			end = hidden[i].start;
	if (start >= end)
		return false;
	*ret_piece = *map;
	ret_piece->start = start;
	ret_piece->end = end;
	ret_piece->offset += start - map->start;
	*at = end;
	return true;
}

static int add_vma(struct collect *c, struct collect_process *p, Coppice__Mm *mm,
		   const struct proc_map *map)
{
	Coppice__Vma **slot = arena_append(c->arena, &mm->vmas, &mm->n_vmas, sizeof(*slot));
	Coppice__Vma *vma = arena_new(c->arena, Coppice__Vma);

	if (!slot || !vma)
		return err_oom(c->ctx);
	coppice__vma__init(vma);
	*slot = vma;
	return collect_one(c, p, map, vma);
}

int vma_collect(struct collect *c, struct collect_process *p, Coppice__Mm *mm)
{
	const struct puppet_area *area = p->puppet->area;
	const struct hidden hidden[] = {
		{c->hide_start, c->hide_end},
		{area ? area->base : 0, area ? area->base + area->size : 0},
	};

	for (size_t i = 0; i < p->n_maps; i++) {
		uint64_t at = p->maps[i].start;
		struct proc_map piece;

		/* A range of ours between two of the program's can have been merged with both. */
		while (next_visible(&p->maps[i], hidden, ARRAY_SIZE(hidden), &at, &piece)) {
			int r = add_vma(c, p, mm, &piece);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

bool vma_policies_equal(const Coppice__MemPolicy *a, const Coppice__MemPolicy *b)
{
	if (!a || !b)
		return a == b;
	return a->mode == b->mode && a->flags == b->flags && a->nodes.len == b->nodes.len &&
	       (a->nodes.len == 0 || memcmp(a->nodes.data, b->nodes.data, a->nodes.len) == 0);
}

static bool continues(const Coppice__Vma *a, const Coppice__Vma *b)
{
	return a->end == b->start && a->kind == b->kind && a->prot == b->prot &&
	       a->flags == b->flags && a->inode == b->inode && a->open_flags == b->open_flags &&
	       a->pkey == b->pkey && a->advice == b->advice && a->sealed == b->sealed &&
	       a->accounted == b->accounted && a->hugetlb_shift == b->hugetlb_shift &&
	       a->locked == b->locked &&
	       (!vma_has_inode(a) || a->offset + (a->end - a->start) == b->offset) &&
	       a->kind != COPPICE__VMA_KIND__VMA_KIND_VDSO &&
	       a->kind != COPPICE__VMA_KIND__VMA_KIND_OWNED && strcmp(a->name, b->name) == 0 &&
	       vma_policies_equal(a->policy, b->policy);
}

void vma_merge(Coppice__Mm *mm)
{
	size_t n = 0;

	for (size_t i = 0; i < mm->n_vmas; i++) {
		if (n > 0 && continues(mm->vmas[n - 1], mm->vmas[i]))
			mm->vmas[n - 1]->end = mm->vmas[i]->end;
		else
			mm->vmas[n++] = mm->vmas[i];
	}
	mm->n_vmas = n;
}
