/* SPDX-License-Identifier: Apache-2.0 */
/* A controlling terminal that is not a shell's; test/e2e/shell-job has the one that is. */
#include "live.h"

#include <stdlib.h>
#include <sys/ioctl.h>

#include "child.h"
#include "fd.h"
#include "util/macro.h"

/* No descriptor of the terminal is left: the session alone has it. */
static int take_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	int slave;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		return 1;
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	return slave < 0 || ioctl(slave, TIOCSCTTY, 0) < 0 || close(slave) < 0;
}

static int take_in_new_session(void)
{
	return setsid() < 0 || take_terminal();
}

static int make_child(void)
{
	return child_start(take_in_new_session, NULL, NULL);
}

static const struct live_row rows[] = {
	{.name = "of the root",
	 .make = take_terminal,
	 .refused = "its controlling terminal is outside the tree"},
	{.name = "of a child",
	 .make = make_child,
	 .refused = "its controlling terminal is outside the tree"},
	{.name = "another than the job's",
	 .make = make_child,
	 .dump_options = "--shell-job",
	 .refused = "its controlling terminal is another one than that of the job"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
