/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals; a whole shell job is test/e2e's, since it needs a shell's part to be played. */
#include "live.h"

#include <stdlib.h>

#include "fd.h"
#include "util/macro.h"

/* The slave's number is the lower one, so that it is what the error chain speaks of. */
static int make_other(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	int slave;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		return 1;
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	if (slave < 0 || dup2(master, 20) < 0 || dup2(slave, 3) < 0)
		return 1;
	return slave != 3 && close(slave) < 0;
}

static const struct live_row rows[] = {
	{.name = "no-shell-job",
	 .make = make_other,
	 .refused = "is a terminal, whose other side is outside"},
	{.name = "not-the-job's",
	 .make = make_other,
	 .dump_options = "--shell-job",
	 .refused = "is not the controlling terminal"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
