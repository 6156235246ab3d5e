/* SPDX-License-Identifier: Apache-2.0 */
/* What is queued in a unix socket and not received yet: looked at without being consumed. */
#pragma once

#include "kind/collect.h"
#include "kind/file.h"

/*
 * Fills @msg->queue (msg->type is set). Descriptors in flight become descriptions of the tree. What
 * cannot be read or sent again is refused.
 */
int unix_queue_collect(struct collect *c, const struct file_probe *probe, Coppice__UnixSocket *msg);

/* The PID of credentials as the image has it: the tree root's number for a process of the tree. */
int32_t unix_pid_in_tree(const struct collect *c, pid_t pid);
