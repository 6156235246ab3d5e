/* SPDX-License-Identifier: Apache-2.0 */
/* FIFOs: content, a side that nobody has, a name that is gone. */
#include "live.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "util/macro.h"

static int reader, writer;
static char buf[100];

static int make_content(void)
{
	if (mkfifo("fifo", 0600) < 0)
		return 1;
	reader = open("fifo", O_RDONLY | O_NONBLOCK);
	writer = open("fifo", O_WRONLY | O_NOFOLLOW);
	return write(writer, "content", 7) != 7;
}

static int check_content(void)
{
	struct stat st;

	CHECK_EQ(read(reader, buf, sizeof(buf)), 7);
	CHECK(memcmp(buf, "content", 7) == 0);
	CHECK_EQ(read(reader, buf, 1), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(fcntl(writer, F_GETFL) & O_NONBLOCK, 0);
	CHECK_EQ(close(writer), 0);
	CHECK_EQ(read(reader, buf, 1), 0);
	CHECK_EQ(stat("fifo", &st), 0);
	return 0;
}

static int make_reader_only(void)
{
	if (mkfifo("fifo", 0600) < 0)
		return 1;
	reader = open("fifo", O_RDONLY | O_NONBLOCK);
	return reader < 0;
}

static int check_reader_only(void)
{
	CHECK_EQ(read(reader, buf, 1), 0);
	writer = open("fifo", O_WRONLY | O_NONBLOCK);
	CHECK(writer >= 0);
	CHECK_EQ(write(writer, "x", 1), 1);
	CHECK_EQ(read(reader, buf, 9), 1);
	return 0;
}

static int make_deleted(void)
{
	if (mkfifo("fifo", 0640) < 0)
		return 1;
	reader = open("fifo", O_RDWR);
	writer = open("fifo", O_WRONLY | O_NOFOLLOW);
	return write(writer, "gone", 4) != 4 || unlink("fifo") < 0;
}

static int check_deleted(void)
{
	struct stat st;

	CHECK_EQ(fstat(reader, &st), 0);
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_mode, S_IFIFO | 0640);
	CHECK_EQ(read(reader, buf, sizeof(buf)), 4);
	CHECK(memcmp(buf, "gone", 4) == 0);
	CHECK_EQ(write(writer, "x", 1), 1);
	CHECK_EQ(read(reader, buf, 9), 1);
	CHECK_EQ(access("fifo", F_OK), -1);
	return 0;
}

/* The name it was opened by is gone, another is left. */
static int make_linked(void)
{
	if (mkfifo("fifo", 0640) < 0 || link("fifo", "other") < 0)
		return 1;
	reader = open("fifo", O_RDONLY | O_NONBLOCK);
	writer = open("fifo", O_WRONLY);
	return write(writer, "content", 7) != 7 || unlink("fifo") < 0;
}

static int check_linked(void)
{
	int third = open("other", O_WRONLY | O_NONBLOCK);

	CHECK(third >= 0);
	CHECK_EQ(write(third, "!", 1), 1);
	CHECK_EQ(read(reader, buf, sizeof(buf)), 8);
	CHECK(memcmp(buf, "content!", 8) == 0);
	CHECK_EQ(close(third), 0);
	CHECK_EQ(close(writer), 0);
	CHECK_EQ(read(reader, buf, sizeof(buf)), 0);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "content", .make = make_content, .check = check_content},
	{.name = "reader-only", .make = make_reader_only, .check = check_reader_only},
	{.name = "linked", .make = make_linked, .check = check_linked},
	{.name = "deleted", .make = make_deleted, .check = check_deleted},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
