/* SPDX-License-Identifier: Apache-2.0 */
/* Files of /proc and /sys. */
#include "live.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fd.h"
#include "side.h"
#include "util/macro.h"

static char before[4096], text[8192];

/* Does reading on give the same as the whole does from @offset on? */
static bool goes_on(int fd, const char *path, off_t offset)
{
	int whole = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = pread(whole, text, sizeof(text) - 1, offset), got = read(fd, before, 100);
	bool same = got > 0 && n >= got && memcmp(before, text, (size_t)got) == 0;

	(void)close(whole);
	return same;
}

/* ---- of nobody */

static int sysctl, list, attribute;

static int make_system(void)
{
	sysctl = open("/proc/sys/kernel/pid_max", O_RDWR);
	list = open("/proc/filesystems", O_RDONLY | O_CLOEXEC);
	attribute = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
	return sysctl < 0 || list < 0 || attribute < 0 || read(list, text, 50) != 50 ||
	       read(attribute, text, 3) != 3;
}

static int check_system(void)
{
	CHECK(goes_on(sysctl, "/proc/sys/kernel/pid_max", 0));
	CHECK(goes_on(list, "/proc/filesystems", 50));
	CHECK(goes_on(attribute, "/sys/kernel/mm/transparent_hugepage/enabled", 3));
	CHECK_EQ(fcntl(sysctl, F_GETFL) & O_ACCMODE, O_RDWR);
	return 0;
}

static int top, below;

static int make_directories(void)
{
	top = open("/proc", O_RDONLY | O_DIRECTORY);
	below = open("/sys/kernel", O_PATH);
	return top < 0 || below < 0;
}

static int check_directories(void)
{
	int fd = openat(below, "mm/transparent_hugepage/enabled", O_RDONLY);

	CHECK(fd >= 0 && close(fd) == 0);
	fd = openat(top, "self/status", O_RDONLY);
	CHECK(fd >= 0 && close(fd) == 0);
	return 0;
}

/* ---- of its own */

static int status, maps, own, numbers, memory, thread;
static volatile int value = 42;
static DIR *dir;

static int open_of_thread(void)
{
	return (thread = open("/proc/thread-self/comm", O_RDWR)) < 0;
}

static int make_own(void)
{
	status = open("/proc/self/status", O_RDONLY);
	maps = open("/proc/self/maps", O_RDONLY | O_NONBLOCK);
	own = open("/proc/self", O_RDONLY | O_DIRECTORY);
	memory = open("/proc/self/mem", O_RDWR);
	numbers = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
	dir = fdopendir(numbers);
	return status < 0 || maps < 0 || own < 0 || memory < 0 || !dir ||
	       read(status, text, 20) != 20 || side_run(open_of_thread) != 0;
}

static int check_own(void)
{
	int seen = 0, other = 43;
	struct dirent *entry;

	CHECK(goes_on(status, "/proc/self/status", 20));
	CHECK(goes_on(maps, "/proc/self/maps", 0));
	CHECK(pread(memory, &seen, sizeof(seen), (off_t)(uintptr_t)&value) == sizeof(seen));
	CHECK_EQ(seen, 42);
	CHECK(pwrite(memory, &other, sizeof(other), (off_t)(uintptr_t)&value) == sizeof(other));
	CHECK_EQ(value, 43);
	CHECK(faccessat(own, "fdinfo", F_OK, 0) == 0);
	CHECK(goes_on(thread, "/proc/self/comm", 0)); /* threads have the same name here */
	seen = 0;
	while ((entry = readdir(dir)))
		seen += atoi(entry->d_name) == memory;
	CHECK_EQ(seen, 1);
	return 0;
}

/* ---- of others */

static pid_t child;
static int of_child, dead, dead_dir;

static pid_t start(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)close_range(3, ~0u, 0);
		for (;;)
			(void)pause();
	}
	return pid;
}

static int open_of(pid_t pid, const char *name, int flags)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d%s", pid, name);
	return open(path, flags);
}

