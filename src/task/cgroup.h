/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "kind/rebuild.h"

/*
 * Moves every stub into the control groups its process was in. To be called when all processes are
 * grown and before memory is filled: memory is charged to the group of the task that first touches
 * it, and stays there.
 */
int cgroup_join(struct rebuild *r);
