/* SPDX-License-Identifier: Apache-2.0 */
/* The mappings that the kernel gives every process. See memory-vdso.c. */
#pragma once

#include "kind/collect.h"
#include "kind/rebuild.h"

enum { VDSO_PIECES = 6, VDSO_NAME_MAX = 24 };

/* Where the pieces lie: [vvar], [vvar_vclock], [vdso]. */
struct vdso_layout {
	struct vdso_piece {
		char name[VDSO_NAME_MAX];
		uint64_t start;
		uint64_t len;
	} piece[VDSO_PIECES];
	size_t n;
};

/* Where [vdso] is, and a hash of what it holds; a changed one is refused. */
int vdso_collect(struct collect *c, struct collect_process *p, Coppice__Mm *mm);
/* Does this kernel provide the same? Uses rebuild_refuse. */
int vdso_check(struct rebuild *r);

void vdso_layout_of_mm(const Coppice__Mm *mm, struct vdso_layout *ret);
int vdso_layout_of_puppet(struct context *ctx, const struct puppet *p, struct vdso_layout *ret);

/*
 * Appends what brings a process's vdso mappings from where they are to where they are wanted;
 * pieces that are not wanted are unmapped. @spare: a free range for the case that places overlap.
 */
void vdso_move(const struct vdso_layout *from, const struct vdso_layout *to, uint64_t spare,
	       struct call_table *t);
/* Do places overlap, so that vdso_move needs a spare range, of how many bytes? 0: no. */
uint64_t vdso_spare(const struct vdso_layout *from, const struct vdso_layout *to);
