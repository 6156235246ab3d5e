/* SPDX-License-Identifier: Apache-2.0 */
/* Processes, threads and groups that files refer to: their numbers in an image, and here. */
#pragma once

#include <fcntl.h>

#include "kind/collect.h"
#include "kind/rebuild.h"

/*
 * @type: F_OWNER_PID, F_OWNER_TID or F_OWNER_PGRP. The number, in the tree root's PID namespace, of
 * what the coordinator knows as @pid; 0: it is outside the tree.
 */
pid_t number_in_tree(const struct collect *c, int type, pid_t pid);
/* And back: the coordinator's number for one that the image has; 0: there is none. */
pid_t number_here(const struct rebuild *r, int type, pid_t number);
