/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets: pairs, names of every sort, connections accepted and not, what is queued, sides that are shut
 * down or gone, out-of-band bytes, options. What is in flight in them and whose credentials they show
 * is in unix-scm.c.
 */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "fd.h"
#include "unix.h"
#include "util/macro.h"

static char buf[300000];
static int end[2], more[4];

/* ---- pairs ---------------------------------------------------------------------------------- */

enum { MUCH = 150000 };

static int make_stream(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, end) < 0)
		return 1;
	for (size_t i = 0; i < MUCH; i++)
		buf[i] = (char)pattern(i);
	return send(end[0], buf, MUCH, 0) != MUCH || send(end[1], "back", 4, 0) != 4;
}

static int check_stream(void)
{
	CHECK_EQ(recv(end[0], buf, 10, 0), 4);
	CHECK(memcmp(buf, "back", 4) == 0);
	CHECK_EQ(recv(end[1], buf, sizeof(buf), 0), MUCH);
	for (size_t i = 0; i < MUCH; i++)
		CHECK_EQ((unsigned char)buf[i], pattern(i));
	CHECK_EQ(recv(end[1], buf, 1, 0), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(send(end[0], "x", 1, 0), 1);
	CHECK_EQ(recv(end[1], buf, 9, 0), 1);
	CHECK_EQ(fcntl(end[0], F_GETFL), O_RDWR | O_NONBLOCK);
	return 0;
}

static int make_packets(void)
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, end) < 0 || send(end[0], "one", 3, 0) != 3 ||
	       send(end[0], "three", 5, 0) != 5;
}

static int check_packets(void)
{
	CHECK_EQ(recv(end[1], buf, 2, 0), 2);
	CHECK_EQ(recv(end[1], buf, 10, 0), 5);
	CHECK_EQ(recv(end[1], buf, 10, MSG_DONTWAIT), -1);
	CHECK_EQ(send(end[1], "x", 1, 0), 1);
	CHECK_EQ(recv(end[0], buf, 10, 0), 1);
	return 0;
}

static int make_datagrams(void)
{
	return socketpair(AF_UNIX, SOCK_DGRAM, 0, end) < 0 || send(end[0], "one", 3, 0) != 3 ||
	       send(end[0], "three", 5, 0) != 5;
}

static int check_datagrams(void)
{
	CHECK_EQ(recv(end[1], buf, 10, MSG_DONTWAIT), 3);
	CHECK_EQ(recv(end[1], buf, 10, MSG_DONTWAIT), 5);
	CHECK_EQ(recv(end[1], buf, 10, MSG_DONTWAIT), -1);
	CHECK_EQ(send(end[1], "x", 1, 0), 1);
	CHECK_EQ(recv(end[0], buf, 10, 0), 1);
	return 0;
}

/* What a dump before this one did, too. */
static int make_empty_seen(void)
{
	const int on = 0, off = -1;

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, end) < 0 || send(end[0], "", 0, 0) != 0 ||
	    send(end[0], "x", 1, 0) != 1 ||
	    setsockopt(end[1], SOL_SOCKET, SO_PEEK_OFF, &on, sizeof(on)) < 0)
		return 1;
	return recv(end[1], buf, 9, MSG_PEEK) != 0 ||
	       setsockopt(end[1], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) < 0;
}

/* ---- names ------------------------------------------------------------------------------------ */

static int make_connected(void)
{
	end[0] = unix_listen(SOCK_STREAM, "here", 3);
	end[1] = unix_connect(SOCK_STREAM, "here");
	more[0] = accept(end[0], NULL, NULL);
	if (end[0] < 0 || end[1] < 0 || more[0] < 0 || chmod("here", 0620) < 0)
		return 1;
	return send(end[1], "to", 2, 0) != 2 || send(more[0], "fro", 3, 0) != 3;
}

