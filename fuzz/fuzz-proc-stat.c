/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the parser of /proc/PID/stat. */

#include "fuzz.h"
#include "kernel/proc.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size);
	_cleanup_(arena_deinit) struct arena arena;
	struct proc_stat stat;

	arena_init(&arena, NULL);
	if (parse_stat(text, &stat) == 0 && memchr(stat.comm, 0, sizeof(stat.comm)) == NULL)
		abort();
	return 0;
}
