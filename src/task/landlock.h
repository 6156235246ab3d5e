/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct context;
struct landlock_probe;

/* How many layers the Landlock domain has that the coordinator itself is in; 0: it is in none. */
int landlock_own_layers(struct context *ctx, unsigned int *ret);

/* Ends the processes that the probing of tasks has started. NULL is fine. */
void landlock_probe_free(struct landlock_probe *probe);
