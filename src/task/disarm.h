/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disarming: what the death of the dumped tasks would do to memory that others share is undone
 * before they are killed. See disarm.c.
 */
#pragma once

#include "kind/collect.h"

/*
 * To be called when the image is complete and the tree is about to be killed, its tasks still
 * held. Once this has begun the tree must not be let run again: the kernel would no longer wake a
 * pthread_join or recover a robust mutex.
 */
int disarm_tree(struct collect *c);
