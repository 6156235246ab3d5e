/* SPDX-License-Identifier: Apache-2.0 */
/* Masters of pseudo terminals, and what can only be seen from there. */
#include "live.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include <linux/tty.h>

#include "fd.h"
#include "pair.h"
#include "util/macro.h"

static struct pair pair;

/* ---- numbers */

static struct pair pairs[3];

/* The lowest number is free again, so that the others cannot be had by asking once. */
static int make_numbers(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		if (pair_open(&pairs[i]) < 0)
			return 1;
	return close(pairs[0].slave) < 0 || close(pairs[0].master) < 0;
}

static int check_numbers(void)
{
	for (size_t i = 1; i < ARRAY_SIZE(pairs); i++) {
		char name[64];

		CHECK_EQ(ptsname_r(pairs[i].master, name, sizeof(name)), 0);
		CHECK(strcmp(name, pairs[i].name) == 0);
		CHECK_EQ(ttyname_r(pairs[i].slave, name, sizeof(name)), 0);
		CHECK(strcmp(name, pairs[i].name) == 0);
		CHECK(pair_silence(&pairs[i], true) == 0);
		CHECK(pair_writes(pairs[i].master, name, strlen(name)) &&
		      pair_writes(pairs[i].master, "\n", 1));
		CHECK(pair_reads(pairs[i].slave, name, strlen(name)));
	}
	return 0;
}

/* ---- the slave's side as the master sees it */

static int make_never(void)
{
	pair.master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
	return pair.master < 0 || unlockpt(pair.master) < 0 ||
	       !pair_writes(pair.master, "early\n", 6);
}