static int check_connected(void)
{
	struct stat st;

	CHECK_EQ(recv(more[0], buf, 9, 0), 2);
	CHECK_EQ(recv(end[1], buf, 9, 0), 3);
	CHECK(unix_has_name(more[0], "here"));
	CHECK(unix_has_peer(end[1], "here"));
	CHECK(unix_has_name(end[1], ""));
	CHECK(stat("here", &st) == 0 && S_ISSOCK(st.st_mode));
	CHECK_EQ(st.st_mode & 07777, 0620);
	more[1] = unix_connect(SOCK_STREAM, "here");
	CHECK(more[1] >= 0);
	CHECK((more[2] = accept(end[0], NULL, NULL)) >= 0);
	CHECK_EQ(send(more[1], "new", 3, 0), 3);
	CHECK_EQ(recv(more[2], buf, 9, 0), 3);
	return 0;
}

/* The server has closed the socket it listened at, and its file is gone. */
static int make_listener_gone(void)
{
	return make_connected() || close(end[0]) < 0 || unlink("here") < 0;
}

static int check_listener_gone(void)
{
	CHECK_EQ(recv(more[0], buf, 9, 0), 2);
	CHECK_EQ(recv(end[1], buf, 9, 0), 3);
	CHECK(unix_has_name(more[0], "here"));
	CHECK(unix_has_peer(end[1], "here"));
	CHECK_EQ(access("here", F_OK), -1);
	return 0;
}

static int make_abstract(void)
{
	end[0] = unix_listen(SOCK_SEQPACKET, "@live-unix", 3);
	end[1] = unix_connect(SOCK_SEQPACKET, "@live-unix");
	more[0] = accept(end[0], NULL, NULL);
	return end[1] < 0 || more[0] < 0 || send(end[1], "abc", 3, 0) != 3;
}

static int check_abstract(void)
{
	CHECK_EQ(recv(more[0], buf, 9, 0), 3);
	CHECK(unix_has_name(end[0], "@live-unix"));
	CHECK(unix_has_name(more[0], "@live-unix"));
	CHECK(unix_has_peer(end[1], "@live-unix"));
	CHECK((more[1] = unix_connect(SOCK_SEQPACKET, "@live-unix")) >= 0);
	return 0;
}

static struct sockaddr_un automatic;
static socklen_t automatic_len;

static int make_autobind(void)
{
	const struct sockaddr none = {.sa_family = AF_UNIX};

	automatic_len = sizeof(automatic);
	end[0] = socket(AF_UNIX, SOCK_DGRAM, 0);
	return bind(end[0], &none, sizeof(sa_family_t)) < 0 ||
	       getsockname(end[0], (struct sockaddr *)&automatic, &automatic_len) < 0;
}

static int check_autobind(void)
{
	struct sockaddr_un now;
	socklen_t len = sizeof(now);

	CHECK(getsockname(end[0], (struct sockaddr *)&now, &len) == 0);
	CHECK_EQ(len, automatic_len);
	CHECK(memcmp(&now, &automatic, len) == 0);
	end[1] = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK_EQ(sendto(end[1], "x", 1, 0, (struct sockaddr *)&now, len), 1);
	CHECK_EQ(recv(end[0], buf, 9, 0), 1);
	return 0;
}

/* Renamed, in a directory that the text does not lead to any more. */
static int make_renamed(void)
{
	if (mkdir("a", 0755) < 0 || mkdir("a/b", 0755) < 0 || chdir("a/b") < 0)
		return 1;
	end[0] = unix_listen(SOCK_STREAM, "../b/./sock", 3);
	return end[0] < 0 || rename("sock", "other") < 0 || chdir("../..") < 0;
}

static int check_renamed(void)
{
	CHECK(unix_has_name(end[0], "../b/./sock"));
	CHECK((end[1] = unix_connect(SOCK_STREAM, "a/b/other")) >= 0);
	CHECK_EQ(access("a/b/sock", F_OK), -1);
	return 0;
}

/* Deleted, and somebody else's now. */
static int make_replaced(void)
{
	end[0] = unix_bind(SOCK_DGRAM, "place");
	if (end[0] < 0 || unlink("place") < 0)
		return 1;
	end[1] = unix_bind(SOCK_DGRAM, "place");
	more[0] = unix_connect(SOCK_DGRAM, "place");
	return end[1] < 0 || more[0] < 0;
}

