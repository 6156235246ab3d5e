/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the parser of /proc/PID/limits. */
#include <sys/resource.h>

#include "fuzz.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_(arena_deinit) struct arena arena;
	struct proc_limit limits[RLIM_NLIMITS];

	arena_init(&arena, NULL);
	(void)parse_limits(text, limits, RLIM_NLIMITS);
	return 0;
}
