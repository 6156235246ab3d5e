/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals as programs use them, and what waits to be read. A whole shell job is test/e2e's, since
 * it needs a shell's part to be played; masters have a test of their own (ptmx.c).
 */
#include "live.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "fd.h"
#include "pair.h"
#include "util/macro.h"

static struct pair pair;

/* ---- openings and settings */

static int reader, path, copy;
static const struct winsize size = {.ws_row = 33, .ws_col = 101, .ws_xpixel = 3, .ws_ypixel = 4};
static struct termios settings;

static int make_openings(void)
{
	if (pair_open(&pair) < 0)
		return 1;
	reader = open(pair.name, O_RDONLY | O_NOCTTY | O_NONBLOCK);
	path = open(pair.name, O_PATH | O_CLOEXEC);
	copy = dup(pair.slave);
	if (tcgetattr(pair.slave, &settings) < 0)
		return 1;
	settings.c_lflag = ICANON | ECHOE;
	settings.c_iflag = IGNBRK | ICRNL;
	settings.c_cc[VERASE] = 'x';
	return tcsetattr(pair.slave, TCSANOW, &settings) < 0 ||
	       ioctl(pair.master, TIOCSWINSZ, &size) < 0 || chmod(pair.name, 0620) < 0 ||
	       chown(pair.name, 7, 5) < 0 || reader < 0 || path < 0 || copy < 0;
}