static int check_replaced(void)
{
	CHECK(unix_has_name(end[0], "place"));
	CHECK_EQ(send(more[0], "x", 1, 0), 1);
	CHECK_EQ(recv(end[1], buf, 9, MSG_DONTWAIT), 1);
	more[1] = unix_connect(SOCK_DGRAM, "place");
	CHECK_EQ(send(more[1], "y", 1, 0), 1);
	CHECK_EQ(recv(end[1], buf, 9, MSG_DONTWAIT), 1);
	CHECK_EQ(recv(end[0], buf, 9, MSG_DONTWAIT), -1);
	return 0;
}

static char long_name[109];

static int make_long(void)
{
	memset(long_name, 'n', 108);
	end[0] = unix_bind(SOCK_DGRAM, long_name);
	return end[0] < 0;
}

static int check_long(void)
{
	CHECK(unix_has_name(end[0], long_name));
	CHECK_EQ(unix_send_to(end[0], long_name, "x"), 1);
	CHECK_EQ(recv(end[0], buf, 9, 0), 1);
	return 0;
}

/* ---- not accepted yet --------------------------------------------------------------------------- */

static int make_backlog(void)
{
	end[0] = unix_listen(SOCK_STREAM, "backlog", 4);
	more[0] = unix_bind(SOCK_STREAM, "first");
	if (end[0] < 0 || unix_connect_fd(more[0], "backlog") < 0)
		return 1;
	more[2] = unix_connect(SOCK_STREAM, "backlog");
	return more[2] < 0 || shutdown(more[2], SHUT_WR) < 0;
}

static int check_backlog(void)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	int got[2];

	for (size_t i = 0; i < ARRAY_SIZE(got); i++)
		CHECK((got[i] = accept(end[0], NULL, NULL)) >= 0);
	CHECK(unix_has_peer(got[0], "first"));
	CHECK_EQ(getsockopt(got[0], SOL_SOCKET, SO_PEERCRED, &who, &len), 0);
	CHECK_EQ(who.pid, getpid());
	CHECK_EQ(send(more[0], "a", 1, 0), 1);
	CHECK_EQ(recv(got[0], buf, 9, 0), 1);
	CHECK_EQ(recv(got[1], buf, 9, 0), 0);
	CHECK_EQ(send(got[1], "b", 1, 0), 1);
	CHECK_EQ(recv(more[2], buf, 9, 0), 1);
	CHECK_EQ(fcntl(end[0], F_SETFL, O_NONBLOCK), 0);
	CHECK_EQ(accept(end[0], NULL, NULL), -1);
	for (int i = 0; i < 5; i++)
		CHECK((got[0] = unix_connect(SOCK_STREAM | SOCK_NONBLOCK, "backlog")) >= 0);
	CHECK((got[0] = unix_connect(SOCK_STREAM | SOCK_NONBLOCK, "backlog")) < 0);
	return 0;
}

static int make_backlog_content(void)
{
	return make_backlog() || send(more[0], "hello", 5, 0) != 5;
}

static int make_backlog_gone(void)
{
	return make_backlog() || close(more[0]) < 0;
}

/* ---- one side only ------------------------------------------------------------------------------ */

static int make_shut(void)
{
	return make_stream() || shutdown(end[0], SHUT_WR) < 0;
}

static int check_shut(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(recv(end[1], buf, sizeof(buf), 0), MUCH);
	CHECK_EQ(recv(end[1], buf, sizeof(buf), 0), 0);
	CHECK_EQ(send(end[0], "x", 1, 0), -1);
	CHECK_EQ(errno, EPIPE);
	CHECK_EQ(send(end[1], "x", 1, 0), 1);
	CHECK_EQ(recv(end[0], buf, 9, 0), 5);
	return 0;
}

static int make_gone(void)
{
	return make_stream() || recv(end[0], buf, 9, 0) != 4 || close(end[0]) < 0;
}

