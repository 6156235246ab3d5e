/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "kind/collect.h"

/*
 * Brings together what was collected of a tree and has gone on changing since, although all its
 * tasks are held; see settle.c. To be called last, before the checkpoint is written. May refuse.
 */
int settle_tree(struct collect *c);
