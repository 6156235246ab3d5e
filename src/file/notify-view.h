/* SPDX-License-Identifier: Apache-2.0 */
/* What fdinfo does not show of a group of inotify or fanotify (struct fsnotify_group). */
#pragma once

#include <stdint.h>

#include "kind/collect.h"

/*
 * The number of the next watch of the inotify @fd, a descriptor of ours; or the flags of the fanotify
 * @fd, those included that fanotify_init() was not given. 1: *@ret is set. 0: the kernel shows it to
 * few (kernel/view.h), and not to us.
 */
int notify_view_next(struct collect *c, int fd, uint64_t *ret);
int notify_view_flags(struct collect *c, int fd, uint64_t *ret);
