/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of security modules, where one is active. */
#include "live.h"

#include <fcntl.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

static const char path[] = "/proc/self/attr/current";
static char before[4096];

static int make(void)
{
	_cleanup_free_ char *text = NULL;

	if (io_read_file(AT_FDCWD, path, &text, NULL) < 0 || text[0] == '\0') {
		(void)live_fail("no security module labels tasks");
		return 77;
	}
	CHECK(strlen(text) < sizeof(before));
	(void)strcpy(before, text);
	return 0;
}

static int check(void)
{
	_cleanup_free_ char *text = NULL;

	CHECK_EQ(io_read_file(AT_FDCWD, path, &text, NULL), 0);
	return strcmp(text, before) == 0 ? 0 : live_fail("was %s, is %s", before, text);
}

static const struct live_row rows[] = {
	{.name = "as coppice's", .make = make, .check = check},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
