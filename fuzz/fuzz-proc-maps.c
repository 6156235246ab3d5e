/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the parser of /proc/PID/maps and smaps. */

#include "fuzz.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_(arena_deinit) struct arena arena;
	struct proc_map *maps;
	size_t n;

	arena_init(&arena, NULL);
	if (parse_maps(text, &arena, &maps, &n) < 0)
		return 0;
	/* What users of the list rely on: ordered, disjoint, not empty, named. */
	for (size_t i = 0; i < n; i++)
		if (maps[i].start >= maps[i].end || (i > 0 && maps[i].start < maps[i - 1].end) ||
		    !maps[i].name || strlen(maps[i].name) > size)
			abort();
	return 0;
}
