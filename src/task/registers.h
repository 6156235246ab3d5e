/* SPDX-License-Identifier: Apache-2.0 */
/* What the image's origin says of the processor's extended state. */
#pragma once

#include "kind/collect.h"

/* Fills Origin.xstate_*. */
int registers_describe(struct collect *c, Coppice__Origin *origin);
/*
 * Registers, extended state and signal mask of a task that is stopped with its own. verify calls it
 * when the stubs have become the program's tasks (collect.stubs: not before).
 */
int registers_collect(struct collect *c, struct collect_thread *th);