static int check_gone(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	CHECK_EQ(recv(end[1], buf, sizeof(buf), 0), MUCH);
	CHECK_EQ(recv(end[1], buf, sizeof(buf), 0), 0);
	CHECK_EQ(send(end[1], "x", 1, 0), -1);
	CHECK_EQ(errno, EPIPE);
	return 0;
}

/* The peer is closed without having read: what it sent can be read, then comes the error. */
static int make_reset(void)
{
	return make_stream() || close(end[0]) < 0;
}

static int check_reset(void)
{
	CHECK_EQ(recv(end[1], buf, sizeof(buf), 0), MUCH);
	CHECK_EQ(recv(end[1], buf, sizeof(buf), 0), -1);
	CHECK_EQ(errno, ECONNRESET);
	CHECK_EQ(recv(end[1], buf, sizeof(buf), 0), 0);
	return 0;
}

static int make_server_gone(void)
{
	return make_connected() || recv(more[0], buf, 9, 0) != 2 || close(more[0]) < 0 ||
	       close(end[0]) < 0;
}

static int check_server_gone(void)
{
	CHECK_EQ(recv(end[1], buf, 9, 0), 3);
	CHECK_EQ(recv(end[1], buf, 9, 0), 0);
	CHECK(unix_has_peer(end[1], "here"));
	return 0;
}

/* ---- datagrams -------------------------------------------------------------------------------- */

static int make_chain(void)
{
	end[0] = unix_bind(SOCK_DGRAM, "x");
	end[1] = unix_bind(SOCK_DGRAM, "@y");
	more[0] = unix_bind(SOCK_DGRAM, "z");
	more[1] = unix_bind(SOCK_DGRAM, "dead");
	if (unix_send_to(more[0], "x", "from z") != 6 ||
	    unix_send_to(more[1], "x", "from dead") != 9)
		return 1;
	if (unix_connect_fd(end[0], "@y") < 0 || send(end[0], "1", 1, 0) != 1 ||
	    close(more[1]) < 0 || unlink("dead") < 0)
		return 1;
	/* From here on y takes from z only. */
	return unix_connect_fd(end[1], "z") < 0 || send(end[1], "22", 2, 0) != 2;
}

static bool comes_from(int fd, const char *name, ssize_t len)
{
	struct sockaddr_un from;
	socklen_t from_len = sizeof(from);

	return recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len) ==
		       len &&
	       unix_is_name(&from, from_len, name);
}

static int check_chain(void)
{
	CHECK(comes_from(end[0], "z", 6));
	CHECK(comes_from(end[0], "dead", 9));
	CHECK(comes_from(end[1], "x", 1));
	CHECK(comes_from(more[0], "@y", 2));
	CHECK(unix_has_peer(end[0], "@y"));
	CHECK(unix_has_peer(end[1], "z"));
	CHECK_EQ(unix_send_to(more[0], "x", "no"), -1); /* it takes from y only */
	CHECK_EQ(errno, EPERM);
	return 0;
}

/* A pair of which one half turned to somebody else: the other still sends to it. */
static int make_turned(void)
{
	int error;
	socklen_t len = sizeof(error);

	more[0] = unix_bind(SOCK_DGRAM, "third");
	return socketpair(AF_UNIX, SOCK_DGRAM, 0, end) < 0 ||
	       unix_connect_fd(end[1], "third") < 0 ||
	       getsockopt(end[0], SOL_SOCKET, SO_ERROR, &error, &len) < 0;
}

static int check_turned(void)
{
	CHECK_EQ(send(end[1], "on", 2, 0), 2);
	CHECK_EQ(recv(more[0], buf, 9, MSG_DONTWAIT), 2);
	CHECK_EQ(send(end[0], "back", 4, 0), -1); /* it takes from the third only */
	CHECK_EQ(errno, EPERM);
	CHECK(unix_has_peer(end[0], ""));
	return 0;
}

