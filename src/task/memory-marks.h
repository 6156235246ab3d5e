/* SPDX-License-Identifier: Apache-2.0 */
/* The marks of an address space: brk, arguments, auxv, executable. See memory-marks.c. */
#pragma once

#include "kind/rebuild.h"

/* Sets all of them; the executable too, unless @has_exe or it cannot be had yet. */
void marks_restore(const struct rebuild *r, const Coppice__Mm *mm, bool has_exe,
		   struct call_table *t);
