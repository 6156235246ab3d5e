/* SPDX-License-Identifier: Apache-2.0 */
/* What tests do with a program: seize it, have it run many tables, and let it go. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Called while the tree is held, halfway; may be NULL. */
typedef void (*hold_hook)(void *data);

/* 0, or -1 with the error chain on stderr. */
int hold(pid_t root, int tables, hold_hook hook, void *data);
