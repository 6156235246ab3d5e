/* SPDX-License-Identifier: Apache-2.0 */
/* Files on overlayfs: in the lower layer, the upper one, and copied up in between. */
#include "live.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "fd.h"
#include "util/macro.h"

static int fd, fd2;
static char *mapped;
static DIR *dir;
static char next_name[256];

static int write_file(const char *name, const char *content)
{
	int f = open(name, O_CREAT | O_RDWR, 0640);
	ssize_t len = (ssize_t)strlen(content);

	return f < 0 || write(f, content, (size_t)len) != len || close(f) < 0;
}

/* "merged", with lower layer's files "one" and "two". */
static int make_overlay(void)
{
	static const char *const dirs[] = {"lower", "upper", "work", "merged"};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdir(dirs[i], 0755) < 0)
			return 1;
	if (write_file("lower/one", "lower one") || write_file("lower/two", "lower two"))
		return 1;
	if (mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work") <
	    0)
		return live_fail("no overlayfs here"), 77;
	return 0;
}

static int expect(int f, const char *content)
{
	char text[32] = "";

	CHECK(pread(f, text, sizeof(text) - 1, 0) >= 0);
	if (strcmp(text, content) != 0)
		return live_fail("\"%s\" is in it, not \"%s\"", text, content);
	return 0;
}

static int make_lower(void)
{
	int r = make_overlay();

	if (r)
		return r;
	fd = open("merged/one", O_RDONLY);
	fd2 = open("merged/two", O_RDWR | O_APPEND); /* copied up */
	return fd < 0 || fd2 < 0 || lseek(fd, 3, SEEK_SET) != 3;
}

static int check_lower(void)
{
	CHECK_EQ(access("upper/one", F_OK), -1);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
	CHECK(expect(fd, "lower one") == 0);
	CHECK_EQ(write(fd2, "!", 1), 1);
	return expect(fd2, "lower two!");
}

/* Opened in the lower layer; somebody wrote to it afterwards. */
static int make_copied_up(void)
{
	int r = make_overlay();

	if (r)
		return r;
	fd = open("merged/one", O_RDONLY);
	fd2 = open("merged/one", O_WRONLY);
	return fd < 0 || pwrite(fd2, "UPPER", 5, 0) != 5;
}

static int check_copied_up(void)
{
	CHECK(expect(fd, "UPPER one") == 0);
	CHECK_EQ(pwrite(fd2, "upper", 5, 0), 5);
	return expect(fd, "upper one");
}

static int make_deleted(void)
{
	int r = make_overlay();

	if (r)
		return r;
	fd = open("merged/two", O_RDONLY);
	fd2 = open("merged/two", O_RDWR);
	return fd2 < 0 || unlink("merged/two") < 0;
}

static int check_deleted(void)
{
	CHECK_EQ(pwrite(fd2, "upper", 5, 0), 5);
	CHECK(expect(fd, "upper two") == 0);
	CHECK_EQ(access("merged/two", F_OK), -1);
	return 0;
}

static int make_mapped(void)
{
	int r = make_lower();

	if (r)
		return r;
	mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	return mapped == MAP_FAILED || mapped[0] != 'l';
}

static int check_mapped(void)
{
	CHECK(strcmp(mapped, "lower one") == 0);
	return check_lower();
}

/* The mapping shows the lower layer's file still; the path leads to the copy. */
static int make_mapped_below(void)
{
	int r = make_mapped();

	if (r)
		return r;
	(void)close(fd2);
	fd2 = open("merged/one", O_WRONLY);
	return fd2 < 0 || pwrite(fd2, "UPPER", 5, 0) != 5 || strcmp(mapped, "lower one") != 0;
}

/* Mapped when it had been copied up. */
static int make_mapped_above(void)
{
	int r = make_copied_up();

	if (r)
		return r;
	(void)close(fd);
	fd = open("merged/one", O_RDONLY);
	mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	return mapped == MAP_FAILED || strcmp(mapped, "UPPER one") != 0;
}

static int check_mapped_above(void)
{
	CHECK(strcmp(mapped, "UPPER one") == 0);
	CHECK(check_copied_up() == 0);
	CHECK(strcmp(mapped, "upper one") == 0);
	return 0;
}

static int make_directory(void)
{
	struct dirent *entry;
	long place;
	int r = make_overlay();

	if (r)
		return r;
	if (write_file("merged/three", "") || write_file("merged/four", ""))
		return 1;
	dir = opendir("merged");
	for (int i = 0; dir && i < 3; i++)
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
	return 0;
}

/* The file in the lower layer keeps its link. */
static int make_deleted_below(void)
{
	int r = make_overlay();

	if (r)
		return r;
	fd = open("merged/one", O_RDONLY);
	return fd < 0 || unlink("merged/one") < 0;
}

/* Overlayfs gives no file handles. */
static int make_linked(void)
{
	int r = make_overlay();

	if (r)
		return r;
	if (write_file("merged/file", "content"))
		return 1;
	fd = open("merged/file", O_RDONLY);
	return fd < 0 || link("merged/file", "merged/other") < 0 || unlink("merged/file") < 0;
}

static const struct live_row rows[] = {
	{.name = "lower", .make = make_lower, .check = check_lower},
	{.name = "copied-up", .make = make_copied_up, .check = check_copied_up},
	{.name = "deleted", .make = make_deleted, .check = check_deleted},
	{.name = "mapped", .make = make_mapped, .check = check_mapped},
	{.name = "mapped-above", .make = make_mapped_above, .check = check_mapped_above},
	{.name = "mapped-below",
	 .make = make_mapped_below,
	 .refused = "shows a file of overlayfs's lower layer"},
	{.name = "directory", .make = make_directory, .check = check_directory},
	{.name = "deleted-below", .make = make_deleted_below, .refused = "does not tell whether"},
	{.name = "linked", .make = make_linked, .refused = "does not tell whether"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
