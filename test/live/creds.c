/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials: each row is a child that takes some, and finds them again. */
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
#include "live.h"
#include "util/macro.h"

enum { STATUS_MAX = 8192, LINES_MAX = 2048 };

static char before[LINES_MAX];
static int securebits;

/* The lines of the calling thread's status that tell of credentials. */
static int read_lines(char *lines)
{
	static const char *const names[] = {
		"Uid:",	   "Gid:",    "Groups:", "CapInh:",    "CapPrm:",
		"CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:"};
	char text[STATUS_MAX];
	int fd = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	(void)close(fd);
	if (n <= 0)
		return 1;
	text[n] = '\0';
	lines[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *line = strstr(text, names[i]);

		if (line)
			(void)strncat(lines, line, strcspn(line, "\n"));
	}
	return 0;
}

static int remember(void)
{
	securebits = prctl(PR_GET_SECUREBITS);
	return read_lines(before);
}

static int check_same(void)
{
	char now[LINES_MAX];

	CHECK_EQ(read_lines(now), 0);
	CHECK(!strcmp(before, now));
	CHECK_EQ(prctl(PR_GET_SECUREBITS), securebits);
	return 0;
}

static int set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
		{(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
		 (uint32_t)(inheritable >> 32)},
	};

	return (int)syscall(SYS_capset, &header, data);
}

#define BIT(cap) (UINT64_C(1) << (cap))

static int take_user(void)
{
	const gid_t groups[] = {5, 1000, 70000};

	if (setgroups(ARRAY_SIZE(groups), groups) || setresgid(1000, 1001, 1002) ||
	    setresuid(1000, 1001, 1002))
		return 1;
	return remember();
}

static int take_root_fsuid(void)
{
	if (setgroups(0, NULL))
		return 1;
	(void)setfsgid(1234);
	(void)setfsuid(1235);
	return remember();
}

static int take_ambient(void)
{
	uint64_t caps = BIT(CAP_NET_RAW) | BIT(CAP_CHOWN);

	if (prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS) || setresuid(1000, 1000, 1000) ||
	    set_caps(caps, caps | BIT(CAP_SETPCAP), caps) ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0))
		return 1;
	return remember();
}

/* Inheritable beyond the bounding set: dropped afterwards. */
static int take_inheritable(void)
{
	uint64_t all = BIT(CAP_CHOWN) | BIT(CAP_SETPCAP) | BIT(CAP_KILL);

	if (set_caps(all, all, BIT(CAP_CHOWN) | BIT(CAP_KILL)) ||
	    prctl(PR_CAPBSET_DROP, CAP_CHOWN) || prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN))
		return 1;
	return remember();
}

static int take_securebits(void)
{
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
					     SECBIT_NO_CAP_AMBIENT_RAISE |
					     SECBIT_NO_SETUID_FIXUP_LOCKED))
		return 1;
	return remember();
}

static int take_no_new_privs(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || set_caps(0, 0, 0))
		return 1;
	return remember();
}

#define ROW(name)                                                                                  \
	static int make_##name(void)                                                               \
	{                                                                                          \
		return child_start(take_##name, check_same, NULL);                                 \
	}

ROW(user)
ROW(root_fsuid)
ROW(ambient)
ROW(inheritable)
ROW(securebits)
ROW(no_new_privs)

/* ---- a thread with credentials of its own -------------------------------------------------- */

static pthread_barrier_t taken, asked;
static int thread_result;

static void *be_thread(void *unused)
{
	(void)unused;
	/* The system calls themselves: glibc's functions change all threads. */
	thread_result =
		syscall(SYS_setresgid, 7, 8, 9) || syscall(SYS_setresuid, 4, 5, 6) || remember();
	(void)pthread_barrier_wait(&taken);
	(void)pthread_barrier_wait(&asked);
	thread_result = thread_result || check_same();
	return NULL;
}

static pthread_t thread;

static int make_thread(void)
{
	(void)pthread_barrier_init(&taken, NULL, 2);
	(void)pthread_barrier_init(&asked, NULL, 2);
	if (pthread_create(&thread, NULL, be_thread, NULL))
		return 1;
	(void)pthread_barrier_wait(&taken);
	return thread_result;
}

static int check_thread(void)
{
	(void)pthread_barrier_wait(&asked);
	(void)pthread_join(thread, NULL);
	CHECK_EQ(geteuid(), 0);
	return thread_result;
}

static const struct live_row rows[] = {
	{.name = "user", .make = make_user, .check = child_check},
	{.name = "fs-ids", .make = make_root_fsuid, .check = child_check},
	{.name = "ambient", .make = make_ambient, .check = child_check},
	{.name = "inheritable", .make = make_inheritable, .check = child_check},
	{.name = "securebits", .make = make_securebits, .check = child_check},
	{.name = "no-new-privs", .make = make_no_new_privs, .check = child_check},
	{.name = "thread", .make = make_thread, .check = check_thread},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
