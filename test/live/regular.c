/* SPDX-License-Identifier: Apache-2.0 */
/* Regular files, directories, O_PATH, deleted files. */
#include "live.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "fd.h"
#include "util/macro.h"

static int fd, fd2, fd3, flags;
static off_t offset;
static struct stat before;

static int make_file(const char *name, size_t len)
{
	int f = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0640);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = pattern(i);

		if (write(f, &c, 1) != 1)
			return -1;
	}
	return f;
}

static int make_flags(void)
{
	(void)close(make_file("file", 500));
	fd = open("file", O_WRONLY | O_SYNC | O_NOFOLLOW | O_NOATIME);
	(void)fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_NOATIME);
	flags = fcntl(fd, F_GETFL);
	offset = lseek(fd, 123, SEEK_SET);
	return fd < 0;
}

static int check_flags(void)
{
	CHECK_EQ(fcntl(fd, F_GETFL), flags);
	CHECK_EQ(fcntl(fd, F_GETFD), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), offset);
	CHECK_EQ(write(fd, "end", 3), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 503);
	return 0;
}

static pid_t child;

/* One description by three numbers in two processes; another description of the same file. */
static int make_shared(void)
{
	fd = make_file("file", 500);
	fd2 = fcntl(fd, F_DUPFD_CLOEXEC, 700);
	fd3 = open("file", O_RDONLY);
	(void)lseek(fd, 10, SEEK_SET);
	(void)lseek(fd3, 20, SEEK_SET);
	child = fork();
	if (child == 0)
		for (;;)
			(void)pause();
	return child < 0;
}

static int check_shared(void)
{
	pid_t me = getpid();

	CHECK(same_description(me, fd, me, fd2));
	CHECK(same_description(me, fd, child, fd));
	CHECK(same_description(me, fd, child, fd2));
	CHECK(same_description(me, fd3, child, fd3));
	CHECK(!same_description(me, fd, me, fd3));
	CHECK_EQ(lseek(fd2, 5, SEEK_CUR), 15);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 15);
	CHECK_EQ(lseek(fd3, 0, SEEK_CUR), 20);
	CHECK_EQ(fcntl(fd2, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	return 0;
}

static DIR *dir;
static char next_name[256];

static int make_directory(void)
{
	struct dirent *entry;
	long place;

	if (mkdir("dir", 0755) < 0)
		return 1;
	for (int i = 0; i < 20; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "dir/%d", i);
		(void)close(open(name, O_CREAT | O_RDWR, 0600));
	}
	fd = open("dir", O_RDONLY | O_DIRECTORY);
	dir = fdopendir(fd);
	for (int i = 0; i < 7; i++)
		(void)readdir(dir);
	place = telldir(dir);
	entry = readdir(dir);
	(void)snprintf(next_name, sizeof(next_name), "%s", entry ? entry->d_name : "");
	seekdir(dir, place);
	return next_name[0] == '\0';
}

static int check_directory(void)
{
	struct dirent *entry = readdir(dir);

	CHECK(entry && strcmp(entry->d_name, next_name) == 0);
	CHECK_EQ(faccessat(fd, "3", F_OK, 0), 0);
	return 0;
}

static int make_path(void)
{
	(void)close(make_file("file", 10));
	if (symlink("nowhere", "link") < 0)
		return 1;
	fd = open("file", O_PATH);
	fd2 = open("link", O_PATH | O_NOFOLLOW);
	fd3 = open(".", O_PATH | O_DIRECTORY);
	flags = fcntl(fd2, F_GETFL);
	return fd3 < 0;
}

static int check_path(void)
{
	char text[16] = "";
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 10);
	CHECK_EQ(read(fd, text, 1), -1);
	CHECK_EQ(errno, EBADF);
	CHECK_EQ(readlinkat(fd2, "", text, sizeof(text)), 7);
	CHECK_EQ(fcntl(fd2, F_GETFL), flags);
	CHECK_EQ(fstatat(fd3, "file", &st, 0), 0);
	return 0;
}

enum { DELETED_LEN = 300000, HOLE = 64 * 1024 * 1024 };

