/* SPDX-License-Identifier: Apache-2.0 */
/* The first stub up to its exec. Private to the puppet layer. */
#pragma once

#include "puppet/puppet.h"

/* Where in the image the interpreter's code starts. */
enum { SPAWN_CODE = 0x1000 };

/* Where the image is loaded: away from the area, in the first or second 4 GiB. */
puppet_addr spawn_base(const struct puppet_make *how);
/* Writes the image into a memfd; owned by the caller. */
int spawn_image(struct context *ctx, const struct puppet_make *how, int *ret_fd);
/*
 * Makes the child, traced, which waits for spawn_exec. @doorbell is the end of the socket that
 * it is to have. *@ret_control, owned by the caller, is how it is told to go on.
 */
int spawn_child(struct context *ctx, const struct puppet_make *how, int image, int doorbell,
		int *ret_control, pid_t *ret_pid);
/* Lets the child exec; it stops at the breakpoint the image starts with. */
int spawn_exec(struct context *ctx, struct puppet *p, int control);
/* Kills and reaps a child that no puppet stands for yet. */
void spawn_kill(pid_t pid);
