/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What travels through unix sockets besides bytes: descriptors in flight, which may be all that there is of an
 * open file, cycles of them, senders' credentials; and whose credentials a socket itself shows.
 */
#include "live.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fd.h"
#include "kernel/uapi.h"
#include "unix.h"
#include "util/macro.h"

static char buf[100000];
static int end[2], other[2], pipe_end[2];

/* ---- sending and receiving --------------------------------------------------------------------- */

struct parcel {
	int fds[4];
	size_t n_fds;
	struct ucred ucred;
	bool has_ucred;
};

static ssize_t send_parcel(int fd, const char *text, const struct parcel *p)
{
	union {
		char bytes[256];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = {(char *)text, strlen(text)};
	struct msghdr head = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
	struct cmsghdr *m = &control.align;

	if (p->n_fds > 0) {
		m->cmsg_level = SOL_SOCKET;
		m->cmsg_type = SCM_RIGHTS;
		m->cmsg_len = CMSG_LEN(p->n_fds * sizeof(int));
		memcpy(CMSG_DATA(m), p->fds, p->n_fds * sizeof(int));
		head.msg_controllen = CMSG_SPACE(p->n_fds * sizeof(int));
	}
	if (p->has_ucred) {
		m = (struct cmsghdr *)(control.bytes + head.msg_controllen);
		m->cmsg_level = SOL_SOCKET;
		m->cmsg_type = SCM_CREDENTIALS;
		m->cmsg_len = CMSG_LEN(sizeof(struct ucred));
		memcpy(CMSG_DATA(m), &p->ucred, sizeof(p->ucred));
		head.msg_controllen += CMSG_SPACE(sizeof(struct ucred));
	}
	return sendmsg(fd, &head, 0);
}

static ssize_t receive(int fd, size_t room, struct parcel *ret)
{
	union {
		char bytes[256];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = {buf, room};
	struct msghdr head = {.msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &head, MSG_DONTWAIT);

	*ret = (struct parcel){};
	for (struct cmsghdr *m = n >= 0 ? CMSG_FIRSTHDR(&head) : NULL; m;
	     m = CMSG_NXTHDR(&head, m)) {
		if (m->cmsg_type == SCM_RIGHTS) {
			ret->n_fds = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(ret->fds, CMSG_DATA(m), MIN(ret->n_fds, (size_t)4) * sizeof(int));
		} else if (m->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&ret->ucred, CMSG_DATA(m), sizeof(ret->ucred));
			ret->has_ucred = true;
		}
	}
	return n;
}

static int pass_credentials(int fd)
{
	const int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
}

/* ---- descriptors in flight ----------------------------------------------------------------------- */

/* Both ends of a pipe with content, of which nobody has a descriptor. */
static int make_pipe(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0 || pipe(pipe_end) < 0 ||
	    write(pipe_end[1], "inside", 6) != 6 || send(end[0], "before", 6, 0) != 6)
		return 1;
	if (send_parcel(end[0], "with", &(struct parcel){{pipe_end[0], pipe_end[1]}, 2}) != 4 ||
	    send(end[0], "after", 5, 0) != 5)
		return 1;
	return close(pipe_end[0]) | close(pipe_end[1]);
}

static int check_pipe(void)
{
	struct parcel got;

	CHECK_EQ(receive(end[1], 6, &got), 6);
	CHECK_EQ(got.n_fds, 0);
	CHECK_EQ(receive(end[1], 50, &got), 4);
	CHECK(memcmp(buf, "with", 4) == 0);
	CHECK_EQ(got.n_fds, 2);
	CHECK_EQ(read(got.fds[0], buf, 50), 6);
	CHECK(memcmp(buf, "inside", 6) == 0);
	CHECK_EQ(write(got.fds[1], "x", 1), 1);
	CHECK_EQ(read(got.fds[0], buf, 50), 1);
	CHECK_EQ(close(got.fds[1]), 0);
	CHECK_EQ(read(got.fds[0], buf, 50), 0);
	CHECK_EQ(receive(end[1], 50, &got), 5);
	CHECK_EQ(got.n_fds, 0);
	return 0;
}