/* Content, a hole, content; two descriptions; attributes. */
static int make_deleted(void)
{
	const struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 5}, {.tv_sec = 2000}};

	fd = make_file("file", DELETED_LEN);
	fd2 = open("file", O_RDONLY | O_NOFOLLOW);
	fd3 = open("file", O_WRONLY | O_APPEND);
	if (pwrite(fd, "tail", 4, HOLE) != 4 || fchown(fd, 12, 34) < 0 || fchmod(fd, 04751) < 0)
		return 1;
	if (fsetxattr(fd, "user.test", "value", 5, 0) < 0 && errno != ENOTSUP)
		return 1;
	(void)lseek(fd2, 1000, SEEK_SET);
	(void)unlink("file");
	(void)futimens(fd, times);
	(void)fstat(fd, &before);
	return 0;
}

static int check_deleted_content(void)
{
	unsigned char *buf = malloc(DELETED_LEN);
	char tail[5] = "";

	CHECK_EQ(pread(fd, buf, DELETED_LEN, 0), DELETED_LEN);
	for (size_t i = 0; i < DELETED_LEN; i++)
		CHECK_EQ(buf[i], pattern(i));
	CHECK_EQ(pread(fd, tail, 4, HOLE), 4);
	CHECK(strcmp(tail, "tail") == 0);
	CHECK_EQ(lseek(fd, DELETED_LEN + 8192, SEEK_DATA), HOLE);
	free(buf);
	return 0;
}

static int check_deleted(void)
{
	unsigned char c = 0;
	char value[8];
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_size, before.st_size);
	CHECK_EQ(st.st_mode, before.st_mode);
	CHECK_EQ(st.st_uid, 12);
	CHECK_EQ(st.st_gid, 34);
	CHECK_EQ(st.st_dev, before.st_dev);
	CHECK_EQ(st.st_mtim.tv_sec, before.st_mtim.tv_sec);
	CHECK_EQ(st.st_atim.tv_nsec, before.st_atim.tv_nsec);
	CHECK_EQ(read(fd2, &c, 1), 1);
	CHECK_EQ(c, pattern(1000));
	CHECK(fgetxattr(fd, "user.test", value, sizeof(value)) == 5 || errno == ENOTSUP);
	CHECK_EQ(access("file", F_OK), -1);
	CHECK(check_deleted_content() == 0);
	CHECK_EQ(write(fd3, "!", 1), 1);
	CHECK_EQ(pread(fd, &c, 1, HOLE + 4), 1);
	CHECK_EQ(c, '!');
	return 0;
}

static int make_tmpfile(void)
{
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0)
		return 77;
	flags = fcntl(fd, F_GETFL);
	return write(fd, "content", 7) != 7;
}

static int check_tmpfile(void)
{
	char buf[8] = "";

	CHECK_EQ(fcntl(fd, F_GETFL), flags);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
	CHECK_EQ(pread(fd, buf, 7, 0), 7);
	CHECK(strcmp(buf, "content") == 0);
	return 0;
}

enum { MANY = 900 };

static int make_many(void)
{
	(void)close(make_file("file", MANY));
	for (int i = 0; i < MANY; i++) {
		int f = open("file", O_RDONLY);

		if (f < 0 || lseek(f, i, SEEK_SET) != i ||
		    dup3(f, 101 + i, i % 2 ? O_CLOEXEC : 0) < 0)
			return 1;
		(void)close(f);
	}
	return 0;
}

static int check_many(void)
{
	for (int i = 0; i < MANY; i++) {
		CHECK_EQ(lseek(101 + i, 0, SEEK_CUR), i);
		CHECK_EQ(fcntl(101 + i, F_GETFD), i % 2 ? FD_CLOEXEC : 0);
	}
	return 0;
}

static int make_owner(void)
{
	const struct f_owner_ex owner = {.type = F_OWNER_PGRP, .pid = getpgrp()};

	fd = make_file("file", 1);
	if (fcntl(fd, F_SETOWN_EX, &owner) < 0 || fcntl(fd, F_SETSIG, SIGRTMIN + 3) < 0)
		return 1;
	return 0;
}

