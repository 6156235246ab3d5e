/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the parser of /proc/PID/timers. */

#include "fuzz.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_(arena_deinit) struct arena arena;
	struct proc_timer *timers;
	size_t n;

	arena_init(&arena, NULL);
	(void)parse_timers(text, &arena, &timers, &n);
	return 0;
}
