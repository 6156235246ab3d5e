/* SPDX-License-Identifier: Apache-2.0 */
/* Open files and their names: several, some of them removed or taken by others, none, hidden. */
#include "live.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "fd.h"
#include "util/macro.h"

static int fd, fd2, fd3;
static struct stat before;

static int make_file(const char *name, const char *content)
{
	int f = open(name, O_CREAT | O_EXCL | O_RDWR, 0640);
	ssize_t len = (ssize_t)strlen(content);

	return f >= 0 && write(f, content, (size_t)len) == len ? f : -1;
}

/* Does the file behind @f begin with @content, and is it the one at @name (NULL: at none)? */
static int expect(int f, const char *content, const char *name)
{
	char text[32] = "";
	struct stat by_fd, by_name;

	CHECK(pread(f, text, sizeof(text) - 1, 0) >= 0);
	if (strcmp(text, content) != 0)
		return live_fail("\"%s\" is in it, not \"%s\"", text, content);
	if (!name)
		return 0;
	CHECK_EQ(fstat(f, &by_fd), 0);
	CHECK_EQ(stat(name, &by_name), 0);
	CHECK_EQ(by_fd.st_ino, by_name.st_ino);
	return 0;
}

/* Two names, of which the one it was opened by goes. */
static int make_linked(void)
{
	fd = make_file("file", "content");
	(void)fstat(fd, &before);
	return link("file", "other") < 0 || unlink("file") < 0;
}

static int check_linked(void)
{
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_ino, before.st_ino);
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(access("file", F_OK), -1);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
	CHECK_EQ(pwrite(fd, "C", 1, 0), 1);
	return expect(fd, "Content", "other");
}

/* Three names; opened by two of them, which are gone, in two ways each. */
static int make_links(void)
{
	fd = make_file("file", "content");
	if (link("file", "second") < 0 || link("file", "third") < 0)
		return 1;
	fd2 = open("second", O_WRONLY | O_APPEND);
	fd3 = open("second", O_RDONLY | O_NOFOLLOW);
	return unlink("file") < 0 || unlink("second") < 0;
}

static int check_links(void)
{
	CHECK_EQ(write(fd2, "!", 1), 1);
	CHECK(expect(fd, "content!", "third") == 0);
	CHECK(expect(fd3, "content!", "third") == 0);
	return 0;
}

/* Opened by three names, of which the last is still there. */
static int make_one_left(void)
{
	fd = make_file("file", "content");
	if (link("file", "second") < 0 || link("file", "third") < 0)
		return 1;
	fd2 = open("second", O_RDONLY | O_NOFOLLOW);
	fd3 = open("third", O_RDONLY);
	return unlink("file") < 0 || unlink("second") < 0;
}

static int check_one_left(void)
{
	CHECK(expect(fd, "content", "third") == 0);
	CHECK(expect(fd2, "content", "third") == 0);
	CHECK(expect(fd3, "content", "third") == 0);
	return 0;
}

/* Both names are there, and both are open. */
static int make_two(void)
{
	fd = make_file("file", "content");
	if (link("file", "second") < 0)
		return 1;
	fd2 = open("second", O_RDONLY);
	return fd2 < 0;
}

static int check_two(void)
{
	CHECK(expect(fd, "content", "file") == 0);
	CHECK(expect(fd2, "content", "second") == 0);
	return 0;
}

/* All names it was opened by are gone, and there is no other. */
static int make_none_left(void)
{
	fd = make_file("file", "content");
	if (link("file", "second") < 0)
		return 1;
	fd2 = open("second", O_WRONLY | O_APPEND | O_NOFOLLOW);
	return unlink("file") < 0 || unlink("second") < 0;
}

static int check_none_left(void)
{
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(write(fd2, "!", 1), 1);
	return expect(fd, "content!", NULL);
}

/* Its name was taken by another, which is open as well. */
static int make_replaced(void)
{
	fd = make_file("file", "old");
	if (unlink("file") < 0)
		return 1;
	fd2 = make_file("file", "new");
	return fd2 < 0;
}

static int check_replaced(void)
{
	CHECK(expect(fd, "old", NULL) == 0);
	CHECK(expect(fd2, "new", "file") == 0);
	return 0;
}

/* The same, where the first has another name left. */
static int make_replaced_linked(void)
{
	fd = make_file("file", "old");
	if (link("file", "other") < 0 || unlink("file") < 0)
		return 1;
	fd2 = make_file("file", "new");
	return fd2 < 0;
}

static int check_replaced_linked(void)
{
	CHECK(expect(fd, "old", "other") == 0);
	CHECK(expect(fd2, "new", "file") == 0);
	return 0;
}

