/* SPDX-License-Identifier: Apache-2.0 */
/* Making a user namespace again. */
#pragma once

#include "image/checkpoint.pb-c.h"
#include "util/context.h"

/*
 * A user namespace below @parent, whose descriptor is @parent_fd (NULL and -EBADF: the coordinator's
 * own). It lives as long as *@ret_fd, owned by the caller, or somebody in it. 0, or -errno with a
 * chain.
 */
int user_ns_make(struct context *ctx, const Coppice__UserNs *msg, const Coppice__UserNs *parent,
		 int parent_fd, int *ret_fd);
