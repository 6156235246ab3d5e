/* SPDX-License-Identifier: Apache-2.0 */
/* Keyrings that would be lost with the task are refused. */
#include "live.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "side.h"
#include "util/macro.h"

static int create(int keyring)
{
	if (syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, keyring, 1) >= 0)
		return 0;
	(void)live_fail("keyctl(KEYCTL_GET_KEYRING_ID): %s", strerrordesc_np(errno));
	return errno == ENOSYS ? 77 : 1;
}

static int make_thread(void)
{
	return create(KEY_SPEC_THREAD_KEYRING);
}

static int make_process(void)
{
	return create(KEY_SPEC_PROCESS_KEYRING);
}

static int make_side(void)
{
	return side_run(make_thread);
}

static const struct live_row rows[] = {
	{.name = "thread", .make = make_thread, .refused = "has a thread keyring"},
	{.name = "process", .make = make_process, .refused = "has a process keyring"},
	{.name = "another thread", .make = make_side, .refused = "has a thread keyring"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
