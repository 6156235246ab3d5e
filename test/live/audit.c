/* SPDX-License-Identifier: Apache-2.0 */
/* The login that the audit log names. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "live.h"
#include "side.h"
#include "util/cleanup.h"
#include "util/io.h"
#include "util/macro.h"

static const char path[] = "/proc/thread-self/loginuid";
static const char login[] = "1234";

static int take(void)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, login, strlen(login)) < 0;
}

static int check(void)
{
	_cleanup_free_ char *text = NULL;

	CHECK_EQ(io_read_file(AT_FDCWD, path, &text, NULL), 0);
	CHECK_EQ(strcmp(text, login), 0);
	return 0;
}

static int permitted(int r)
{
	if (r == 0)
		return 0;
	(void)live_fail("the kernel has no audit, or may not be told the login");
	return 77;
}

static int make(void)
{
	return permitted(child_start(take, check, NULL));
}

/* The rest of the process keeps what it has. */
static int make_side(void)
{
	return permitted(side_run(take));
}

static int check_side(void)
{
	_cleanup_free_ char *text = NULL;

	CHECK_EQ(io_read_file(AT_FDCWD, path, &text, NULL), 0);
	CHECK(strcmp(text, login) != 0);
	return side_run(check);
}

static const struct live_row rows[] = {
	{"of a process", make, child_check},
	{"of one thread", make_side, check_side},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