static int make_renamed(void)
{
	if (mkdir("dir", 0700) < 0)
		return 1;
	fd = make_file("dir/file", "content");
	return rename("dir/file", "dir/file (deleted)") < 0 || rename("dir", "moved") < 0;
}

static int check_renamed(void)
{
	return expect(fd, "content", "moved/file (deleted)");
}

/* Something is mounted over the directory of a file. */
static int make_hidden(void)
{
	if (mkdir("dir", 0700) < 0)
		return 1;
	fd = make_file("dir/file", "content");
	return mount("none", "dir", "tmpfs", 0, NULL) < 0;
}

static int check_hidden(void)
{
	CHECK_EQ(umount2("dir", 0), 0);
	return expect(fd, "content", "dir/file");
}

enum { LARGE = 1 << 30 };

/* Deleted files of sizes that are no whole pages, or nothing but a hole. */
static int make_sizes(void)
{
	fd = make_file("empty", "");
	fd2 = make_file("small", "x");
	fd3 = make_file("large", "begin");
	if (ftruncate(fd3, 1000 * (off_t)LARGE + 1) < 0 || pwrite(fd3, "end", 3, LARGE + 4095) != 3)
		return 1;
	return unlink("empty") < 0 || unlink("small") < 0 || unlink("large") < 0;
}

static int check_sizes(void)
{
	char text[4] = "";
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(fstat(fd2, &st), 0);
	CHECK_EQ(st.st_size, 1);
	CHECK_EQ(fstat(fd3, &st), 0);
	CHECK_EQ(st.st_size, 1000 * (off_t)LARGE + 1);
	CHECK_EQ(pread(fd3, text, 3, LARGE + 4095), 3);
	CHECK(strcmp(text, "end") == 0);
	CHECK_EQ(lseek(fd3, 4096, SEEK_DATA), LARGE);
	CHECK_EQ(lseek(fd3, LARGE + 8192, SEEK_DATA), -1);
	CHECK_EQ(errno, ENXIO);
	return expect(fd2, "x", NULL);
}

static int make_removed_directory(void)
{
	const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};

	if (mkdir("dir", 0750) < 0)
		return 1;
	fd = open("dir", O_RDONLY | O_DIRECTORY);
	fd2 = open("dir", O_PATH | O_NOFOLLOW);
	return fchown(fd, 12, 34) < 0 || rmdir("dir") < 0 || futimens(fd, times) < 0;
}

static int check_removed_directory(void)
{
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	CHECK(S_ISDIR(st.st_mode));
	CHECK_EQ(st.st_mode & 07777, 0750);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_uid, 12);
	CHECK_EQ(st.st_mtim.tv_sec, 2000);
	CHECK_EQ(openat(fd, "file", O_CREAT | O_RDWR, 0600), -1);
	CHECK_EQ(errno, ENOENT);
	CHECK_EQ(fstat(fd2, &st), 0);
	CHECK_EQ(st.st_gid, 34);
	CHECK_EQ(access("dir", F_OK), -1);
	return 0;
}

static int set_attributes(int f, int attributes)
{
	int flags = 0;

	if (ioctl(f, FS_IOC_GETFLAGS, &flags) < 0)
		return -1;
	flags |= attributes;
	return ioctl(f, FS_IOC_SETFLAGS, &flags);
}

/* Made immutable when it had no name any more, though open for writing. */
static int make_immutable(void)
{
	fd = make_file("file", "content");
	fd2 = open("file", O_RDONLY);
	if (unlink("file") < 0)
		return 1;
	if (set_attributes(fd, FS_IMMUTABLE_FL | FS_NODUMP_FL) < 0)
		return live_fail("no FS_IMMUTABLE_FL here"), 77;
	return 0;
}

static int check_immutable(void)
{
	int flags = 0;

	CHECK(expect(fd2, "content", NULL) == 0);
	CHECK_EQ(ioctl(fd2, FS_IOC_GETFLAGS, &flags), 0);
	CHECK_EQ(flags & (FS_IMMUTABLE_FL | FS_NODUMP_FL | FS_APPEND_FL),
		 FS_IMMUTABLE_FL | FS_NODUMP_FL);
	CHECK_EQ(fchmod(fd, 0777), -1);
	CHECK_EQ(errno, EPERM);
	return 0;
}

static int make_append_only(void)
{
	fd = make_file("file", "content");
	fd2 = open("file", O_WRONLY | O_APPEND);
	if (unlink("file") < 0)
		return 1;
	if (set_attributes(fd, FS_APPEND_FL) < 0)
		return live_fail("no FS_APPEND_FL here"), 77;
	return 0;
}

