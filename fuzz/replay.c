/* SPDX-License-Identifier: Apache-2.0 */
/* replay FILE...: runs a fuzz target over the files of its corpus. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "util/cleanup.h"
#include "util/io.h"

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		_cleanup_free_ char *text = NULL;
		size_t len;
		int r;

		r = io_read_file(AT_FDCWD, argv[i], &text, &len);
		if (r < 0) {
			(void)fprintf(stderr, "%s: %s\n", argv[i], strerrordesc_np(-r));
			return 1;
		}
		(void)LLVMFuzzerTestOneInput((const uint8_t *)text, len);
	}
	(void)printf("%d inputs\n", argc - 1);
	return argc > 1 ? 0 : 1;
}
