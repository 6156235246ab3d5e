/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for BPF maps. */
#include "image/validate-internal.h"

enum {
	BPF_KEY_MAX = 512,	 /* MAX_BPF_STACK: keys of hashes lie there */
	BPF_VALUE_MAX = 1 << 28, /* far above what KMALLOC_MAX_SIZE lets a map have */
	BPF_CPUS_MAX = 1 << 16,
};

static int check_bpf_content(const struct validation *v, const Coppice__BpfMapContent *c)
{
	uint64_t value_len = c->value_size;

	if (c->key_size == 0 || c->key_size > BPF_KEY_MAX)
		return invalid(v, "bpf_map.content.key_size: %u", c->key_size);
	if (c->value_size == 0 || c->value_size > BPF_VALUE_MAX)
		return invalid(v, "bpf_map.content.value_size: %u", c->value_size);
	if (c->cpus > BPF_CPUS_MAX)
		return invalid(v, "bpf_map.content.cpus: %u", c->cpus);
	if (c->cpus != 0)
		value_len = ALIGN_UP(value_len, UINT64_C(8)) * c->cpus;
	if (c->keys.len % c->key_size != 0 || c->values.len % value_len != 0 ||
	    c->keys.len / c->key_size != c->values.len / value_len)
		return invalid(
			v,
			"bpf_map.content.values: %zu bytes, and %zu of keys, are not as many "
			"of each",
			c->values.len, c->keys.len);
	return 0;
}

/* The first description of a map has its content, the others nothing. */
int validate_bpf_map(const struct validation *v, const Coppice__File *file)
{
	const Coppice__BpfMap *map = file->bpf_map;

	if (map->map == 0)
		return invalid(v, "bpf_map.map: missing");
	for (size_t i = 0; i < v->index; i++) {
		const Coppice__File *other = v->cp->files[i];

		if (other->kind_case != COPPICE__FILE__KIND_BPF_MAP ||
		    other->bpf_map->map != map->map)
			continue;
		return map->content ? invalid(v, "bpf_map.content: map %u has one", map->map) : 0;
	}
	return map->content ? check_bpf_content(v, map->content)
			    : invalid(v, "bpf_map.content: missing");
}
