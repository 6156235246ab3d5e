/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroup freezers above a tree that is being seized. Private to the puppet layer. */
#pragma once

#include "puppet/seize.h"

/*
 * Thaws the cgroups that keep tasks of the tree frozen; they are recorded. Refuses where that would
 * set processes outside the tree in motion, too.
 */
int freezer_thaw(struct seizure *s);
/* Freezes again what was thawed, and frees the list. */
void freezer_freeze_again(struct context *ctx, struct thawed **thawed, size_t *n_thawed);
