/* SPDX-License-Identifier: Apache-2.0 */
/* Dressing: the task registry's restore phases, run over all processes of a rebuild. */
#pragma once

#include "kind/rebuild.h"

/* All processes: install; then all: last (kind/task.h says what is in them and in which order). */
int dress_install(struct rebuild *r);
int dress_last(struct rebuild *r);
/*
 * The last table that each process runs: what must not start earlier, then every descriptor of
 * ours is closed. Nothing can be asked of the stubs through files after it.
 */
int dress_resume(struct rebuild *r);
