/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a BPF map: its entries, as bpf(2) gives and takes them. */
#pragma once

#include <stdint.h>

#include "image/checkpoint.pb-c.h"

struct arena;
struct context;

/* Bytes that bpf(2) hands over for one value: of a map per CPU, one for each possible CPU. */
uint64_t bpf_map_value_len(const Coppice__BpfMapContent *content);

/* Fills keys and values; the other fields stand. @fd may read. */
int bpf_map_content_take(struct context *ctx, struct arena *arena, int fd,
			 Coppice__BpfMapContent *content);
/* Puts them into the new map behind @fd. */
int bpf_map_content_put(struct context *ctx, const Coppice__BpfMapContent *content, int fd);
