/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user namespace belongs to the effective user of who makes it, and is a child of the one that he is
 * in. Its maps are best written by somebody privileged in the parent namespace: whoever opens
 * uid_map must be there, or within (map_write() in kernel/user_namespace.c), and only the former may
 * write any map. So two children of the coordinator's join the parent: the *maker* takes the owner's
 * ids and makes the namespace, the *writer*, whose child the maker is, writes.
 */
#include "ns/user-make.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/io.h"
#include "util/strbuf.h"

struct making {
	const Coppice__UserNs *msg;
	const Coppice__UserNs *parent;
	int parent_fd;
};

/* What the writer tells the coordinator. */
struct reply {
	int error; /* 0, or -errno of @what */
	char what[60];
	pid_t maker; /* who is in the new namespace, until the socket is closed */
};

/* ---- in the children ----------------------------------------------------------------------- */

static _noreturn_ void fail(int socket, const char *what)
{
	struct reply reply = {.error = -errno};

	(void)snprintf(reply.what, sizeof(reply.what), "%s", what);
	(void)io_write_all(socket, &reply, sizeof(reply)); /* else the coordinator sees the end */
	_exit(1);
}

/*
 * Lives until the writer is gone. The group cannot be seen later, but has to be one that the parent
 * maps. Dumpable, or its files were root's, whom the parent may not map.
 */
static _noreturn_ void be_maker(const struct making *m, int socket, int ready, int end)
{
	gid_t gid = m->parent && m->parent->n_gid_map ? m->parent->gid_map[0]->inside : getegid();
	uid_t uid = m->msg->owner_uid;
	char byte = 0;

	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
		fail(socket, "prctl(PR_SET_SECUREBITS)");
	if (syscall(SYS_setresgid, gid, gid, gid) < 0)
		fail(socket, "setresgid() to a group of the parent's");
	if (syscall(SYS_setresuid, uid, uid, uid) < 0)
		fail(socket, "setresuid() to the owner");
	if (unshare(CLONE_NEWUSER) < 0)
		fail(socket, "unshare(CLONE_NEWUSER)");
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		fail(socket, "prctl(PR_SET_DUMPABLE)");
	if (io_write_all(ready, &byte, 1) == 0)
		(void)!read(end, &byte, 1);
	_exit(0);
}

static int write_file(int dir, const char *name, const char *text, size_t len)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, len) == (ssize_t)len ? 0 : -errno;
}

static void write_map(int socket, int dir, const char *name, Coppice__IdMap *const *map, size_t n)
{
	_cleanup_strbuf_ struct strbuf text = {};

	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		strbuf_printf(&text, "%u %u %u\n", map[i]->inside, map[i]->outside, map[i]->count);
	errno = -write_file(dir, name, strbuf_text(&text), text.len);
	if (errno != 0)
		fail(socket, name);
}

/* Setgroups can be denied only before there is a map of groups. */
static void write_all(const Coppice__UserNs *msg, int socket, pid_t maker)
{
	char path[32];
	int dir;

	(void)snprintf(path, sizeof(path), "/proc/%d", maker);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		fail(socket, path);
	if (msg->setgroups_denied) {
		errno = -write_file(dir, "setgroups", "deny", 4);
		if (errno != 0)
			fail(socket, "setgroups");
	}
	write_map(socket, dir, "uid_map", msg->uid_map, msg->n_uid_map);
	write_map(socket, dir, "gid_map", msg->gid_map, msg->n_gid_map);
	write_map(socket, dir, "projid_map", msg->projid_map, msg->n_projid_map);
	(void)close(dir); /* O_PATH */
}

static _noreturn_ void be_writer(const struct making *m, int socket)
{
	struct reply reply = {.error = 0};
	int ready[2], end[2];
	char byte;

	if (m->parent_fd >= 0 && setns(m->parent_fd, CLONE_NEWUSER) < 0)
		fail(socket, "setns(CLONE_NEWUSER)");
	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(end, O_CLOEXEC) < 0)
		fail(socket, "pipe2()");
	reply.maker = fork();
	if (reply.maker < 0)
		fail(socket, "fork()");
	if (reply.maker == 0) {
		(void)close(ready[0]);
		(void)close(end[1]);
		be_maker(m, socket, ready[1], end[0]);
	}
	(void)close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		_exit(1); /* the maker has told why */
	write_all(m->msg, socket, reply.maker);
	if (io_write_all(socket, &reply, sizeof(reply)) == 0)
		(void)!read(socket, &byte, 1); /* the coordinator has opened it, or is gone */
	(void)close(end[1]);
	(void)waitpid(reply.maker, NULL, 0);
	_exit(0);
}

/* ---- in the coordinator -------------------------------------------------------------------- */

static int take_reply(struct context *ctx, int socket, int *ret_fd)
{
	struct reply reply;
	char path[48];
	int fd;

	if (recv(socket, &reply, sizeof(reply), MSG_WAITALL) != (ssize_t)sizeof(reply))
		return err_msg(ctx, -EIO, "a process of coppice's own died at its start");
	reply.what[sizeof(reply.what) - 1] = '\0';
	if (reply.error < 0)
		return err_sys(ctx, reply.error, "%s", reply.what);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", reply.maker);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(ctx, -errno, "open(%s)", path);
	*ret_fd = fd;
	return 0;
}

int user_ns_make(struct context *ctx, const Coppice__UserNs *msg, const Coppice__UserNs *parent,
		 int parent_fd, int *ret_fd)
{
	const struct making making = {msg, parent, parent_fd};
	_cleanup_close_ int near = -EBADF, far = -EBADF;
	int sockets[2], r;
	pid_t writer;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_sys(ctx, -errno, "socketpair()");
	near = sockets[0];
	far = sockets[1];
	writer = fork();
	if (writer < 0)
		return err_sys(ctx, -errno, "fork()");
	if (writer == 0) {
		(void)close(near);
		be_writer(&making, far);
	}
	close_guard(&far);
	far = -EBADF;
	r = take_reply(ctx, near, ret_fd);
	close_guard(&near);
	near = -EBADF;
	while (waitpid(writer, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}
