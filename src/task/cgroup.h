/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "kind/rebuild.h"

/*
 * Moves every stub into the control groups its process was in. To be called when all processes are
 * grown and before memory is filled: memory is charged to the group of the task that first touches
 * it, and stays there.
 */
int cgroup_join(struct rebuild *r);

/*
 * The file that moves a process into the group when its PID is written to it, from the arena; NULL
 * if no mount of ours shows that group. 0 or -errno with a chain.
 */
int cgroup_procs_path(struct rebuild *r, const Coppice__CgroupPlace *place, char **ret);