/* One that is open as well, twice in one message and once in another. */
static int make_shared(void)
{
	end[0] = unix_bind(SOCK_DGRAM, "a");
	end[1] = unix_connect(SOCK_DGRAM, "a");
	if (end[1] < 0 || pipe(pipe_end) < 0)
		return 1;
	return send_parcel(end[1], "1", &(struct parcel){{pipe_end[1], pipe_end[1]}, 2}) != 1 ||
	       send_parcel(end[1], "2", &(struct parcel){{pipe_end[1]}, 1}) != 1;
}

static int check_shared(void)
{
	struct parcel first, second;

	CHECK_EQ(receive(end[0], 9, &first), 1);
	CHECK_EQ(first.n_fds, 2);
	CHECK_EQ(receive(end[0], 9, &second), 1);
	CHECK_EQ(second.n_fds, 1);
	CHECK(same_description(getpid(), first.fds[0], getpid(), pipe_end[1]));
	CHECK(same_description(getpid(), first.fds[1], getpid(), pipe_end[1]));
	CHECK(same_description(getpid(), second.fds[0], getpid(), pipe_end[1]));
	return 0;
}

/* A file and a memfd, with their offsets. */
static int make_files(void)
{
	int file = open("file", O_RDWR | O_CREAT, 0644);
	int memory = memfd_create("in flight", 0);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, end) < 0 || write(file, "content", 7) != 7 ||
	    write(memory, "memory", 6) != 6 || lseek(memory, 2, SEEK_SET) != 2)
		return 1;
	if (send_parcel(end[0], "f", &(struct parcel){{file, memory}, 2}) != 1 ||
	    unlink("file") < 0)
		return 1;
	return close(file) | close(memory);
}

static int check_files(void)
{
	struct parcel got;

	CHECK_EQ(receive(end[1], 9, &got), 1);
	CHECK_EQ(got.n_fds, 2);
	CHECK_EQ(lseek(got.fds[0], 0, SEEK_CUR), 7);
	CHECK_EQ(pread(got.fds[0], buf, 50, 0), 7);
	CHECK(memcmp(buf, "content", 7) == 0);
	CHECK_EQ(read(got.fds[1], buf, 50), 4);
	CHECK(memcmp(buf, "mory", 4) == 0);
	return 0;
}

/*
 * A half of each pair is in flight in the other: to get at one, the other must be read first. And one is in
 * flight in itself.
 */
static int make_cycle(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, other) < 0)
		return 1;
	return send_parcel(end[0], "to", &(struct parcel){{other[1], end[1]}, 2}) != 2 ||
	       send_parcel(other[0], "fro", &(struct parcel){{end[1]}, 1}) != 3 ||
	       close(other[1]) < 0;
}

static int check_cycle(void)
{
	struct parcel got, inner;

	CHECK_EQ(receive(end[1], 9, &got), 2);
	CHECK_EQ(got.n_fds, 2);
	CHECK(same_description(getpid(), got.fds[1], getpid(), end[1]));
	CHECK_EQ(receive(got.fds[0], 9, &inner), 3);
	CHECK_EQ(inner.n_fds, 1);
	CHECK(same_description(getpid(), inner.fds[0], getpid(), end[1]));
	CHECK_EQ(send(end[0], "x", 1, 0), 1);
	CHECK_EQ(recv(inner.fds[0], buf, 9, MSG_DONTWAIT), 1);
	CHECK_EQ(send(other[0], "y", 1, 0), 1);
	CHECK_EQ(recv(got.fds[0], buf, 9, MSG_DONTWAIT), 1);
	return 0;
}

/* Sockets in sockets in a socket, the innermost with content. */
static int make_nested(void)
{
	int inner[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, other) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, inner) < 0 || send(inner[0], "deep", 4, 0) != 4)
		return 1;
	if (send_parcel(other[0], "i", &(struct parcel){{inner[0], inner[1]}, 2}) != 1 ||
	    send_parcel(end[0], "o", &(struct parcel){{other[0], other[1]}, 2}) != 1)
		return 1;
	for (int i = 0; i < 2; i++)
		if (close(inner[i]) < 0 || close(other[i]) < 0)
			return 1;
	return 0;
}

