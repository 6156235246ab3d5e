/* SPDX-License-Identifier: Apache-2.0 */
/* The code that puppets run (stub/), as bytes; enum interp_entry says where its pieces start. */
#pragma once

#include <stddef.h>

extern const unsigned char stub_blob[];
extern const size_t stub_blob_len;
