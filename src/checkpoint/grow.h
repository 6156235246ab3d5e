/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing: executes a plan (tree/plan.h) with stubs. Afterwards every process and thread of the
 * tree exists, with its number, parent, session, group, terminal and shared tables; zombies are
 * dead with their status, stopped jobs are stopped, scaffolds are gone.
 */
#pragma once

#include <stdbool.h>

#include "kind/rebuild.h"

struct plan;
struct grown; /* what was made, until it is let go */

/*
 * Fills in rebuild_process.puppet and .inherits, and rebuild_thread.puppet. An ancestor whose pages
 * are shared copy-on-write has its memory filled (memory_fill_one) before it forks. The inodes that
 * are mapped must have been created; the first stub gets them, and the image's directory.
 * On failure all is killed and reaped; the chain names the step, why it is in the plan, the process
 * and the call.
 */
int grow(struct rebuild *r, const struct plan *plan, struct grown **ret_grown);

/*
 * After every task has become the program's own: they outlive the coordinator from here on, then
 * all run. The commit point: on failure nothing has run yet. @leave_stopped: all processes are
 * stopped by SIGSTOP.
 */
int grown_let_go(struct grown *g, bool leave_stopped);
/* Kills and reaps what was not let go. Takes NULL. */
void grown_free(struct grown *g);
