/* SPDX-License-Identifier: Apache-2.0 */
/* The multicast groups that a socket is a member of. */
#pragma once

#include "kind/collect.h"
#include "kind/rebuild.h"

int inet_groups_collect(struct collect *c, int fd, Coppice__InetGroup ***ret_groups, size_t *ret_n);
int inet_groups_set(struct rebuild *r, int fd, Coppice__InetGroup *const *groups, size_t n);
