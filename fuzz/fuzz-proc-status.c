/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the parser of /proc/PID/status. */

#include "fuzz.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_(arena_deinit) struct arena arena;
	struct proc_status status;

	arena_init(&arena, NULL);
	if (parse_status(text, &arena, &status) == 0 && status.ns_pid.n > PROC_NS_LEVELS)
		abort();
	return 0;
}