static int check_never(void)
{
	CHECK_EQ(pair_events(pair.master), POLLIN | POLLOUT); /* not POLLHUP; the echo */
	pair.slave = ioctl(pair.master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	CHECK(pair.slave >= 0);
	CHECK(pair_reads(pair.slave, "early\n", 6));
	CHECK(pair_reads(pair.master, "early\r\n", 7));
	CHECK(fcntl(pair.master, F_GETFL) & O_NONBLOCK);
	return 0;
}

static int make_closed(void)
{
	return pair_open(&pair) < 0 || !pair_writes(pair.slave, "last words", 10) ||
	       close(pair.slave) < 0;
}

static int check_closed(void)
{
	char byte;

	CHECK_EQ(pair_events(pair.master), POLLIN | POLLOUT | POLLHUP);
	CHECK(pair_reads(pair.master, "last words", 10));
	CHECK_EQ(read(pair.master, &byte, 1), -1);
	CHECK_EQ(errno, EIO);
	CHECK((pair.slave = open(pair.name, O_RDWR | O_NOCTTY)) >= 0);
	CHECK_EQ(pair_events(pair.master), POLLOUT);
	return 0;
}

static int make_locked(void)
{
	int lock = 1;

	return pair_open(&pair) < 0 || ioctl(pair.slave, TIOCEXCL) < 0 ||
	       ioctl(pair.master, TIOCSPTLCK, &lock) < 0;
}

static int check_locked(void)
{
	int set = 0;

	CHECK(ioctl(pair.master, TIOCGPTLCK, &set) == 0 && set);
	CHECK(ioctl(pair.slave, TIOCGEXCL, &set) == 0 && set);
	CHECK(ioctl(pair.master, TIOCGEXCL, &set) == 0 && !set);
	CHECK_EQ(open(pair.name, O_RDWR | O_NOCTTY), -1);
	CHECK_EQ(errno, EIO);
	return 0;
}

/* ---- packet mode */

static int make_packet(void)
{
	int on = 1;

	return pair_open(&pair) < 0 || ioctl(pair.master, TIOCPKT, &on) < 0 ||
	       !pair_writes(pair.slave, "hello", 5);
}

static int check_packet(void)
{
	struct termios t;

	CHECK_EQ(pair_events(pair.master), POLLIN | POLLOUT);
	CHECK(pair_reads(pair.master, "\0hello", 6));
	CHECK(tcgetattr(pair.slave, &t) == 0);
	t.c_iflag &= ~(tcflag_t)IXON;
	CHECK(tcsetattr(pair.slave, TCSANOW, &t) == 0);
	CHECK(pair_events(pair.master) & POLLPRI);
	CHECK(pair_reads(pair.master, (const char[]){TIOCPKT_NOSTOP}, 1));
	return 0;
}

static int make_status(void)
{
	return make_packet() != 0 || tcflush(pair.slave, TCIFLUSH) < 0;
}

/* ---- stopped output */

static int make_off(void)
{
	return pair_open(&pair) < 0 || !pair_writes(pair.slave, "before", 6) ||
	       tcflow(pair.slave, TCOOFF) < 0;
}

static int check_off(void)
{
	CHECK(pair_reads(pair.master, "before", 6));
	CHECK_EQ(pair_events(pair.slave), 0);
	CHECK(pair_writes(pair.master, "\x11", 1)); /* a start character does not help */
	CHECK_EQ(pair_events(pair.slave), 0);
	CHECK(tcflow(pair.slave, TCOON) == 0);
	CHECK_EQ(pair_events(pair.slave), POLLOUT);
	return 0;
}

static bool is_stopped(void)
{
	return !(pair_events(pair.slave) & POLLOUT);
}

static bool is_writable(void)
{
	return !is_stopped();
}

static int make_stopped(void)
{
	return pair_open(&pair) < 0 || !pair_writes(pair.slave, "before", 6) ||
	       !pair_writes(pair.master, "\x13", 1) || live_await(is_stopped) != 0;
}

static int check_stopped(void)
{
	CHECK(pair_reads(pair.master, "before", 6));
	CHECK(is_stopped());
	CHECK(tcflow(pair.slave, TCOON) == 0);
	CHECK(is_stopped());
	CHECK(pair_writes(pair.master, "\x11", 1));
	return live_await(is_writable);
}

static int make_echoes(void)
{
	return make_stopped() != 0 || !pair_writes(pair.master, "x\n", 2);
}

/* ---- refused */

static int make_discipline(void)
{
	int number = N_NULL;

	return pair_open(&pair) < 0 || ioctl(pair.slave, TIOCSETD, &number) < 0;
}

static int make_async(void)
{
	return pair_open(&pair) < 0 || fcntl(pair.slave, F_SETFL, O_ASYNC) < 0;
}

/* A process that is none of ours any more keeps @fd. */
static int keep_outside(int fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (fork() == 0) {
			(void)dup2(fd, 200);
			(void)close_range(3, 199, 0);
			(void)close_range(201, ~0u, 0);
			for (;;)
				(void)pause();
		}
		_exit(0);
	}
	return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

static int make_outside(void)
{
	return pair_open(&pair) < 0 || keep_outside(pair.slave) != 0 || close(pair.slave) < 0;
}

static int make_twice(void)
{
	return pair_open(&pair) < 0 || keep_outside(pair.master) != 0;
}

static const struct live_row rows[] = {
	{.name = "numbers", .make = make_numbers, .check = check_numbers},
	{.name = "never opened", .make = make_never, .check = check_never},
	{.name = "closed", .make = make_closed, .check = check_closed},
	{.name = "locked", .make = make_locked, .check = check_locked},
	{.name = "packet", .make = make_packet, .check = check_packet},
	{.name = "packet, status", .make = make_status, .refused = "a status byte waits"},
	{.name = "off", .make = make_off, .check = check_off},
	{.name = "stopped", .make = make_stopped, .check = check_stopped},
	{.name = "echoes", .make = make_echoes, .refused = "with echoes waiting"},
	{.name = "discipline", .make = make_discipline, .refused = "another line discipline"},
	{.name = "async", .make = make_async, .refused = "sends signals (O_ASYNC)"},
	{.name = "slave outside", .make = make_outside, .refused = "is also open in process"},
	{.name = "master outside", .make = make_twice, .refused = "is also open in process"},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
