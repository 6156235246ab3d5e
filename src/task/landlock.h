/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct context;

/* For kernels with Landlock. How many layers the Landlock domain has that the coordinator itself is in; 0: it is in none. */
int landlock_own_layers(struct context *ctx, unsigned int *ret);
