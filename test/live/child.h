/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows whose state would get in the way of the harness itself (other credentials, filters, roots)
 * have it in a child: it calls make(), says that it is ready, and when the parent's check calls
 * child_check() it calls check() and ends.
 */
#pragma once

#include <sys/types.h>

/* Starts the child; 0 when its make() returned 0. *@ret_pid may be NULL. */
int child_start(int (*make)(void), int (*check)(void), pid_t *ret_pid);

/* Has every child check itself; 0 or what live_fail returns. */
int child_check(void);