static int check_nested(void)
{
	struct parcel outer, inner;

	CHECK_EQ(receive(end[1], 9, &outer), 1);
	CHECK_EQ(outer.n_fds, 2);
	CHECK_EQ(receive(outer.fds[1], 9, &inner), 1);
	CHECK_EQ(inner.n_fds, 2);
	CHECK_EQ(recv(inner.fds[1], buf, 9, MSG_DONTWAIT), 4);
	CHECK_EQ(send(inner.fds[1], "up", 2, 0), 2);
	CHECK_EQ(recv(inner.fds[0], buf, 9, MSG_DONTWAIT), 2);
	return 0;
}

static int make_outside(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0 || pipe(pipe_end) < 0 ||
	    unix_give_away(pipe_end[0]) != 0 || close(pipe_end[0]) < 0)
		return 1;
	return send_parcel(end[0], "p", &(struct parcel){{pipe_end[1]}, 1}) != 1 ||
	       close(pipe_end[1]) < 0;
}

static int make_locked(void)
{
	const struct flock lock = {.l_type = F_WRLCK};
	int file = open("locked", O_RDWR | O_CREAT, 0644);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0 || fcntl(file, F_OFD_SETLK, &lock) < 0)
		return 1;
	return send_parcel(end[0], "l", &(struct parcel){{file}, 1}) != 1 || close(file) < 0;
}

/* ---- senders' credentials ------------------------------------------------------------------------ */

static pid_t child, dead;

/* A child, somebody who is dead, and ourselves as somebody else send, with and without the receiver's wish. */
static int make_senders(void)
{
	int status;

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, end) < 0 || send(end[0], "0", 1, 0) != 1 ||
	    pass_credentials(end[1]) < 0 || send(end[0], "1", 1, 0) != 1)
		return 1;
	dead = fork();
	if (dead == 0) {
		if (setresgid(77, 77, 77) < 0 || setresuid(66, 66, 66) < 0)
			_exit(1);
		_exit(send(end[0], "2", 1, 0) != 1);
	}
	if (waitpid(dead, &status, 0) != dead || status != 0)
		return 1;
	return send_parcel(end[0], "3",
			   &(struct parcel){.has_ucred = true, .ucred = {getpid(), 5, 6}}) != 1;
}

static int check_senders(void)
{
	static const struct ucred nobody = {0, 65534, 65534};
	struct parcel got;

	CHECK_EQ(receive(end[1], 9, &got), 1);
	CHECK(got.has_ucred && memcmp(&got.ucred, &nobody, sizeof(nobody)) == 0);
	CHECK_EQ(receive(end[1], 9, &got), 1);
	CHECK_EQ(got.ucred.pid, getpid());
	CHECK_EQ(got.ucred.uid, 0);
	CHECK_EQ(receive(end[1], 9, &got), 1);
	CHECK_EQ(got.ucred.pid, dead);
	CHECK_EQ(got.ucred.uid, 66);
	CHECK_EQ(got.ucred.gid, 77);
	CHECK_EQ(receive(end[1], 9, &got), 1);
	CHECK_EQ(got.ucred.pid, getpid());
	CHECK_EQ(got.ucred.uid, 5);
	CHECK_EQ(got.ucred.gid, 6);
	return 0;
}

/* Noted because the sender passes them; the receiver asks for them after the restore only. */
static int make_stream_senders(void)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0 || pass_credentials(end[0]) < 0 ||
	    send(end[0], "self", 4, 0) != 4)
		return 1;
	return send_parcel(end[0], "else",
			   &(struct parcel){.has_ucred = true, .ucred = {getpid(), 5, 6}}) != 4;
}

static int check_stream_senders(void)
{
	struct parcel got;

	CHECK_EQ(pass_credentials(end[1]), 0);
	CHECK_EQ(receive(end[1], 50, &got), 4);
	CHECK_EQ(got.ucred.pid, getpid());
	CHECK_EQ(got.ucred.uid, 0);
	CHECK_EQ(receive(end[1], 50, &got), 4);
	CHECK_EQ(got.ucred.uid, 5);
	return 0;
}

/* ---- a socket's own ---------------------------------------------------------------------------- */

