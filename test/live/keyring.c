/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyrings that would be lost with the task are refused. The default session keyring and coppice's
 * own are kept; which of them this machine's coppice has depends on who runs the test.
 */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
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

static int make_session(void)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0)
		return 0;
	(void)live_fail("keyctl(KEYCTL_JOIN_SESSION_KEYRING): %s", strerrordesc_np(errno));
	return errno == ENOSYS ? 77 : 1;
}

static long before;

static long session_keyring(void)
{
	return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
}

static int remember(void)
{
	before = session_keyring();
	return 0;
}

static int check_same(void)
{
	CHECK_EQ(session_keyring(), before);
	return 0;
}

/* The default one, whatever coppice has. */
static int make_default(void)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "_uid_ses.0") < 0)
		return make_session();
	return remember();
}

static int become_user(void)
{
	CHECK_EQ(setresgid(4242, 4242, 4242), 0);
	CHECK_EQ(setresuid(4242, 4242, 4242), 0);
	(void)syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_SESSION_KEYRING, 0);
	(void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "_uid_ses.4242");
	return remember();
}

static int make_user(void)
{
	return child_start(become_user, check_same, NULL);
}

/* ---- where requested keys go ------------------------------------------------------------------ */

static long requested(int place)
{
	return syscall(SYS_keyctl, KEYCTL_SET_REQKEY_KEYRING, place);
}

static int make_requested(void)
{
	if (requested(KEY_REQKEY_DEFL_USER_KEYRING) >= 0)
		return 0;
	(void)live_fail("keyctl(KEYCTL_SET_REQKEY_KEYRING): %s", strerrordesc_np(errno));
	return errno == ENOSYS ? 77 : 1;
}

static int check_requested(void)
{
	CHECK_EQ(requested(KEY_REQKEY_DEFL_NO_CHANGE), KEY_REQKEY_DEFL_USER_KEYRING);
	return 0;
}

/* An exec takes the thread keyring away, and leaves the order to put keys there. */
static int make_requested_own(void)
{
	int fds[2];
	char byte;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		(void)requested(KEY_REQKEY_DEFL_THREAD_KEYRING);
		(void)execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	(void)close(fds[1]);
	return pid < 0 || read(fds[0], &byte, 1) != 0 || close(fds[0]) < 0;
}

static const struct live_row rows[] = {
	{.name = "thread", .make = make_thread, .refused = "has a thread keyring"},
	{.name = "process", .make = make_process, .refused = "has a process keyring"},
	{.name = "session, as coppice's", .make = remember, .check = check_same},
	{.name = "session, the default", .make = make_default, .check = check_same},
	{.name = "session, a user's default", .make = make_user, .check = child_check},
	{.name = "session, its own",
	 .make = make_session,
	 .refused = "a session keyring of its own"},
	{.name = "another thread", .make = make_side, .refused = "has a thread keyring"},
	{.name = "requested keys", .make = make_requested, .check = check_requested},
	{.name = "requested keys, of its own",
	 .make = make_requested_own,
	 .refused = "has requested keys put into a keyring of its own"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