static int make_datagram_gone(void)
{
	end[0] = unix_bind(SOCK_DGRAM, "server");
	end[1] = unix_connect(SOCK_DGRAM, "server");
	return end[1] < 0 || close(end[0]) < 0 || unlink("server") < 0 ||
	       socketpair(AF_UNIX, SOCK_DGRAM, 0, more) < 0 || send(more[0], "left", 4, 0) != 4 ||
	       close(more[0]) < 0;
}

/* Its address fills sun_path. */
static int make_long_gone(void)
{
	CHECK(make_long() == 0);
	end[1] = unix_connect(SOCK_DGRAM, long_name);
	return end[1] < 0 || close(end[0]) < 0 || unlink(long_name) < 0;
}

static int check_long_gone(void)
{
	CHECK(unix_has_peer(end[1], long_name));
	CHECK_EQ(send(end[1], "x", 1, 0), -1);
	CHECK_EQ(errno, ECONNREFUSED);
	return 0;
}

static int check_datagram_gone(void)
{
	CHECK(unix_has_peer(end[1], "server"));
	CHECK_EQ(send(end[1], "x", 1, 0), -1);
	CHECK_EQ(errno, ECONNREFUSED);
	CHECK_EQ(recv(more[1], buf, 9, MSG_DONTWAIT), 4);
	CHECK_EQ(send(more[1], "x", 1, 0), -1);
	CHECK_EQ(errno, ECONNREFUSED);
	return 0;
}

/* ---- out of band --------------------------------------------------------------------------------- */

static bool at_mark(int fd)
{
	int mark = 0;

	return ioctl(fd, SIOCATMARK, &mark) == 0 && mark;
}

static int make_urgent(void)
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0 || send(end[0], "abc", 3, 0) != 3 ||
	       send(end[0], "!", 1, MSG_OOB) != 1 || send(end[0], "defg", 4, 0) != 4;
}

static int check_urgent(void)
{
	CHECK_EQ(recv(end[1], buf, 9, 0), 3);
	CHECK(at_mark(end[1]));
	CHECK_EQ(recv(end[1], buf, 1, MSG_OOB), 1);
	CHECK_EQ(buf[0], '!');
	CHECK_EQ(recv(end[1], buf, 9, 0), 4);
	return 0;
}

static int make_urgent_first(void)
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0 || send(end[0], "!", 1, MSG_OOB) != 1 ||
	       send(end[0], "defg", 4, 0) != 4;
}

static int check_urgent_first(void)
{
	CHECK(at_mark(end[1]));
	CHECK_EQ(recv(end[1], buf, 1, MSG_OOB), 1);
	CHECK_EQ(buf[0], '!');
	CHECK_EQ(recv(end[1], buf, 9, 0), 4);
	return 0;
}

static int make_urgent_taken(void)
{
	return make_urgent() || recv(end[1], buf, 1, MSG_OOB) != 1;
}

static int check_urgent_taken(void)
{
	CHECK_EQ(recv(end[1], buf, 1, MSG_OOB), -1);
	CHECK_EQ(recv(end[1], buf, 9, 0), 3);
	CHECK(at_mark(end[1]));
	CHECK_EQ(recv(end[1], buf, 9, 0), 4);
	return 0;
}

static int make_urgent_inline(void)
{
	const int on = 1;

	return make_urgent() || setsockopt(end[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) < 0;
}

static int check_urgent_inline(void)
{
	CHECK_EQ(recv(end[1], buf, 9, 0), 3);
	CHECK(at_mark(end[1]));
	CHECK_EQ(recv(end[1], buf, 9, 0), 5);
	CHECK(memcmp(buf, "!defg", 5) == 0);
	return 0;
}

/* ---- options ---------------------------------------------------------------------------------- */

static const struct {
	int number;
	int value;
	int shown;
} settings[] = {
	{SO_SNDBUF, 30000, 60000}, {SO_RCVBUF, 20001, 40002}, {SO_PRIORITY, 5, 5},
	{SO_REUSEADDR, 1, 1},	   {SO_KEEPALIVE, 1, 1},      {SO_BROADCAST, 1, 1},
	{SO_OOBINLINE, 1, 1},	   {SO_PASSCRED, 1, 1},	      {SO_TIMESTAMPNS, 1, 1},
	{SO_MARK, 17, 17},	   {SO_RCVLOWAT, 3, 3},	      {SO_RXQ_OVFL, 1, 1},
	{SO_BUF_LOCK, 2, 2},	   {SO_DONTROUTE, 1, 1},      {SO_PEEK_OFF, 7, 7},
};

static struct sock_filter instructions[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 4, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 2),
	BPF_STMT(BPF_RET | BPF_K, 0xffff),
};

