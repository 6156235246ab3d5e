/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard waits at a socket of which this process has the other end, and which nobody else has: its
 * end of file is this process's end. It has nothing else open, does not react to what a terminal
 * sends, and ends by itself.
 */
#include "file/peek-guard.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/context.h"

struct options {
	int peek_offset;
	int pass_credentials; /* -1: it is no option of this socket */
};

struct peek_guard {
	pid_t pid;
	int socket; /* owned */
	struct options saved;
};

/* ---- the guard's own ------------------------------------------------------------------------ */

static int set_options(int fd, const struct options *o)
{
	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &o->peek_offset, sizeof(int)) < 0)
		return -errno;
	if (o->pass_credentials >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &o->pass_credentials, sizeof(int)) < 0)
		return -errno;
	return 0;
}

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* A message: the options and, at the beginning, the descriptor. The length, or <= 0 at the end. */
static ssize_t receive(int socket, struct options *ret_options, int *ret_fd)
{
	union control control = {};
	struct iovec iov = {ret_options, sizeof(*ret_options)};
	struct msghdr head = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(socket, &head, MSG_CMSG_CLOEXEC);

	*ret_fd = -EBADF;
	if (n > 0 && head.msg_controllen >= sizeof(control.bytes) &&
	    control.align.cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(&control.align), sizeof(int));
	return n;
}

static _noreturn_ void watch(int socket)
{
	struct options saved = {};
	int guarded = -EBADF;

	(void)setsid(); /* a leader cannot be: it was forked just now */
	if (socket != 3 && dup2(socket, 3) != 3)
		_exit(1);
	(void)syscall(SYS_close_range, 0U, 2U, 0U);
	(void)syscall(SYS_close_range, 4U, ~0U, 0U);
	for (;;) {
		struct options options;
		int fd;

		if (receive(3, &options, &fd) <= 0)
			break;
		close_guard(&guarded);
		guarded = fd;
		saved = options;
		if (fd >= 0 && write(3, "", 1) != 1)
			break;
	}
	if (guarded >= 0)
		(void)set_options(guarded, &saved); /* nobody is left to be told */
	_exit(0);
}

/* ---- this side ----------------------------------------------------------------------------- */

int peek_guard_start(struct context *ctx, struct peek_guard **ret_guard)
{
	struct peek_guard *guard = calloc(1, sizeof(*guard));
	sigset_t all, before;
	int pair[2], r;

	if (!guard)
		return err_oom(ctx);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = err_sys(ctx, -errno, "socketpair()");
		free(guard);
		return r;
	}
	/* It keeps them blocked. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	guard->pid = fork();
	if (guard->pid == 0)
		watch(pair[1]);
	r = guard->pid < 0 ? -errno : 0;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)close(pair[1]);
	guard->socket = pair[0];
	if (r < 0) {
		r = err_sys(ctx, r, "fork()");
		close_guard(&guard->socket);
		free(guard);
		return r;
	}
	*ret_guard = guard;
	return 0;
}

void peek_guard_stop(struct peek_guard *guard)
{
	if (!guard)
		return;
	close_guard(&guard->socket);
	while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(guard);
}

void peek_guard_stopp(struct peek_guard **guard)
{
	peek_guard_stop(*guard);
}

static int get_options(int fd, struct options *ret)
{
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &ret->peek_offset, &len) < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &ret->pass_credentials, &len) >= 0)
		return 0;
	ret->pass_credentials = -1;
	return errno == EOPNOTSUPP ? 0 : -errno;
}

/* @fd < 0: nothing is guarded any more. */
static int tell(struct peek_guard *guard, int fd)
{
	union control control = {};
	struct iovec iov = {&guard->saved, sizeof(guard->saved)};
	struct msghdr head = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		head.msg_control = control.bytes;
		head.msg_controllen = sizeof(control.bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(int));
	}
	return sendmsg(guard->socket, &head, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int peek_guard_begin(struct context *ctx, struct peek_guard *guard, int fd)
{
	char answer;
	int r = get_options(fd, &guard->saved);

	if (r < 0)
		return err_sys(ctx, r, "getsockopt(SO_PEEK_OFF)");
	r = tell(guard, fd);
	if (r < 0)
		return err_sys(ctx, r, "telling the guard of a socket's options");
	if (read(guard->socket, &answer, 1) != 1)
		return err_msg(ctx, -EPIPE, "the guard of a socket's options has died");
	return 0;
}

int peek_guard_end(struct context *ctx, struct peek_guard *guard, int fd)
{
	int r = set_options(fd, &guard->saved);

	if (r < 0)
		return err_sys(ctx, r, "setsockopt(SO_PEEK_OFF) back to %d",
			       guard->saved.peek_offset);
	r = tell(guard, -1);
	return r < 0 ? err_sys(ctx, r, "telling the guard of a socket's options") : 0;
}
