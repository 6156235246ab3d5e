/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors out of puppets and into them.
 *
 * Out: pidfd_getfd(2), without the puppet's help. In: there is no such call, so the descriptors
 * travel with a message (SCM_RIGHTS) through the doorbell's socket, which a table of one recvmsg()
 * takes up. The kernel carries at most SCM_MAX_FD (253) at a time, and when the puppet's table is
 * full it installs as many as it can and sets MSG_CTRUNC: then those are closed again.
 *
 * A running program must not keep a descriptor of ours if we die, so it is lent one at a time: the
 * kernel writes the number into the door of the task that waits in the loop, which closes it on its
 * way home.
 */
#include "puppet/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/sys.h"
#include "puppet/loop.h"
#include "puppet/puppet.h"
#include "puppet/stub/door.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"
#include "util/macro.h"

enum { FDS_AT_ONCE = 253 };

int puppet_pidfd(struct context *ctx, struct puppet *p, int *ret_fd)
{
	enum { THREAD = O_EXCL }; /* PIDFD_THREAD, 6.9: a leader that is dead has no descriptors */
	int fd = sys_pidfd_open(p->tid, p->tid == p->tgid ? 0 : THREAD);

	if (fd == -EINVAL)
		fd = sys_pidfd_open(p->tgid, 0);
	if (fd < 0)
		return err_sys(ctx, fd, "pidfd_open(%d)", p->tid);
	*ret_fd = fd;
	return 0;
}

int puppet_fd_out(struct context *ctx, struct puppet *p, int fd, int *ret_fd)
{
	_cleanup_close_ int pidfd = -EBADF;
	int r;

	r = puppet_pidfd(ctx, p, &pidfd);
	if (r < 0)
		return r;
	r = sys_pidfd_getfd(pidfd, fd);
	if (r < 0)
		return err_sys(ctx, r, "pidfd_getfd(%d of process %d)", fd, p->tgid);
	*ret_fd = r;
	return 0;
}

/* The table: one recvmsg. Offsets of what comes back. */
struct receipt {
	uint32_t head;
	uint32_t control;
	uint32_t call;
};

/* @control: where in the puppet the numbers are to be written; 0: into the table. */
static struct receipt add_recvmsg(struct call_table *t, int socket, size_t n, puppet_addr control)
{
	struct msghdr head = {
		.msg_iovlen = 1,
		.msg_control = (void *)(uintptr_t)control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct iovec iov = {.iov_len = 1};
	struct receipt receipt;
	uint32_t byte, vec;