static int check_openings(void)
{
	struct winsize got;
	struct termios t;
	struct stat st;

	CHECK(same_description(getpid(), pair.slave, getpid(), copy));
	CHECK(!same_description(getpid(), pair.slave, getpid(), reader));
	CHECK_EQ(fcntl(reader, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
	CHECK(fcntl(path, F_GETFL) & O_PATH);
	CHECK(fstat(path, &st) == 0);
	CHECK_EQ(st.st_mode, S_IFCHR | 0620);
	CHECK_EQ(st.st_uid, 7);
	CHECK_EQ(st.st_gid, 5);
	CHECK(tcgetattr(pair.slave, &t) == 0 && memcmp(&t, &settings, sizeof(t)) == 0);
	CHECK(ioctl(pair.slave, TIOCGWINSZ, &got) == 0 && memcmp(&got, &size, sizeof(got)) == 0);
	CHECK(pair_writes(pair.slave, "out", 3) && pair_reads(pair.master, "out", 3));
	CHECK(pair_writes(pair.master, "anx\r", 4) && pair_reads(pair.slave, "a\n", 2));
	return 0;
}

static int peer;

/* As openpty() does: without O_LARGEFILE. */
static int make_peer(void)
{
	return pair_open(&pair) < 0 ||
	       (peer = ioctl(pair.master, TIOCGPTPEER, O_RDWR | O_NOCTTY)) < 0;
}

static int check_peer(void)
{
	CHECK_EQ(fcntl(peer, F_GETFL), O_RDWR);
	CHECK(pair_writes(peer, "peer", 4) && pair_reads(pair.master, "peer", 4));
	return 0;
}

/* ---- queues */

static bool has_input(void)
{
	return pair_events(pair.slave) & POLLIN;
}

/* A line, one with a quoted newline and other quoted ones, one ended by EOF, an empty one, a rest. */
static const char typed[] = "one\ntw\x16\no\x16\x04\x16\x16\x16\x13\nthree\x04\x04re";

static int make_lines(void)
{
	return pair_open(&pair) < 0 || pair_silence(&pair, true) < 0 ||
	       !pair_writes(pair.master, typed, sizeof(typed) - 1) || live_await(has_input) != 0;
}

static int check_lines(void)
{
	char buf[64];

	CHECK_EQ(read(pair.slave, buf, sizeof(buf)), 4);
	CHECK(memcmp(buf, "one\n", 4) == 0);
	CHECK_EQ(read(pair.slave, buf, sizeof(buf)), 8);
	CHECK(memcmp(buf, "tw\no\x04\x16\x13\n", 8) == 0);
	CHECK_EQ(read(pair.slave, buf, sizeof(buf)), 5);
	CHECK(memcmp(buf, "three", 5) == 0);
	CHECK_EQ(read(pair.slave, buf, sizeof(buf)), 0);
	CHECK(!has_input());
	CHECK(pair_writes(pair.master, "x\x7fst\n", 5)); /* and the rest can be edited */
	CHECK_EQ(read(pair.slave, buf, sizeof(buf)), 5);
	CHECK(memcmp(buf, "rest\n", 5) == 0);
	return 0;
}

static unsigned char bytes[3000];

static int make_raw(void)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = pattern(i);
	return pair_open(&pair) < 0 || pair_silence(&pair, false) < 0 ||
	       !pair_writes(pair.master, bytes, sizeof(bytes)) || live_await(has_input) != 0;
}

static int check_raw(void)
{
	CHECK(pair_reads(pair.slave, bytes, sizeof(bytes)));
	CHECK(!has_input());
	return 0;
}

static char output[9000];

/* More than a line discipline holds. */
static int make_output(void)
{
	memset(output, 'o', sizeof(output));
	output[sizeof(output) - 1] = '!';
	return pair_open(&pair) < 0 || !pair_writes(pair.slave, output, sizeof(output));
}

static int check_output(void)
{
	CHECK(pair_reads(pair.master, output, sizeof(output)));
	CHECK_EQ(pair_events(pair.master), POLLOUT);
	return 0;
}

static int make_echo(void)
{
	return pair_open(&pair) < 0 || !pair_writes(pair.master, "ls\n", 3) ||
	       live_await(has_input) != 0;
}

static int check_echo(void)
{
	CHECK(pair_reads(pair.master, "ls\r\n", 4));
	CHECK_EQ(pair_events(pair.master), POLLOUT);
	CHECK(pair_reads(pair.slave, "ls\n", 3));
	return 0;
}

static int make_full(void)
{
	static char text[3500];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 50 == 49 ? '\n' : 'f';
	return pair_open(&pair) < 0 || pair_silence(&pair, true) < 0 ||
	       !pair_writes(pair.master, text, sizeof(text)) || live_await(has_input) != 0;
}

/* ---- hung up */

static int make_gone(void)
{
	return pair_open(&pair) < 0 || close(pair.master) < 0;
}

static int check_hung(void)
{
	struct stat st;
	char byte;

	CHECK_EQ(read(pair.slave, &byte, 1), 0);
	CHECK_EQ(write(pair.slave, &byte, 1), -1);
	CHECK_EQ(errno, EIO);
	CHECK(fstat(pair.slave, &st) == 0);
	CHECK_EQ(minor(st.st_rdev), atoi(strrchr(pair.name, '/') + 1));
	return 0;
}

static int make_vhangup(void)
{
	if (pair_open(&pair) < 0 || ioctl(pair.slave, TIOCVHANGUP) < 0)
		return 1;
	return (copy = open(pair.name, O_RDWR | O_NOCTTY)) < 0;
}

static int check_vhangup(void)
{
	CHECK(pair_writes(copy, "again", 5) && pair_reads(pair.master, "again", 5));
	return check_hung();
}

/* ---- refused */

/* The slave's number is the lower one, so that it is what the error chain speaks of. */
static int make_outside(void)
{
	int ends[2];
	char byte;
	pid_t pid;

	if (pipe(ends) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		if (fork() > 0)
			_exit(0);
		if (pair_open(&pair) < 0 || write(ends[1], pair.name, sizeof(pair.name)) < 0)
			_exit(1);
		(void)close(ends[0]);
		(void)close(ends[1]);
		(void)close(pair.slave);
		(void)close(100);
		for (;;)
			(void)pause();
	}
	(void)waitpid(pid, NULL, 0);
	(void)close(ends[1]);
	if (read(ends[0], pair.name, sizeof(pair.name)) != sizeof(pair.name))
		return 1;
	pair.slave = open(pair.name, O_RDWR | O_NOCTTY);
	if (read(ends[0], &byte, 1) != 0)
		return 1;
	return close(ends[0]) < 0 || pair.slave < 0;
}

static const struct live_row rows[] = {
	{.name = "openings", .make = make_openings, .check = check_openings},
	{.name = "peer", .make = make_peer, .check = check_peer},
	{.name = "lines", .make = make_lines, .check = check_lines},
	{.name = "raw", .make = make_raw, .check = check_raw},
	{.name = "output", .make = make_output, .check = check_output},
	{.name = "echo", .make = make_echo, .check = check_echo},
	{.name = "full", .make = make_full, .refused = "so much typed input waiting"},
	{.name = "gone", .make = make_gone, .check = check_hung},
	{.name = "hung up", .make = make_vhangup, .check = check_vhangup},
	{.name = "no-shell-job",
	 .make = make_outside,
	 .refused = "is a terminal, whose other side is outside"},
	{.name = "not-the-job's",
	 .make = make_outside,
	 .dump_options = "--shell-job",
	 .refused = "is not the controlling terminal"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
