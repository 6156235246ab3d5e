/* SPDX-License-Identifier: Apache-2.0 */
/* Names of capabilities, for messages. */
#pragma once

#include <stdint.h>

struct strbuf;

/* "CAP_CHOWN"; "capability" for one that this version does not know. */
const char *cap_name(unsigned int cap);

/* Adds the names of the capabilities in @set, separated by spaces. */
void caps_format(struct strbuf *sb, uint64_t set);