	byte = call_space(t, NULL, 1);
	vec = call_space(t, &iov, sizeof(iov));
	receipt.control = call_space(t, NULL, head.msg_controllen);
	receipt.head = call_space(t, &head, sizeof(head));
	call_point(t, vec + offsetof(struct iovec, iov_base), byte);
	call_point(t, receipt.head + offsetof(struct msghdr, msg_iov), vec);
	if (!control)
		call_point(t, receipt.head + offsetof(struct msghdr, msg_control), receipt.control);
	receipt.call = call_add(t, "recvmsg", SYS_recvmsg, CALL_IMM(socket),
				CALL_DATA(receipt.head), CALL_IMM(MSG_CMSG_CLOEXEC));
	return receipt;
}

/* With @n 0, a message without descriptors: for a puppet that would wait for ever otherwise. */
static int send_fds(int socket, const int *fds, size_t n)
{
	union {
		char bytes[CMSG_SPACE(FDS_AT_ONCE * sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = {.iov_base = (char[1]){}, .iov_len = 1};
	struct msghdr head = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n > 0) {
		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n * sizeof(int));
	}
	return sendmsg(socket, &head, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* How many came, and which numbers they got. */
static size_t read_fds(struct call_table *t, const struct receipt *receipt, int *ret_fds,
		       size_t room)
{
	const struct cmsghdr *control = call_bytes(t, receipt->control);
	const struct msghdr *head = call_bytes(t, receipt->head);
	size_t n;

	if (head->msg_controllen < CMSG_LEN(0) || control->cmsg_type != SCM_RIGHTS ||
	    control->cmsg_len < CMSG_LEN(0))
		return 0;
	n = MIN((control->cmsg_len - CMSG_LEN(0)) / sizeof(int), room);
	memcpy(ret_fds, CMSG_DATA(control), n * sizeof(int));
	return n;
}

static void close_in(struct context *ctx, struct puppet *p, const int *fds, size_t n)
{
	struct err first = ctx->err;

	for (size_t i = 0; i < n; i++)
		(void)puppet_call(ctx, p, "close", SYS_close,
				  (struct call_arg[6]){CALL_IMM(fds[i])});
	ctx->err = first;
}

/* Runs the table, whose only call takes up what is sent here. */
static int transfer(struct context *ctx, struct puppet *p, int near, const int *fds, size_t n,
		    struct call_table *t)
{
	int sent, r = puppet_start(ctx, p, t);

	if (r < 0)
		return r;
	sent = send_fds(near, fds, n);
	if (sent < 0)
		(void)send_fds(near, NULL, 0);
	r = puppet_finish(ctx, p, t);
	if (r == 0 && sent < 0)
		r = err_sys(ctx, sent, "sendmsg(SCM_RIGHTS, %zu descriptors)", n);
	return r;
}

static int no_room(struct context *ctx, size_t came, size_t n)
{
	int r = err_sys(ctx, -EMFILE, "recvmsg(SCM_RIGHTS): %zu of %zu descriptors", came, n);

	return err_hint(ctx, r, "raise RLIMIT_NOFILE");
}

static int chunk_in(struct context *ctx, struct puppet *p, const int *fds, size_t n, int *ret_fds)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct receipt receipt;
	struct call_table t;
	size_t came;
	int r;

	arena_init(&arena, ctx);
	call_table_init(&t, &arena);
	receipt = add_recvmsg(&t, p->area->far_socket, n, 0);
	r = transfer(ctx, p, p->socket, fds, n, &t);
	if (r < 0)
		return r;
	came = read_fds(&t, &receipt, ret_fds, n);
	if (came == n)
		return 0;
	close_in(ctx, p, ret_fds, came);
	return no_room(ctx, came, n);
}

/* SCM_RIGHTS takes no io_uring (scm_fp_copy()). */
static bool is_ring(int fd)
{
	char path[64], link[64];
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, link, sizeof(link) - 1);
	link[MAX(len, (ssize_t)0)] = '\0';
	return strcmp(link, "anon_inode:[io_uring]") == 0;
}

/* In place of each ring came a pidfd of ours: through that the puppet takes the ring itself. */
static int fetch_rings(struct context *ctx, struct puppet *p, const int *fds, const int *sent,
		       size_t n, const int *got)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct call_table t;

	arena_init(&arena, ctx);
	call_table_init(&t, &arena);
	for (size_t i = 0; i < n; i++) {
		uint32_t ring;

		if (sent[i] == fds[i])
			continue;
		ring = call_add(&t, "pidfd_getfd", SYS_pidfd_getfd, CALL_IMM(got[i]),
				CALL_IMM(fds[i]), CALL_IMM(0));
		(void)call_add(&t, "dup3", SYS_dup3, CALL_RESULT(ring), CALL_IMM(got[i]),
			       CALL_IMM(O_CLOEXEC));
		(void)call_add(&t, "close", SYS_close, CALL_RESULT(ring));
	}
	return puppet_run(ctx, p, &t);
}

static int chunk_with_rings_in(struct context *ctx, struct puppet *p, const int *fds, size_t n,
			       int *ret_fds)
{
	_cleanup_close_ int self = sys_pidfd_open(getpid(), 0);
	int sent[FDS_AT_ONCE];
	int r;

	if (self < 0)
		return err_sys(ctx, self, "pidfd_open()");
	for (size_t i = 0; i < n; i++)
		sent[i] = is_ring(fds[i]) ? self : fds[i];
	r = chunk_in(ctx, p, sent, n, ret_fds);
	if (r < 0)
		return r;
	r = fetch_rings(ctx, p, fds, sent, n, ret_fds);
	if (r < 0)
		close_in(ctx, p, ret_fds, n);
	return r;
}

int puppet_fds_in(struct context *ctx, struct puppet *p, const int *fds, size_t n, int *ret_fds)
{
	assert(!p->borrowed);
	for (size_t done = 0; done < n;) {
		size_t some = MIN(n - done, (size_t)FDS_AT_ONCE);
		int r = chunk_in(ctx, p, fds + done, some, ret_fds + done);

		if (r == -EINVAL)
			r = chunk_with_rings_in(ctx, p, fds + done, some, ret_fds + done);

		if (r < 0) {
			close_in(ctx, p, ret_fds, done);
			return err_while(ctx, r, "passing descriptors into process %d", p->tgid);
		}
		done += some;
	}
	return 0;
}

int fd_lend(struct context *ctx, struct puppet *p, int fd, int *ret_number)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct puppet *to = p->area->looping;
	struct door_lent lent;
	struct call_table t;
	int r;

	assert(p->borrowed);
	if (!to)
		return err_msg(ctx, -EMFILE,
			       "process %d has no doorbell through which descriptors could come",
			       p->tgid);
	arena_init(&arena, ctx);
	call_table_init(&t, &arena);
	(void)add_recvmsg(&t, to->area->far_socket, 1, loop_lent(to));
	r = transfer(ctx, to, to->area->socket, &fd, 1, &t);
	if (r == 0)
		r = puppet_read(ctx, to, loop_lent(to), &lent, sizeof(lent));
	if (r == 0 && lent.type != DOOR_LENT)
		r = no_room(ctx, 0, 1);
	if (r < 0)
		return err_while(ctx, r, "lending a descriptor to process %d", p->tgid);
	to->area->lent = *ret_number = lent.fd;
	return 0;
}

int fd_take_back(struct context *ctx, struct puppet *p)
{
	struct puppet *from = p->area->looping;
	int64_t r;

	if (!from || p->area->lent < 0)
		return 0;
	r = puppet_call(ctx, from, "close (lent)", CALL_OP_CLOSE_LENT,
			(const struct call_arg[6]){CALL_IMM(loop_lent(from))});
	if (r < 0)
		return (int)r;
	p->area->lent = -EBADF;
	return 0;
}
