/* SPDX-License-Identifier: Apache-2.0 */
/* Unused executable bytes in a borrowed task, for boot code. Private to the puppet layer. */
#pragma once

#include "puppet/puppet.h"

/* Finds at least ARCH_BOOT_MAX such bytes. -ENOENT: there are none. */
int place_find(struct context *ctx, struct puppet *p, puppet_addr *ret_at);
/* Are the bytes that were found earlier still unused? */
bool place_is_free(struct context *ctx, struct puppet *p, puppet_addr at);