static int check_owner(void)
{
	struct f_owner_ex owner = {};

	CHECK_EQ(fcntl(fd, F_GETOWN_EX, &owner), 0);
	CHECK_EQ(owner.type, F_OWNER_PGRP);
	CHECK_EQ(owner.pid, getpgrp());
	CHECK_EQ(fcntl(fd, F_GETSIG), SIGRTMIN + 3);
	return 0;
}

static int set_owner(int type, pid_t pid)
{
	const struct f_owner_ex owner = {.type = type, .pid = pid};

	return fcntl(fd, F_SETOWN_EX, &owner);
}

static int check_owner_is(int type, pid_t pid)
{
	struct f_owner_ex owner = {};

	CHECK_EQ(fcntl(fd, F_GETOWN_EX, &owner), 0);
	CHECK_EQ(owner.type, type);
	CHECK_EQ(owner.pid, pid);
	return 0;
}

static int make_owner_thread(void)
{
	fd = make_file("file", 1);
	return set_owner(F_OWNER_TID, gettid()) < 0 || fcntl(fd, F_SETFL, O_ASYNC) < 0;
}

static int check_owner_thread(void)
{
	return check_owner_is(F_OWNER_TID, gettid());
}

static int make_owner_child(void)
{
	fd = make_file("file", 1);
	child = fork();
	if (child == 0)
		for (;;)
			(void)pause();
	return child < 0 || set_owner(F_OWNER_PID, child) < 0 || fcntl(fd, F_SETSIG, SIGUSR2) < 0;
}

static int check_owner_child(void)
{
	CHECK(check_owner_is(F_OWNER_PID, child) == 0);
	CHECK_EQ(fcntl(fd, F_GETSIG), SIGUSR2);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	return 0;
}

/* Nobody any more: the number may be somebody else's by then. */
static int make_owner_gone(void)
{
	if (make_owner_child())
		return 1;
	return kill(child, SIGKILL) < 0 || waitpid(child, NULL, 0) != child;
}

static int check_owner_gone(void)
{
	CHECK_EQ(fcntl(fd, F_GETOWN), 0);
	CHECK_EQ(fcntl(fd, F_GETSIG), SIGUSR2);
	return 0;
}

static int make_owner_outside(void)
{
	fd = make_file("file", 1);
	return set_owner(F_OWNER_PID, getppid()) < 0;
}

static int make_direct(void)
{
	fd = open("file", O_CREAT | O_RDWR | O_DIRECT | O_DSYNC, 0600);
	if (fd < 0)
		return live_fail("no O_DIRECT here"), 77;
	fd2 = open("/dev/null", O_PATH);
	flags = fcntl(fd, F_GETFL);
	return mkfifo("fifo", 0600) < 0 || (fd3 = open("fifo", O_PATH)) < 0;
}

static int check_direct(void)
{
	struct stat st;

	CHECK_EQ(fcntl(fd, F_GETFL), flags);
	CHECK(flags & O_DIRECT);
	CHECK_EQ(fstat(fd2, &st), 0);
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(fstat(fd3, &st), 0);
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_EQ(fcntl(fd2, F_GETFL), O_PATH);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "flags", .make = make_flags, .check = check_flags},
	{.name = "shared", .make = make_shared, .check = check_shared},
	{.name = "directory", .make = make_directory, .check = check_directory},
	{.name = "path", .make = make_path, .check = check_path},
	{.name = "deleted", .make = make_deleted, .check = check_deleted},
	{.name = "tmpfile", .make = make_tmpfile, .check = check_tmpfile},
	{.name = "many", .make = make_many, .check = check_many},
	{.name = "owner", .make = make_owner, .check = check_owner},
	{.name = "owner-thread", .make = make_owner_thread, .check = check_owner_thread},
	{.name = "owner-child", .make = make_owner_child, .check = check_owner_child},
	{.name = "owner-gone", .make = make_owner_gone, .check = check_owner_gone},
	{.name = "owner-outside",
	 .make = make_owner_outside,
	 .refused = "its owner for signals, 1, is outside the tree"},
	{.name = "direct", .make = make_direct, .check = check_direct},
	{.name = "content-checked",
	 .make = make_flags,
	 .check = check_flags,
	 .dump_options = "--check-content",
	 .restore_options = "--check-content"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
