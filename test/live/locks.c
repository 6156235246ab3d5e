/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX, OFD and flock() locks, asked for by a process that holds none. */
#include "live.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fd.h"
#include "util/macro.h"

static int fd, fd2;

static int set_lock(int command, short type, off_t start, off_t len)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	return fcntl(fd, command, &lock);
}

/* Who, in a process of its own, is found to stand in the way; -1: nobody; 0: an OFD lock. */
static pid_t holder(short type, off_t start, off_t len)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	int status, fds[2];
	pid_t found = -2;
	pid_t child;

	if (pipe(fds) < 0)
		return -2;
	child = fork();
	if (child == 0) {
		if (fcntl(fd, F_GETLK, &lock) < 0)
			_exit(1);
		found = lock.l_type == F_UNLCK ? -1 : lock.l_pid == -1 ? 0 : lock.l_pid;
		_exit(write(fds[1], &found, sizeof(found)) != sizeof(found));
	}
	if (read(fds[0], &found, sizeof(found)) != sizeof(found))
		found = -2;
	(void)waitpid(child, &status, 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	return found;
}

static int open_file(void)
{
	fd = open("file", O_CREAT | O_RDWR, 0600);
	return fd < 0 || ftruncate(fd, 4096) < 0;
}

/* The file is mapped as well: closing any descriptor of it would drop the locks. */
static int make_posix(void)
{
	if (open_file())
		return 1;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
		return 1;
	fd2 = dup(fd);
	return set_lock(F_SETLK, F_WRLCK, 10, 5) < 0 || set_lock(F_SETLK, F_RDLCK, 100, 0) < 0;
}

static int check_posix(void)
{
	CHECK_EQ(holder(F_RDLCK, 14, 1), getpid());
	CHECK_EQ(holder(F_WRLCK, 15, 80), -1);
	CHECK_EQ(holder(F_RDLCK, 200, 1), -1);
	CHECK_EQ(holder(F_WRLCK, 1 << 30, 1), getpid());
	CHECK_EQ(close(fd2), 0); /* drops them all */
	CHECK_EQ(holder(F_WRLCK, 0, 0), -1);
	return 0;
}

static int make_ofd(void)
{
	if (open_file())
		return 1;
	return set_lock(F_OFD_SETLK, F_WRLCK, 0, 1) < 0;
}

static int check_ofd(void)
{
	CHECK_EQ(holder(F_RDLCK, 0, 1), 0);
	CHECK_EQ(holder(F_RDLCK, 1, 0), -1);
	return 0;
}

static pid_t child;

/* Shared with a child, which keeps the lock when we close ours. */
static int make_flock(void)
{
	if (open_file() || flock(fd, LOCK_EX) < 0)
		return 1;
	child = fork();
	if (child == 0)
		for (;;)
			(void)pause();
	return child < 0;
}

static int check_flock(void)
{
	fd2 = open("file", O_RDWR);
	CHECK_EQ(flock(fd2, LOCK_SH | LOCK_NB), -1);
	CHECK_EQ(errno, EWOULDBLOCK);
	CHECK_EQ(close(fd), 0);
	CHECK_EQ(flock(fd2, LOCK_SH | LOCK_NB), -1);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	CHECK_EQ(flock(fd2, LOCK_EX | LOCK_NB), 0);
	return 0;
}

/* A child that waits for a lock of ours gets it when we let go. */
static int make_waiting(void)
{
	if (open_file() || set_lock(F_SETLK, F_WRLCK, 0, 0) < 0)
		return 1;
	child = fork();
	if (child == 0)
		_exit(set_lock(F_SETLKW, F_WRLCK, 0, 0) == 0 ? 5 : 6);
	return child < 0;
}

static int check_waiting(void)
{
	int status;

	CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
	CHECK_EQ(set_lock(F_SETLK, F_UNLCK, 0, 0), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(WEXITSTATUS(status), 5);
	return 0;
}

static int child_ends(void)
{
	int status;

	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 5);
	return 0;
}

static bool child_sleeps(void)
{
	char path[32], state = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", child);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		return false;
	(void)fclose(f);
	return state == 'S';
}

/* The same for flock(), by another description. */
static int make_flock_waiting(void)
{
	if (open_file() || flock(fd, LOCK_SH) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		fd2 = open("file", O_RDWR);
		_exit(flock(fd2, LOCK_EX) == 0 ? 5 : 6);
	}
	return child < 0 || live_await(child_sleeps);
}

static int check_flock_waiting(void)
{
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	fd2 = open("file", O_RDWR);
	CHECK_EQ(flock(fd2, LOCK_SH | LOCK_NB), 0); /* the child has nothing yet */
	CHECK_EQ(close(fd2), 0);
	CHECK_EQ(flock(fd, LOCK_UN), 0);
	return child_ends();
}

/* And for a range of an OFD lock. */
static int make_ofd_waiting(void)
{
	if (open_file() || set_lock(F_OFD_SETLK, F_WRLCK, 100, 10) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		fd = open("file", O_RDWR);
		_exit(set_lock(F_OFD_SETLKW, F_RDLCK, 105, 0) == 0 ? 5 : 6);
	}
	return child < 0 || live_await(child_sleeps);
}

static int check_ofd_waiting(void)
{
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK_EQ(set_lock(F_OFD_SETLK, F_UNLCK, 100, 10), 0);
	return child_ends();
}

static char *map;

/* The description lives on in the mapping. */
static int map_and_close(void)
{
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	return map == MAP_FAILED || close(fd) < 0;
}

static int make_flock_mapped(void)
{
	return open_file() || flock(fd, LOCK_EX) < 0 || map_and_close();
}

static int check_flock_mapped(void)
{
	fd = open("file", O_RDWR);
	CHECK_EQ(flock(fd, LOCK_SH | LOCK_NB), -1);
	CHECK_EQ(errno, EWOULDBLOCK);
	CHECK_EQ(munmap(map, 4096), 0);
	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	return 0;
}

static int make_ofd_mapped(void)
{
	return open_file() || set_lock(F_OFD_SETLK, F_RDLCK, 5, 1) < 0 || map_and_close();
}

static int check_ofd_mapped(void)
{
	fd = open("file", O_RDWR);
	CHECK_EQ(set_lock(F_OFD_SETLK, F_RDLCK, 0, 0), 0);
	CHECK_EQ(set_lock(F_OFD_SETLK, F_WRLCK, 5, 1), -1);
	CHECK_EQ(set_lock(F_OFD_SETLK, F_WRLCK, 6, 10), 0);
	CHECK_EQ(munmap(map, 4096), 0);
	CHECK_EQ(set_lock(F_OFD_SETLK, F_WRLCK, 5, 1), 0);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "posix", .make = make_posix, .check = check_posix},
	{.name = "ofd", .make = make_ofd, .check = check_ofd},
	{.name = "flock", .make = make_flock, .check = check_flock},
	{.name = "waiting", .make = make_waiting, .check = check_waiting},
	{.name = "flock-mapped", .make = make_flock_mapped, .check = check_flock_mapped},
	{.name = "ofd-mapped", .make = make_ofd_mapped, .check = check_ofd_mapped},
	{.name = "flock-waiting", .make = make_flock_waiting, .check = check_flock_waiting},
	{.name = "ofd-waiting", .make = make_ofd_waiting, .check = check_ofd_waiting},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
