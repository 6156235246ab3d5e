/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the parser of /proc/PID/fdinfo/N. */

#include "fuzz.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_(arena_deinit) struct arena arena;
	struct proc_fdinfo info;

	arena_init(&arena, NULL);
	if (parse_fdinfo(text, &arena, &info) == 0 && strlen(info.rest) > size)
		abort();
	return 0;
}
