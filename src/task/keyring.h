/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

struct context;

/* The session keyring that the coordinator itself has; 0: the default one of its user, or none. */
int keyring_own_session(struct context *ctx, int32_t *ret);
