/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities: which there are, and their names for messages. */
#pragma once

#include <stdint.h>

struct strbuf;

/* All that this kernel has: what a task gets in a user namespace that it joins. */
uint64_t caps_of_kernel(void);

/* "CAP_CHOWN"; "capability" for one that this version does not know. */
const char *cap_name(unsigned int cap);

/* Adds the names of the capabilities in @set, separated by spaces. */
void caps_format(struct strbuf *sb, uint64_t set);
