/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSG_PEEK with SO_PEEK_OFF walks through a queue without taking anything out; SO_PASSCRED shows whose
 * credentials each message has, also where the program does not want to know. Both are put back
 * (peek-guard.h).
 *
 * A peek at a stream ends where a recv() would: after bytes that came with descriptors, before bytes
 * of another sender, and before and after the byte that was sent out of band (manage_oob() in
 * net/unix/af_unix.c). From where it ends without one of the first two reasons follows where that byte
 * is, or was: the mark of one that was received already stays in the queue.
 *
 * Cannot be seen: when a message came (SO_TIMESTAMP), and empty messages that were peeked at before
 * (unix-unseen.c).
 */
#include "file/unix-queue.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "file/description.h"
#include "file/peek-guard.h"
#include "file/state.h"
#include "kernel/uapi.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum {
	FDS_MAX = 253, /* SCM_MAX_FD */
	CONTROL_MAX = CMSG_SPACE(FDS_MAX * sizeof(int)) + 1024,
	OVERFLOW_ID = 65534, /* what is shown where there is none */
	DATAGRAM_ROOM = 65536,
};

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

struct walk {
	struct collect *c;
	const struct file_probe *probe;
	Coppice__UnixSocket *msg;
	int fd;
	unsigned char *buf;
	size_t room;
};

/* One look. */
struct peek {
	bool nothing; /* the end of the queue */
	size_t len;   /* of the whole datagram, or of what is in walk.buf */
	int fds[FDS_MAX];
	size_t n_fds;
	bool message; /* not the end of file */
	struct ucred ucred;
	unsigned char sender[sizeof(struct sockaddr_un)];
	size_t sender_len;
};

static void peek_close(struct peek *peek)
{
	for (size_t i = 0; i < peek->n_fds; i++)
		close_guard(&peek->fds[i]);
	peek->n_fds = 0;
}

/* Descriptors that the kernel made for this look (SO_PASSPIDFD) are nobody's. */
static void take_control(struct msghdr *head, struct peek *peek)
{
	for (struct cmsghdr *m = CMSG_FIRSTHDR(head); m; m = CMSG_NXTHDR(head, m)) {
		size_t len = m->cmsg_len - CMSG_LEN(0);

		if (m->cmsg_level != SOL_SOCKET)
			continue;
		if (m->cmsg_type == SCM_RIGHTS) {
			peek->n_fds = MIN(len / sizeof(int), (size_t)FDS_MAX);
			memcpy(peek->fds, CMSG_DATA(m), peek->n_fds * sizeof(int));
		} else if (m->cmsg_type == SCM_CREDENTIALS && len >= sizeof(peek->ucred)) {
			memcpy(&peek->ucred, CMSG_DATA(m), sizeof(peek->ucred));
			peek->message = true;
		} else if (m->cmsg_type == SCM_PIDFD && len >= sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(m), sizeof(fd));
			close_guard(&fd);
		}
	}
}

