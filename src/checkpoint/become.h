/* SPDX-License-Identifier: Apache-2.0 */
/* The last step of each stub: it becomes the program's own task. */
#pragma once

#include "kind/rebuild.h"

/* Registers, extended state and signal mask of every task; the area is unmapped. All stay stopped. */
int become_all(struct rebuild *r);
