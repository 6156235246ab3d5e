/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the parsers of /proc/PID/cgroup and of lists of CPUs. */
#include "fuzz.h"
#include "task/surroundings.h"
#include "util/arena.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_(arena_deinit) struct arena arena;
	struct cgroup_place *places;
	uint8_t mask[16];
	size_t n;

	arena_init(&arena, NULL);
	(void)parse_cpu_list(text, mask, sizeof(mask));
	if (parse_cgroups(text, &arena, &places, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (places[i].path[0] != '/')
			abort();
	return 0;
}