/* Looks at what begins @offset bytes into the queue. */
static int look(struct walk *w, size_t offset, size_t room, struct peek *ret)
{
	union {
		char bytes[CONTROL_MAX];
		struct cmsghdr align;
	} control;
	struct sockaddr_un name;
	struct iovec iov = {w->buf, room};
	struct msghdr head = {
		.msg_name = &name,
		.msg_namelen = sizeof(name),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int where = (int)offset;
	ssize_t n;

	*ret = (struct peek){};
	if (setsockopt(w->fd, SOL_SOCKET, SO_PEEK_OFF, &where, sizeof(where)) < 0)
		return err_sys(w->c->ctx, -errno, "setsockopt(SO_PEEK_OFF, %d)", where);
	n = recvmsg(w->fd, &head, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	if (n < 0 && errno != EAGAIN)
		return err_sys(w->c->ctx, -errno, "recvmsg(MSG_PEEK)");
	if (n < 0) {
		ret->nothing = true;
		return 0;
	}
	take_control(&head, ret);
	if (head.msg_flags & MSG_CTRUNC) {
		peek_close(ret);
		return err_hint(
			w->c->ctx,
			err_sys(w->c->ctx, -EMFILE, "recvmsg(MSG_PEEK): not all descriptors"),
			"raise RLIMIT_NOFILE");
	}
	ret->len = (size_t)n;
	ret->nothing = n == 0 && !ret->message;
	if (head.msg_namelen > offsetof(struct sockaddr_un, sun_path)) {
		ret->sender_len = head.msg_namelen - offsetof(struct sockaddr_un, sun_path);
		memcpy(ret->sender, name.sun_path, MIN(ret->sender_len, sizeof(name.sun_path)));
	}
	return 0;
}

/* ---- from looks to messages ----------------------------------------------------------------- */

int32_t unix_pid_in_tree(const struct collect *c, pid_t pid)
{
	for (size_t i = 0; i < c->n_processes; i++)
		if (c->processes[i].pid == pid)
			return c->processes[i].msg->pid[0];
	return pid;
}

static bool same_sender(const struct ucred *a, const struct ucred *b)
{
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

static bool is_noted(const struct ucred *u)
{
	return u->pid != 0 || u->uid != OVERFLOW_ID || u->gid != OVERFLOW_ID;
}

/*
 * Numbers that are no process of the tree come back as they are: of a process that has ended, and of one
 * outside. They must mean the same to the tree as to us.
 */
static int refuse_sender(struct walk *w, const struct ucred *u)
{
	struct collect *c = w->c;
	bool known = unix_pid_in_tree(c, u->pid) != u->pid;

	if (c->rebuilt)
		return 0; /* it is no more than compared */
	for (size_t i = 0; i < c->n_processes; i++)
		known |= c->processes[i].pid == u->pid;
	if (u->pid != 0 && (known || c->processes[0].status.ns_tgid.n == 1))
		return 0;
	return collect_refuse(c, "have the program receive it before the dump",
			      "%s, fd %d (%s): a message in it is from a process that cannot be "
			      "named from within the tree (%d for coppice)",
			      collect_name(c, w->probe->process), w->probe->number, w->probe->link,
			      u->pid);
}

static int add_credentials(struct walk *w, const struct ucred *u, Coppice__UnixMessage *message)
{
	Coppice__UnixCredentials *credentials;

	if (!is_noted(u))
		return 0;
	credentials = arena_new(w->c->arena, Coppice__UnixCredentials);
	if (!credentials)
		return err_oom(w->c->ctx);
	coppice__unix_credentials__init(credentials);
	credentials->pid = unix_pid_in_tree(w->c, u->pid);
	credentials->uid = u->uid;
	credentials->gid = u->gid;
	message->credentials = credentials;
	return refuse_sender(w, u);
}

static int add_rights(struct walk *w, struct peek *peek, Coppice__UnixMessage *message)
{
	struct collect *c = w->c;

	message->rights = arena_new_n(c->arena, uint32_t, peek->n_fds);
	if (!message->rights)
		return err_oom(c->ctx);
	for (size_t i = 0; i < peek->n_fds; i++) {
		struct file_node *node;
		int fd = peek->fds[i];
		int r;

		peek->fds[i] = -EBADF;
		r = description_find_in_flight(c, w->probe, fd, &node);
		if (r < 0)
			return r;
		if (node->msg) /* else it is refused */
			message->rights[message->n_rights++] = node->msg->id;
	}
	return 0;
}

static int add_message(struct walk *w, const struct ucred *ucred, const unsigned char *data,
		       size_t len, Coppice__UnixMessage **ret)
{
	struct arena *arena = w->c->arena;
	Coppice__UnixMessage *message = arena_new(arena, Coppice__UnixMessage);
	Coppice__UnixMessage **slot;

	slot = arena_append(arena, &w->msg->queue, &w->msg->n_queue, sizeof(*slot));
	if (!message || !slot)
		return err_oom(w->c->ctx);
	coppice__unix_message__init(message);
	*slot = message;
	message->data.len = len;
	message->data.data = arena_memdup(arena, data, len);
	if (!message->data.data)
		return err_oom(w->c->ctx);
	*ret = message;
	return add_credentials(w, ucred, message);
}

/* ---- datagrams and packets ------------------------------------------------------------------ */

static int make_room(struct walk *w, size_t room)
{
	unsigned char *buf = room > w->room ? realloc(w->buf, room) : w->buf;

	if (!buf)
		return err_oom(w->c->ctx);
	w->buf = buf;
	w->room = MAX(w->room, room);
	return 0;
}

static int look_at_packet(struct walk *w, size_t offset, struct peek *ret)
{
	int r = look(w, offset, w->room, ret);

	if (r < 0 || ret->len <= w->room)
		return r;
	peek_close(ret);
	r = make_room(w, ret->len);
	return r < 0 ? r : look(w, offset, w->room, ret);
}

static int collect_packet(struct walk *w, struct peek *peek)
{
	Coppice__UnixMessage *message;
	int r = add_message(w, &peek->ucred, w->buf, peek->len, &message);

	if (r >= 0 && peek->n_fds > 0)
		r = add_rights(w, peek, message);
	if (r < 0 || w->msg->type != SOCK_DGRAM || peek->sender_len == 0)
		return r;
	message->sender.len = peek->sender_len;
	message->sender.data = arena_memdup(w->c->arena, peek->sender, peek->sender_len);
	return message->sender.data ? 0 : err_oom(w->c->ctx);
}

static int collect_packets(struct walk *w)
{
	int r = make_room(w, DATAGRAM_ROOM);

	for (size_t offset = 0; r >= 0;) {
		struct peek peek;

		r = look_at_packet(w, offset, &peek);
		if (r < 0 || peek.nothing)
			return r;
		r = collect_packet(w, &peek);
		offset += peek.len;
		peek_close(&peek);
	}
	return r;
}

/* ---- streams -------------------------------------------------------------------------------- */

static int refuse_unreadable(struct walk *w, size_t queued, size_t found)
{
	return collect_refuse(
		w->c, "have the program receive it before the dump",
		"%s, fd %d (%s): %zu bytes are queued in it, of which %zu can be seen "
		"(out-of-band data)",
		collect_name(w->c, w->probe->process), w->probe->number, w->probe->link, queued,
		found);
}

/*
 * How many of the @len bytes that a look with descriptors showed lie before those that they came with. A
 * peek shows the descriptors however little it has room for; but what was sent at once is copied as a whole
 * or not at all (unix_stream_read_generic() ends where recv_actor() fails), so a buffer that ends a
 * byte too early, at a page that is not there, ends before them.
 */
static int find_rights(struct walk *w, size_t offset, size_t len, size_t *ret_before)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = ALIGN_UP(len, page);
	struct context *ctx = w->c->ctx;
	char *map =
		mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int where = (int)offset;
	ssize_t n;
	int r = 0;

	if (map == MAP_FAILED)
		return err_sys(ctx, -errno, "mmap()");
	if (mprotect(map + size, page, PROT_NONE) < 0 ||
	    setsockopt(w->fd, SOL_SOCKET, SO_PEEK_OFF, &where, sizeof(where)) < 0)
		r = err_sys(ctx, -errno, "setsockopt(SO_PEEK_OFF, %d)", where);
	n = r < 0 ? 0 : recv(w->fd, map + size - (len - 1), len, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && errno != EFAULT)
		r = err_sys(ctx, -errno, "recv(MSG_PEEK)");
	*ret_before = n > 0 ? (size_t)n : 0;
	(void)munmap(map, size + page);
	return r;
}

static int collect_piece(struct walk *w, size_t offset, struct peek *peek)
{
	Coppice__UnixMessage *message;
	size_t before = 0;
	int r = 0;

	if (peek->n_fds == 0)
		return add_message(w, &peek->ucred, w->buf, peek->len, &message);
	r = find_rights(w, offset, peek->len, &before);
	if (r >= 0 && before > 0)
		r = add_message(w, &peek->ucred, w->buf, before, &message);
	if (r >= 0)
		r = add_message(w, &peek->ucred, w->buf + before, peek->len - before, &message);
	return r < 0 ? r : add_rights(w, peek, message);
}

/* The mark of a byte that was received out of band, in front of message @at. */
static int insert_mark(struct walk *w, size_t at, const unsigned char *byte)
{
	const struct ucred nobody = {0, OVERFLOW_ID, OVERFLOW_ID};
	Coppice__UnixMessage *mark;
	int r = add_message(w, &nobody, byte ? byte : (const unsigned char *)"", byte ? 1 : 0,
			    &mark);

	if (r < 0)
		return r;
	mark->out_of_band = true;
	mark->taken = !byte;
	memmove(&w->msg->queue[at + 1], &w->msg->queue[at],
		(w->msg->n_queue - 1 - at) * sizeof(mark));
	w->msg->queue[at] = mark;
	return 0;
}

/* The first byte of message @at was sent out of band: a message of its own. */
static int split_mark(struct walk *w, size_t at)
{
	Coppice__UnixMessage *rest = w->msg->queue[at];
	Coppice__UnixMessage *mark;
	int r = insert_mark(w, at, rest->data.data);

	if (r < 0)
		return r;
	mark = w->msg->queue[at];
	mark->credentials = rest->credentials;
	rest->data.data++;
	rest->data.len--;
	if (rest->data.len > 0)
		return 0;
	memmove(&w->msg->queue[at + 1], &w->msg->queue[at + 2],
		(w->msg->n_queue - at - 2) * sizeof(mark));
	w->msg->n_queue--;
	return 0;
}

/* What is known of out-of-band data without looking through the queue. */
struct urgent {
	bool waits; /* a byte can be received with MSG_OOB */
	unsigned char byte;
	bool in_line; /* SO_OOBINLINE: it is received as any other */
	bool first;   /* the mark is at the beginning */
};

static int look_for_urgent(struct walk *w, struct urgent *ret)
{
	int first = 0;

	*ret = (struct urgent){.in_line = w->msg->options->oob_inline != 0};
	ret->waits = recv(w->fd, &ret->byte, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) == 1;
	if (ioctl(w->fd, SIOCATMARK, &first) < 0) /* a kernel without AF_UNIX_OOB */
		first = 0;
	ret->first = first != 0;
	return 0;
}

/* @marks: messages in front of which a look ended for no other reason. */
static int place_urgent(struct walk *w, const struct urgent *u, const size_t *marks, size_t n)
{
	bool placed = false;
	int r = 0;

	for (size_t i = n; r >= 0 && i-- > 0;) {
		const Coppice__UnixMessage *message = w->msg->queue[marks[i]];
		bool here =
			!placed && (u->in_line || (u->waits && message->data.data[0] == u->byte));

		r = here ? split_mark(w, marks[i]) : insert_mark(w, marks[i], NULL);
		placed |= here;
	}
	if (r < 0 || !u->first)
		return r;
	if (u->in_line && !placed && w->msg->n_queue > 0)
		return split_mark(w, 0);
	return insert_mark(w, 0, u->waits && !placed ? &u->byte : NULL);
}

static size_t count_bytes(const Coppice__UnixSocket *msg)
{
	size_t n = 0;

	for (size_t i = 0; i < msg->n_queue; i++)
		n += msg->queue[i]->data.len;
	return n;
}

static bool has_urgent(const Coppice__UnixSocket *msg)
{
	for (size_t i = 0; i < msg->n_queue; i++)
		if (msg->queue[i]->out_of_band && !msg->queue[i]->taken)
			return true;
	return false;
}

static int collect_stream(struct walk *w)
{
	struct ucred last = {};
	bool explained = true;
	struct urgent urgent;
	size_t *marks = NULL, n_marks = 0, *slot;
	size_t end;
	int queued;
	int r;

	if (ioctl(w->fd, SIOCINQ, &queued) < 0)
		return err_sys(w->c->ctx, -errno, "ioctl(SIOCINQ)");
	r = look_for_urgent(w, &urgent);
	if (r >= 0)
		r = make_room(w, (size_t)queued + 1);
	/* Not at the end: a look there would take a pending error away. */
	end = (size_t)queued - (urgent.first && urgent.waits);
	for (size_t offset = 0; r >= 0 && offset < end;) {
		struct peek peek;

		r = look(w, offset, w->room, &peek);
		if (r < 0)
			return r;
		if (peek.nothing || peek.len == 0)
			break;
		if (!explained && same_sender(&last, &peek.ucred)) {
			slot = arena_append(w->c->arena, &marks, &n_marks, sizeof(*slot));
			if (!slot)
				r = err_oom(w->c->ctx);
			else
				*slot = w->msg->n_queue;
		}
		last = peek.ucred;
		explained = peek.n_fds > 0;
		if (r >= 0)
			r = collect_piece(w, offset, &peek);
		offset += peek.len;
		peek_close(&peek);
	}
	if (r >= 0)
		r = place_urgent(w, &urgent, marks, n_marks);
	if (r >= 0 &&
	    (count_bytes(w->msg) != (size_t)queued || (urgent.waits && !has_urgent(w->msg))))
		r = refuse_unreadable(w, (size_t)queued, count_bytes(w->msg));
	return r;
}

/* ---- both ----------------------------------------------------------------------------------- */

static int walk_guarded(struct walk *w)
{
	struct collect *c = w->c;
	const int on = 1;
	int ended, r;

	if (!c->files->peek_guard) {
		r = peek_guard_start(c->ctx, &c->files->peek_guard);
		if (r < 0)
			return r;
	}
	r = peek_guard_begin(c->ctx, c->files->peek_guard, w->fd);
	if (r < 0)
		return r;
	if (setsockopt(w->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		r = err_sys(c->ctx, -errno, "setsockopt(SO_PASSCRED)");
	if (r >= 0)
		r = w->msg->type == SOCK_STREAM ? collect_stream(w) : collect_packets(w);
	if (r < 0) {
		struct err first = c->ctx->err;

		(void)peek_guard_end(c->ctx, c->files->peek_guard, w->fd);
		c->ctx->err = first;
		return r;
	}
	ended = peek_guard_end(c->ctx, c->files->peek_guard, w->fd);
	return ended < 0 ? ended : r;
}

int unix_queue_collect(struct collect *c, const struct file_probe *probe, Coppice__UnixSocket *msg)
{
	_cleanup_close_ int fd = -EBADF;
	struct walk w = {.c = c, .probe = probe, .msg = msg};
	int r = file_probe_dup(c, probe, &fd);

	if (r < 0)
		return r;
	w.fd = fd;
	r = walk_guarded(&w);
	free(w.buf);
	return r;
}