static int check_append_only(void)
{
	CHECK_EQ(ftruncate(fd2, 0), -1);
	CHECK_EQ(errno, EPERM);
	CHECK_EQ(write(fd2, "!", 1), 1);
	return expect(fd, "content!", NULL);
}

/* An append-only log with its name. */
static int make_log(void)
{
	fd3 = make_file("log", "content");
	if (set_attributes(fd3, FS_APPEND_FL) < 0)
		return live_fail("no FS_APPEND_FL here"), 77;
	(void)close(fd3);
	fd = open("log", O_WRONLY | O_APPEND);
	fd2 = open("log", O_RDONLY);
	return fd < 0 || fd2 < 0;
}

static int check_log(void)
{
	int none = 0;

	CHECK_EQ(write(fd, "!", 1), 1);
	CHECK(expect(fd2, "content!", "log") == 0);
	CHECK_EQ(ioctl(fd2, FS_IOC_SETFLAGS, &none), 0); /* so that the runner can remove it */
	return 0;
}

static int drop_attributes(void)
{
	int none = 0;

	CHECK_EQ(ioctl(fd, FS_IOC_SETFLAGS, &none), 0);
	return 0;
}

/* Nobody could open these for writing once more. */
static int make_fixed(void)
{
	fd = make_file("file", "content");
	if (set_attributes(fd, FS_IMMUTABLE_FL) < 0)
		return live_fail("no FS_IMMUTABLE_FL here"), 77;
	return 0;
}

static int make_append_since(void)
{
	fd = make_file("file", "content");
	if (set_attributes(fd, FS_APPEND_FL) < 0)
		return live_fail("no FS_APPEND_FL here"), 77;
	return 0;
}

static int make_fixed_linked(void)
{
	(void)close(make_file("file", "content"));
	fd = open("file", O_RDONLY);
	if (link("file", "other") < 0 || unlink("file") < 0)
		return 1;
	if (set_attributes(fd, FS_IMMUTABLE_FL) < 0)
		return live_fail("no FS_IMMUTABLE_FL here"), 77;
	return 0;
}

/* A name given later goes by O_TMPFILE's own, "#INODE". */
static int make_tmpfile_linked(void)
{
	char path[32];

	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0)
		return live_fail("no O_TMPFILE here"), 77;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, AT_FDCWD, "file", AT_SYMLINK_FOLLOW) < 0;
}

/* Linked, opened by that name, and the name removed again. */
static int make_tmpfile_unlinked(void)
{
	if (make_tmpfile_linked())
		return 77;
	fd2 = open("file", O_WRONLY | O_APPEND);
	return write(fd, "content", 7) != 7 || unlink("file") < 0;
}

static int check_tmpfile_unlinked(void)
{
	CHECK_EQ(write(fd2, "!", 1), 1);
	return expect(fd, "content!", NULL);
}

static const struct live_row rows[] = {
	{.name = "linked", .make = make_linked, .check = check_linked},
	{.name = "links", .make = make_links, .check = check_links},
	{.name = "one-left", .make = make_one_left, .check = check_one_left},
	{.name = "two", .make = make_two, .check = check_two},
	{.name = "none-left", .make = make_none_left, .check = check_none_left},
	{.name = "replaced", .make = make_replaced, .check = check_replaced},
	{.name = "replaced, linked", .make = make_replaced_linked, .check = check_replaced_linked},
	{.name = "renamed", .make = make_renamed, .check = check_renamed},
	{.name = "hidden", .make = make_hidden, .check = check_hidden},
	{.name = "sizes", .make = make_sizes, .check = check_sizes},
	{.name = "removed-directory",
	 .make = make_removed_directory,
	 .check = check_removed_directory},
	{.name = "immutable", .make = make_immutable, .check = check_immutable},
	{.name = "append-only", .make = make_append_only, .check = check_append_only},
	{.name = "log", .make = make_log, .check = check_log},
	{.name = "fixed",
	 .make = make_fixed,
	 .check = drop_attributes,
	 .refused = "but has been made immutable since"},
	{.name = "append-since",
	 .make = make_append_since,
	 .check = drop_attributes,
	 .refused = "but has been made append-only since"},
	{.name = "fixed, linked",
	 .make = make_fixed_linked,
	 .check = drop_attributes,
	 .refused = "as an immutable or append-only file it can be given no other"},
	{.name = "tmpfile-unlinked",
	 .make = make_tmpfile_unlinked,
	 .check = check_tmpfile_unlinked},
	{.name = "tmpfile-linked",
	 .make = make_tmpfile_linked,
	 .refused = "made with O_TMPFILE and linked later"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