static int make_options(void)
{
	const struct timeval seconds = {.tv_sec = 1234, .tv_usec = 500000};
	const struct linger linger = {.l_onoff = 0, .l_linger = 9};
	const struct linger first = {.l_onoff = 1, .l_linger = 9};
	const struct sock_fprog program = {ARRAY_SIZE(instructions), instructions};
	const int on = 1;

	end[0] = unix_bind(SOCK_DGRAM, "options");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (setsockopt(end[0], SOL_SOCKET, settings[i].number, &settings[i].value,
			       sizeof(int)) < 0)
			return live_fail("option %d: %s", settings[i].number, strerror(errno));
	return setsockopt(end[0], SOL_SOCKET, SO_RCVTIMEO, &seconds, sizeof(seconds)) < 0 ||
	       setsockopt(end[0], SOL_SOCKET, SO_LINGER, &first, sizeof(first)) < 0 ||
	       setsockopt(end[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0 ||
	       setsockopt(end[0], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
	       setsockopt(end[0], SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)) < 0 ||
	       fchown(end[0], 1234, 4321) < 0;
}

static int check_options(void)
{
	struct timeval tv;
	struct linger linger;
	struct stat st;
	int value;
	socklen_t len;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		len = sizeof(value);
		CHECK_EQ(getsockopt(end[0], SOL_SOCKET, settings[i].number, &value, &len), 0);
		if (value != settings[i].shown)
			return live_fail("option %d is %d", settings[i].number, value);
	}
	len = sizeof(tv);
	CHECK_EQ(getsockopt(end[0], SOL_SOCKET, SO_RCVTIMEO, &tv, &len), 0);
	CHECK_EQ(tv.tv_sec, 1234);
	CHECK_EQ(tv.tv_usec, 500000);
	len = sizeof(linger);
	CHECK_EQ(getsockopt(end[0], SOL_SOCKET, SO_LINGER, &linger, &len), 0);
	CHECK_EQ(linger.l_onoff, 0);
	CHECK_EQ(linger.l_linger, 9);
	CHECK_EQ(setsockopt(end[0], SOL_SOCKET, SO_DETACH_FILTER, &value, sizeof(value)), -1);
	CHECK_EQ(errno, EPERM);
	CHECK_EQ(fstat(end[0], &st), 0);
	CHECK_EQ(st.st_uid, 1234);
	CHECK_EQ(st.st_gid, 4321);
	CHECK_EQ(unix_send_to(end[0], "options", "four"), 4);
	value = -1;
	CHECK_EQ(setsockopt(end[0], SOL_SOCKET, SO_PEEK_OFF, &value, sizeof(value)), 0);
	CHECK_EQ(recv(end[0], buf, 9, MSG_DONTWAIT), 2); /* the filter lets two bytes pass */
	return 0;
}

static int make_ebpf(void)
{
	return unix_attach_ebpf(end) != 0;
}

/* ---- the outside --------------------------------------------------------------------------------- */

static int make_outside_stream(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0 || unix_give_away(end[1]) != 0)
		return 1;
	return close(end[1]);
}

static int make_outside_datagrams(void)
{
	end[0] = unix_bind(SOCK_DGRAM, "outside");
	if (end[0] < 0 || unix_give_away(end[0]) != 0 || close(end[0]) < 0)
		return 1;
	end[1] = unix_connect(SOCK_DGRAM, "outside");
	return end[1] < 0;
}

/* What is outside sends back what it gets. */
static int check_outside_datagrams(void)
{
	CHECK(unix_has_peer(end[1], "outside"));
	CHECK_EQ(send(end[1], "x", 1, 0), 1);
	return 0;
}