static int make_child(void)
{
	child = start();
	of_child = open_of(child, "/stat", O_RDONLY);
	return child < 0 || of_child < 0 || read(of_child, text, 3) != 3;
}

static int check_child(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", child);
	CHECK(goes_on(of_child, path, 3));
	return 0;
}

static int make_dead(void)
{
	pid_t pid = start();

	dead = open_of(pid, "/status", O_RDONLY);
	dead_dir = open_of(pid, "", O_RDONLY | O_DIRECTORY);
	return pid < 0 || dead < 0 || dead_dir < 0 || kill(pid, SIGKILL) < 0 ||
	       waitpid(pid, NULL, 0) != pid;
}

static int check_dead(void)
{
	CHECK_EQ(read(dead, text, 10), -1);
	CHECK_EQ(errno, ESRCH);
	CHECK_EQ(openat(dead_dir, "status", O_RDONLY), -1);
	return 0;
}

/* ---- refused */

static int make_outside(void)
{
	return open_of(1, "/status", O_RDONLY) < 0;
}

static bool has_executed(void)
{
	char path[64], target[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", child);
	n = readlink(path, target, sizeof(target));
	return n > 5 && memcmp(target + n - 5, "sleep", 5) == 0;
}

/* What it has open is of the memory that it had before. */
static int make_stale(void)
{
	child = fork();
	if (child == 0) {
		(void)close_range(3, ~0u, 0);
		(void)!open("/proc/self/maps", O_RDONLY);
		(void)execl("/bin/sleep", "sleep", "1000", (char *)NULL);
		_exit(1);
	}
	return child < 0 || live_await(has_executed) != 0;
}

static int make_symbols(void)
{
	return open("/proc/kallsyms", O_RDONLY) < 0;
}

static int make_keys(void)
{
	if (open("/proc/keys", O_RDONLY) >= 0)
		return 0;
	(void)live_fail("there is no /proc/keys");
	return 77;
}

static int make_mover(void)
{
	static const char *const paths[] = {
		"/sys/fs/cgroup/cgroup.procs",
		"/sys/fs/cgroup/unified/cgroup.procs",
		"/sys/fs/cgroup/memory/tasks",
	};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (open(paths[i], O_WRONLY) >= 0)
			return 0;
	(void)live_fail("no control groups are mounted below /sys/fs/cgroup");
	return 77;
}

static int make_maps(void)
{
	return open("/proc/self/uid_map", O_RDWR) < 0;
}

static int make_fdinfo(void)
{
	return open("/proc/self/fdinfo/0", O_RDONLY) < 0;
}

static int make_trigger(void)
{
	int fd = open("/proc/pressure/memory", O_RDWR);

	if (fd < 0) {
		(void)live_fail("/proc/pressure: %s", strerrordesc_np(errno));
		return 77;
	}
	return 0;
}

static const struct live_row rows[] = {
	{.name = "system", .make = make_system, .check = check_system},
	{.name = "directories", .make = make_directories, .check = check_directories},
	{.name = "own", .make = make_own, .check = check_own},
	{.name = "child", .make = make_child, .check = check_child},
	{.name = "dead", .make = make_dead, .check = check_dead},
	{.name = "outside", .make = make_outside, .refused = "is of a process outside the tree"},
	{.name = "stale", .make = make_stale, .refused = "before it executed another program"},
	{.name = "symbols", .make = make_symbols, .refused = "what the one may see who opened it"},
	{.name = "keys", .make = make_keys, .refused = "what the one may see who opened it"},
	{.name = "cgroup.procs", .make = make_mover, .refused = "what the one may who opened it"},
	{.name = "uid_map", .make = make_maps, .refused = "what the one may who opened it"},
	{.name = "fdinfo", .make = make_fdinfo, .refused = "not there before it is restored"},
	{.name = "trigger", .make = make_trigger, .refused = "may have a trigger"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
