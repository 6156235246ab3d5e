/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending again what was queued in a unix socket: through the other end, and where nobody has that any
 * more, through its stand-in; datagrams through whoever has the sender's address. Credentials go with a
 * message only where they were noted: neither side has SO_PASSCRED as yet, and root may name others'
 * (scm_check_creds()), if only there is a process of that number.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file/unix.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum { FDS_MAX = 253 };

/* ---- one message ---------------------------------------------------------------------------- */

static pid_t number_here(const struct rebuild *r, int32_t number)
{
	for (size_t i = 0; i < r->n_processes; i++)
		if (r->processes[i].msg->pid[0] == number)
			return r->processes[i].pid;
	return number;
}

struct parcel {
	union {
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr head;
};

static void add_control(struct parcel *p, int type, const void *data, size_t len)
{
	struct cmsghdr *m = (struct cmsghdr *)(p->control.bytes + p->head.msg_controllen);

	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = type;
	m->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(m), data, len);
	p->head.msg_control = p->control.bytes;
	p->head.msg_controllen += CMSG_SPACE(len);
}

static void pack(struct rebuild *r, const Coppice__UnixMessage *message, struct parcel *p)
{
	int fds[FDS_MAX];

	memset(p, 0, sizeof(*p));
	p->iov = (struct iovec){message->data.data, message->data.len};
	p->head.msg_iov = &p->iov;
	p->head.msg_iovlen = 1;
	for (size_t i = 0; i < message->n_rights; i++)
		fds[i] = r->files[message->rights[i] - 1].fd;
	if (message->n_rights > 0)
		add_control(p, SCM_RIGHTS, fds, message->n_rights * sizeof(int));
	if (message->credentials) {
		const struct ucred ucred = {
			.pid = number_here(r, message->credentials->pid),
			.uid = message->credentials->uid,
			.gid = message->credentials->gid,
		};

		add_control(p, SCM_CREDENTIALS, &ucred, sizeof(ucred));
	}
}

/* @target: NULL: to what @fd is connected to. A stream may take it in pieces. */
static int send_parcel(struct rebuild *r, int fd, struct parcel *p,
		       const struct unix_target *target, int flags)
{
	if (target) {
		p->head.msg_name = (void *)&target->address;
		p->head.msg_namelen = target->len;
	}
	do {
		ssize_t n = sendmsg(fd, &p->head, MSG_DONTWAIT | MSG_NOSIGNAL | flags);

		if (n < 0)
			return err_sys(r->ctx, -errno, "sendmsg() of %zu bytes", p->iov.iov_len);
		p->iov.iov_base = (char *)p->iov.iov_base + n;
		p->iov.iov_len -= (size_t)n;
		p->head.msg_control = NULL;
		p->head.msg_controllen = 0;
	} while (p->iov.iov_len > 0);
	return 0;
}

static int send_message(struct rebuild *r, int fd, const Coppice__UnixMessage *message,
			const struct unix_target *target, int flags)
{
	struct unix_stand_in sender = {.pipe = -EBADF};
	struct parcel parcel;
	int result = 0;

	pack(r, message, &parcel);
	if (message->credentials)
		result = unix_stand_in_start(r, number_here(r, message->credentials->pid), &sender);
	if (result >= 0)
		result = send_parcel(r, fd, &parcel, target, flags);
	unix_stand_in_end(&sender);
	return result;
}

/* ---- streams and packets ------------------------------------------------------------------- */

/* Of a byte that was received already the mark is left: so it is received. */
static int send_mark(struct rebuild *r, int from, int to)
{
	char byte = 0;

	if (send(from, &byte, 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		return err_sys(r->ctx, -errno, "send(MSG_OOB)");
	if (recv(to, &byte, 1, MSG_OOB | MSG_DONTWAIT) != 1)
		return err_sys(r->ctx, -errno, "recv(MSG_OOB)");
	return 0;
}

static int fill_connected(struct rebuild *r, const Coppice__UnixSocket *msg, int from, int to)
{
	int result = 0;

	for (size_t i = 0; result >= 0 && i < msg->n_queue; i++) {
		const Coppice__UnixMessage *message = msg->queue[i];

		if (message->taken)
			result = send_mark(r, from, to);
		else
			result = send_message(r, from, message, NULL,
					      message->out_of_band ? MSG_OOB : 0);
	}
	return result;
}

/* ---- datagrams ----------------------------------------------------------------------------- */

static bool has_address(const Coppice__UnixSocket *msg, const ProtobufCBinaryData *address)
{
	if (!msg->name)
		return address->len == 0;
	return msg->name->address.len == address->len &&
	       memcmp(msg->name->address.data, address->data, address->len) == 0;
}

/* A socket of the tree with the sender's address that may send to @file; or -EBADF. */
static int find_sender(struct rebuild *r, const Coppice__File *file,
		       const ProtobufCBinaryData *address)
{
	for (size_t i = 0; i < r->n_files; i++) {
		const Coppice__File *other = r->files[i].msg;

		if (other->kind_case == COPPICE__FILE__KIND_UNIX_SOCKET &&
		    other->unix_socket->type == SOCK_DGRAM &&
		    has_address(other->unix_socket, address) &&
		    (address->len > 0 || other->unix_socket->peer == file->id))
			return unix_fd(r, other->id);
	}
	return -EBADF;
}

/* Somebody with that address who has closed the socket since. */
static int new_sender(struct rebuild *r, const ProtobufCBinaryData *address, int *ret_fd)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int result;

	if (fd < 0)
		return err_sys(r->ctx, -errno, "socket(AF_UNIX)");
	result = address->len > 0 ? unix_address_bind(r, fd, address) : 0;
	if (result >= 0)
		*ret_fd = TAKE_FD(fd);
	return result;
}

static int fill_datagram(struct rebuild *r, const Coppice__File *file,
			 const Coppice__UnixMessage *message, const struct unix_target *target)
{
	const struct rebuild_unix *u = unix_rebuild(r, file->id);
	_cleanup_close_ int own = -EBADF;
	int from = find_sender(r, file, &message->sender);
	int result;

	if (from < 0 && u->partner >= 0 && !target)
		from = u->partner;
	if (from < 0) {
		result = new_sender(r, &message->sender, &own);
		if (result < 0)
			return result;
		from = own;
	}
	return send_message(r, from, message, target, 0);
}

static int fill_datagrams(struct rebuild *r, const Coppice__File *file, int fd)
{
	_cleanup_(unix_target_deinit) struct unix_target target = {.file = -EBADF};
	const Coppice__UnixSocket *msg = file->unix_socket;
	int result = msg->name ? unix_target_init(r->ctx, fd, &msg->name->address, &target) : 0;

	for (size_t i = 0; result >= 0 && i < msg->n_queue; i++)
		result = fill_datagram(r, file, msg->queue[i], msg->name ? &target : NULL);
	return result;
}

int unix_fill(struct rebuild *r, const Coppice__File *file, int fd)
{
	const Coppice__UnixSocket *msg = file->unix_socket;
	int from, result;

	if (msg->n_queue == 0)
		return 0;
	from = msg->peer ? unix_fd(r, msg->peer) : unix_rebuild(r, file->id)->partner;
	result = msg->type == SOCK_DGRAM ? fill_datagrams(r, file, fd)
					 : fill_connected(r, msg, from, fd);
	return result < 0 ? err_while(r->ctx, result, "sending what was queued") : 0;
}