/* ---- several processes ------------------------------------------------------------------------ */

static pid_t child;

/* A child that waits in recv() on an end that it shares with us. */
static int make_shared(void)
{
	char c;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		while (recv(end[1], &c, 1, 0) == 1) {
			c++;
			(void)send(end[1], &c, 1, 0);
		}
		_exit(7);
	}
	return child < 0 || 0;
}

static int check_shared(void)
{
	char c = 'a';
	int status;

	CHECK(same_description(getpid(), end[1], child, end[1]));
	CHECK_EQ(send(end[0], &c, 1, 0), 1);
	CHECK_EQ(recv(end[0], &c, 1, 0), 1);
	CHECK_EQ(c, 'b');
	CHECK_EQ(shutdown(end[0], SHUT_WR), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(WEXITSTATUS(status), 7);
	return 0;
}

/* The program itself is where coppice is. */
static int make_other_netns(void)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	CHECK(own >= 0);
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, end), 0);
	CHECK_EQ(setns(own, CLONE_NEWNET), 0);
	return close(own);
}

static const struct live_row rows[] = {
	{.name = "stream", .make = make_stream, .check = check_stream},
	{.name = "packets", .make = make_packets, .check = check_packets},
	{.name = "datagrams", .make = make_datagrams, .check = check_datagrams},
	{.name = "empty, seen",
	 .make = make_empty_seen,
	 .refused = "something that it has sent cannot be seen"},
	{.name = "connected", .make = make_connected, .check = check_connected},
	{.name = "listener-gone", .make = make_listener_gone, .check = check_listener_gone},
	{.name = "abstract", .make = make_abstract, .check = check_abstract},
	{.name = "autobind", .make = make_autobind, .check = check_autobind},
	{.name = "renamed", .make = make_renamed, .check = check_renamed},
	{.name = "replaced", .make = make_replaced, .check = check_replaced},
	{.name = "long", .make = make_long, .check = check_long},
	{.name = "backlog", .make = make_backlog, .check = check_backlog},
	{.name = "backlog with content",
	 .make = make_backlog_content,
	 .refused = "has received something, which only accept() could show"},
	{.name = "backlog of one that is gone",
	 .make = make_backlog_gone,
	 .refused = "is of a client that has closed it"},
	{.name = "shut", .make = make_shut, .check = check_shut},
	{.name = "gone", .make = make_gone, .check = check_gone},
	{.name = "reset", .make = make_reset, .check = check_reset},
	{.name = "server-gone", .make = make_server_gone, .check = check_server_gone},
	{.name = "chain", .make = make_chain, .check = check_chain},
	{.name = "turned", .make = make_turned, .check = check_turned},
	{.name = "long-gone", .make = make_long_gone, .check = check_long_gone},
	{.name = "datagram-gone", .make = make_datagram_gone, .check = check_datagram_gone},
	{.name = "urgent", .make = make_urgent, .check = check_urgent},
	{.name = "urgent-first", .make = make_urgent_first, .check = check_urgent_first},
	{.name = "urgent-taken", .make = make_urgent_taken, .check = check_urgent_taken},
	{.name = "urgent-inline", .make = make_urgent_inline, .check = check_urgent_inline},
	{.name = "options", .make = make_options, .check = check_options},
	{.name = "eBPF filter", .make = make_ebpf, .refused = "an eBPF program is attached to it"},
	{.name = "outside",
	 .make = make_outside_stream,
	 .refused = "is connected to a socket outside the tree"},
	{.name = "outside-datagrams",
	 .make = make_outside_datagrams,
	 .refused = "is connected to a socket outside the tree"},
	{.name = "outside-allowed",
	 .make = make_outside_datagrams,
	 .check = check_outside_datagrams,
	 .dump_options = "--ext-unix-sk"},
	{.name = "other network namespace",
	 .make = make_other_netns,
	 .refused = "a socket of another network namespace than"},
	{.name = "shared", .make = make_shared, .check = check_shared},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
