/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [vdso] and the data pages before it, [vvar] and [vvar_vclock]: code and data of the kernel's in
 * every process. A program keeps pointers into them (glibc resolves clock_gettime() once, at its
 * start), so the pieces must come back at their addresses and the code must be the very same: an
 * image is refused on a kernel whose vdso differs. The data pages are this kernel's and are right
 * by themselves.
 *
 * What lies behind the content of the ELF file that it is, in its last page, does not count: a
 * coordinator that was killed may have left boot code there (puppet/place.h).
 *
 * A new process has them at random places; mremap() moves each piece, and the kernel follows
 * (mm->context.vdso, vdso_mremap() in arch/x86/entry/vdso/vma.c). MREMAP_FIXED cannot move a piece
 * onto itself, so places that overlap take a detour.
 */
#include "task/memory-vdso.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#include "kernel/elf.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

/* More than any vdso has. */
enum { VDSO_MAX = 64 * 1024 };

static bool is_vdso(const Coppice__Vma *vma)
{
	return vma->kind == COPPICE__VMA_KIND__VMA_KIND_VDSO;
}

static void add_piece(struct vdso_layout *layout, const char *name, uint64_t start, uint64_t end)
{
	struct vdso_piece *piece;

	if (layout->n == VDSO_PIECES)
		return; /* cannot be: vdso_check() has compared with what there is */
	piece = &layout->piece[layout->n++];
	strncpy(piece->name, name, sizeof(piece->name) - 1);
	piece->start = start;
	piece->len = end - start;
}

void vdso_layout_of_mm(const Coppice__Mm *mm, struct vdso_layout *ret)
{
	*ret = (struct vdso_layout){};
	for (size_t i = 0; i < mm->n_vmas; i++)
		if (is_vdso(mm->vmas[i]))
			add_piece(ret, mm->vmas[i]->name, mm->vmas[i]->start, mm->vmas[i]->end);
}

static int layout_of_pid(struct context *ctx, pid_t pid, struct vdso_layout *ret)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	_cleanup_close_ int fd = -EBADF;
	struct proc_map *maps;
	size_t n = 0;
	int r;

	arena_init(&arena, ctx);
	r = proc_open(pid, &fd);
	if (r >= 0)
		r = proc_read_maps(fd, &arena, &maps, &n);
	if (r < 0)
		return err_sys(ctx, r, "reading /proc/%d/maps", pid);
	*ret = (struct vdso_layout){};
	for (size_t i = 0; i < n; i++)
		if (strcmp(maps[i].name, "[vdso]") == 0 || strncmp(maps[i].name, "[vvar", 5) == 0)
			add_piece(ret, maps[i].name, maps[i].start, maps[i].end);
	return 0;
}

int vdso_layout_of_puppet(struct context *ctx, const struct puppet *p, struct vdso_layout *ret)
{
	return layout_of_pid(ctx, p->tid, ret);
}

static const struct vdso_piece *find_piece(const struct vdso_layout *layout, const char *name)
{
	for (size_t i = 0; i < layout->n; i++)
		if (strcmp(layout->piece[i].name, name) == 0)
			return &layout->piece[i];
	return NULL;
}

static uint64_t hash(const unsigned char *code, size_t len)
{
	return XXH3_64bits(code, elf_image_content(code, len));
}

/* ---- dump --------------------------------------------------------------------------------- */

int vdso_collect(struct collect *c, struct collect_process *p, Coppice__Mm *mm)
{
	unsigned char code[VDSO_MAX];

	for (size_t i = 0; i < mm->n_vmas; i++) {
		const Coppice__Vma *vma = mm->vmas[i];
		uint64_t len = vma->end - vma->start;
		int r;

		if (!is_vdso(vma) || strcmp(vma->name, "[vdso]") != 0)
			continue;
		if (len > sizeof(code))
			return collect_refuse(c, NULL, "%s: [vdso] has %llu bytes",
					      collect_name(c, p), (unsigned long long)len);
		r = puppet_read(c->ctx, p->puppet, vma->start, code, len);
		if (r < 0)
			return r;
		mm->vdso = vma->start;
		mm->vdso_xxh3 = hash(code, len);
	}
	return 0;
}

/* ---- restore ------------------------------------------------------------------------------ */

static bool provides(const struct vdso_layout *ours, const Coppice__Mm *mm)
{
	const struct vdso_piece *vdso = find_piece(ours, "[vdso]");
	struct vdso_layout wanted;

	vdso_layout_of_mm(mm, &wanted);
	for (size_t i = 0; i < wanted.n; i++) {
		const struct vdso_piece *have = find_piece(ours, wanted.piece[i].name);

		if (!have || have->len != wanted.piece[i].len)
			return false;
	}
	/* The pieces are equally long, so ours can be read for the length of theirs. */
	return mm->vdso == 0 ||
	       mm->vdso_xxh3 == hash((const void *)(uintptr_t)vdso->start, vdso->len);
}

int vdso_check(struct rebuild *r)
{
	struct vdso_layout ours;
	int ret = layout_of_pid(r->ctx, getpid(), &ours);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < r->cp->n_mms; i++)
		if (!provides(&ours, r->cp->mms[i]))
			return rebuild_refuse(r, "restore on the kernel that it was dumped on",
					      "this kernel's vdso is not the one that the programs "
					      "were using (dumped on Linux %s)",
					      r->cp->origin->kernel);
	return 0;
}

uint64_t vdso_spare(const struct vdso_layout *from, const struct vdso_layout *to)
{
	bool overlap = false;
	uint64_t len = 0;

	for (size_t i = 0; i < from->n; i++) {
		const struct vdso_piece *a = &from->piece[i];
		const struct vdso_piece *own = find_piece(to, a->name);

		len += a->len;
		for (size_t k = 0; k < to->n; k++) {
			const struct vdso_piece *b = &to->piece[k];

			if (b == own && b->start == a->start)
				continue;
			overlap |= a->start < b->start + b->len && b->start < a->start + a->len;
		}
	}
	return overlap ? len : 0;
}

static void add_mremap(struct call_table *t, uint64_t from, uint64_t to, uint64_t len)
{
	uint32_t i;

	if (from == to)
		return;
	i = call_add(t, "mremap (vdso)", SYS_mremap, CALL_IMM(from), CALL_IMM(len), CALL_IMM(len),
		     CALL_IMM(MREMAP_MAYMOVE | MREMAP_FIXED), CALL_IMM(to));
	call_expect_exact(t, i, (int64_t)to);
}

void vdso_move(const struct vdso_layout *from, const struct vdso_layout *to, uint64_t spare,
	       struct call_table *t)
{
	bool detour = vdso_spare(from, to) > 0;
	uint64_t at[VDSO_PIECES];

	for (size_t i = 0; i < from->n; i++) {
		const struct vdso_piece *piece = &from->piece[i];

		at[i] = piece->start;
		if (!find_piece(to, piece->name)) {
			call_add(t, "munmap (vdso)", SYS_munmap, CALL_IMM(piece->start),
				 CALL_IMM(piece->len));
		} else if (detour) {
			add_mremap(t, piece->start, spare, piece->len);
			at[i] = spare;
			spare += piece->len;
		}
	}
	for (size_t i = 0; i < from->n; i++) {
		const struct vdso_piece *wanted = find_piece(to, from->piece[i].name);

		if (wanted)
			add_mremap(t, at[i], wanted->start, wanted->len);
	}
}
