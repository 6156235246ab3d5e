/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the parser of /proc/PID/mountinfo. */
#include "fuzz.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_(arena_deinit) struct arena arena;
	struct proc_mount *mounts;
	size_t n;

	arena_init(&arena, NULL);
	if (parse_mounts(text, &arena, &mounts, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (strlen(mounts[i].point) > size || strlen(mounts[i].source) > size)
			abort();
	return 0;
}