static int check_peer(int fd, pid_t pid, uid_t uid, gid_t gid, size_t n_groups)
{
	struct ucred who;
	gid_t groups[8];
	socklen_t len = sizeof(who);

	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len), 0);
	CHECK_EQ(who.pid, pid);
	CHECK_EQ(who.uid, uid);
	CHECK_EQ(who.gid, gid);
	len = sizeof(groups);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len), 0);
	CHECK_EQ(len / sizeof(gid_t), n_groups);
	for (size_t i = 0; n_groups == 2 && i < n_groups; i++)
		CHECK_EQ(groups[i], 100 + i);
	return 0;
}

static void be_user(void)
{
	static const gid_t groups[] = {100, 101};

	if (setgroups(2, groups) < 0 || setresgid(77, 77, 77) < 0 || setresuid(66, 66, 66) < 0)
		_exit(1);
}

/* A child, of another user, connects to us; the listening socket may be written to by root only. */
static int make_client(void)
{
	end[0] = unix_listen(SOCK_STREAM, "server", 3);
	if (end[0] < 0 || chmod("server", 0777) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		be_user();
		end[1] = unix_connect(SOCK_STREAM, "server");
		for (;;)
			(void)pause();
	}
	other[0] = accept(end[0], NULL, NULL);
	return other[0] < 0 || chmod("server", 0700) < 0;
}

static int check_client(void)
{
	CHECK(check_peer(other[0], child, 66, 77, 2) == 0);
	CHECK_EQ(send(other[0], "x", 1, 0), 1);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	CHECK_EQ(recv(other[0], buf, 9, 0), -1);
	CHECK_EQ(errno, ECONNRESET);
	return 0;
}

/* The child listens and has gone on to be somebody else. */
static int make_server(void)
{
	char c;
	int ready[2];

	if (pipe(ready) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		int fd = unix_listen(SOCK_STREAM, "@live-scm", 3);

		(void)close(ready[0]);
		(void)accept(fd, NULL, NULL);
		be_user();
		(void)close(ready[1]);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	do
		end[0] = unix_connect(SOCK_STREAM, "@live-scm");
	while (end[0] < 0 && errno == ECONNREFUSED);
	return read(ready[0], &c, 1) != 0 || close(ready[0]) < 0 || end[0] < 0;
}

static int check_server(void)
{
	CHECK(check_peer(end[0], child, 0, 0, (size_t)getgroups(0, NULL)) == 0);
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	return 0;
}

/* A pair made by a process that is dead now. */
static int make_dead_pair(void)
{
	int pair[2], status;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, other) < 0)
		return 1;
	dead = fork();
	if (dead == 0) {
		be_user();
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
			_exit(1);
		_exit(send_parcel(other[1], "p", &(struct parcel){{pair[0], pair[1]}, 2}) != 1);
	}
	if (waitpid(dead, &status, 0) != dead || status != 0)
		return 1;
	{
		struct parcel got;

		if (receive(other[0], 9, &got) != 1 || got.n_fds != 2)
			return 1;
		end[0] = got.fds[0];
		end[1] = got.fds[1];
	}
	return 0;
}

static int check_dead_pair(void)
{
	CHECK(check_peer(end[0], dead, 66, 77, 2) == 0);
	CHECK(check_peer(end[1], dead, 66, 77, 2) == 0);
	CHECK_EQ(send(end[0], "x", 1, 0), 1);
	CHECK_EQ(recv(end[1], buf, 9, 0), 1);
	return 0;
}

static const struct live_row rows[] = {
	{.name = "pipe", .make = make_pipe, .check = check_pipe},
	{.name = "shared", .make = make_shared, .check = check_shared},
	{.name = "files", .make = make_files, .check = check_files},
	{.name = "cycle", .make = make_cycle, .check = check_cycle},
	{.name = "nested", .make = make_nested, .check = check_nested},
	{.name = "outside", .make = make_outside, .refused = "open outside the tree"},
	{.name = "locked", .make = make_locked, .refused = "is in flight in it"},
	{.name = "senders", .make = make_senders, .check = check_senders},
	{.name = "stream-senders", .make = make_stream_senders, .check = check_stream_senders},
	{.name = "client", .make = make_client, .check = check_client},
	{.name = "server", .make = make_server, .check = check_server},
	{.name = "dead-pair", .make = make_dead_pair, .check = check_dead_pair},
};

int main(int argc, char **argv)
{
	return live_main(argc, argv, rows, ARRAY_SIZE(rows));
}
