/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making pseudo terminals again, each under its number. A new one gets the lowest that is free
 * (devpts_new_index()), so they are made in ascending order, with others in between that are given back.
 *
 * All this comes before the tree is grown: settings and size are there before anybody could get
 * a signal for them, and what was queued before anybody could read it. Files that were hung up are
 * opened first of all, and hung up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/open.h"
#include "file/pty-queue.h"
#include "file/ptys.h"
#include "file/state.h"
#include "util/cleanup.h"

struct maker {
	struct rebuild *r;
	struct rebuild_file_state *state;
	int *pads; /* masters of numbers that nobody wants; owned */
	size_t n_pads;
	struct arena arena; /* of the list */
};

static const Coppice__File *master_file(const struct rebuild *r, const Coppice__Pty *msg)
{
	for (size_t i = 0; i < r->n_files; i++) {
		const Coppice__File *file = r->files[i].msg;

		if (file->kind_case == COPPICE__FILE__KIND_PTMX && file->ptmx->pty == msg->id)
			return file;
	}
	return NULL;
}

static const char *slave_path(struct arena *arena, const Coppice__Pty *msg)
{
	return arena_printf(arena, "%s/%u", msg->directory, msg->number);
}

enum { LARGEFILE = 0100000 }; /* as the kernel has it; for libraries of 64 bits it is 0 */

int ptys_open_slave(struct rebuild *r, const Coppice__File *file)
{
	const struct rebuild_file_state *state = rebuild_file_state_get(r);
	const Coppice__Pty *msg = r->cp->ptys[file->tty->pty - 1];
	const char *path = slave_path(r->arena, msg);
	int fd;

	if (!state || !path)
		return err_oom(r->ctx);
	if (file->flags & (LARGEFILE | O_PATH)) {
		fd = open_path(path, file->flags);
		return fd < 0 ? err_sys(r->ctx, fd, "open(%s)", path) : fd;
	}
	/* O_CLOEXEC would stay among the flags of the open file (ptm_open_peer()) */
	fd = ioctl(state->ptys[msg->id - 1].master, TIOCGPTPEER,
		   open_time_flags(file->flags) | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		int result = err_sys(r->ctx, -errno, "ioctl(TIOCGPTPEER) for %s", path);

		close_guard(&fd);
		return result;
	}
	return fd;
}

/* ---- check ----------------------------------------------------------------------------------- */

static int check_one(struct rebuild *r, const Coppice__Pty *msg)
{
	const char *path = slave_path(r->arena, msg);
	const char *ptmx = arena_printf(r->arena, "%s/ptmx", msg->directory);
	struct stat st;

	if (!path || !ptmx)
		return err_oom(r->ctx);
	if (!msg->gone && !master_file(r, msg))
		return err_msg(r->ctx, -EBADMSG, "pseudo terminal %s has no master", path);
	if (lstat(ptmx, &st) < 0)
		return rebuild_refuse(r, "mount a devpts there", "no pseudo terminals at %s (%s)",
				      msg->directory, err_name(-errno));
	if (lstat(path, &st) == 0)
		return rebuild_refuse(r, "wait until it is closed",
				      "pseudo terminal %s, which the image needs, is in use", path);
	return 0;
}

int ptys_check(struct rebuild *r)
{
	int result = 0;

	for (size_t i = 0; result >= 0 && i < r->cp->n_ptys; i++)
		result = check_one(r, r->cp->ptys[i]);
	return result;
}

/* ---- make ------------------------------------------------------------------------------------ */

static int add_pad(struct maker *m, int fd)
{
	int *slot = arena_append(&m->arena, &m->pads, &m->n_pads, sizeof(*slot));

	if (!slot) {
		close_guard(&fd);
		return err_oom(m->r->ctx);
	}
	*slot = fd;
	return 0;
}

static int open_master(struct maker *m, const Coppice__Pty *msg, const char *path, uint32_t flags,
		       int *ret_fd)
{
	struct context *ctx = m->r->ctx;
	unsigned int number;
	int r = 0;

	while (r == 0) {
		_cleanup_close_ int fd = open_path(path, flags);

		if (fd < 0)
			return err_sys(ctx, fd, "open(%s)", path);
		if (ioctl(fd, TIOCGPTN, &number) < 0)
			return err_sys(ctx, -errno, "ioctl(TIOCGPTN) of %s", path);
		if (number > msg->number)
			return err_msg(ctx, -EBUSY, "pseudo terminal %s/%u is in use",
				       msg->directory, msg->number);
		if (number == msg->number) {
			*ret_fd = TAKE_FD(fd);
			return 0;
		}
		r = add_pad(m, TAKE_FD(fd));
	}
	return r;
}

/* Through its master, so that it is the right one whatever the path leads to. */
static int set_owner(struct rebuild *r, const Coppice__Pty *msg, int master)
{
	_cleanup_close_ int peer = ioctl(master, TIOCGPTPEER, O_PATH | O_CLOEXEC);
	char name[32];

	if (peer < 0)
		return err_sys(r->ctx, -errno, "ioctl(TIOCGPTPEER)");
	if (fchownat(peer, "", msg->uid, msg->gid, AT_EMPTY_PATH) < 0)
		return err_sys(r->ctx, -errno, "chown() to %u:%u", msg->uid, msg->gid);
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", peer);
	return chmod(name, msg->mode & ALLPERMS) < 0
		       ? err_sys(r->ctx, -errno, "chmod(%#o)", msg->mode & ALLPERMS)
		       : 0;
}

static int set_modes(struct rebuild *r, const Coppice__Pty *msg, int master, int slave)
{
	const struct winsize size = {
		.ws_row = (unsigned short)msg->rows,
		.ws_col = (unsigned short)msg->columns,
		.ws_xpixel = (unsigned short)msg->width,
		.ws_ypixel = (unsigned short)msg->height,
	};
	int packet = msg->packet;

	if (ioctl(master, TIOCSWINSZ, &size) < 0)
		return err_sys(r->ctx, -errno, "ioctl(TIOCSWINSZ)");
	if (ioctl(master, TIOCPKT, &packet) < 0)
		return err_sys(r->ctx, -errno, "ioctl(TIOCPKT)");
	if (msg->exclusive && ioctl(slave, TIOCEXCL) < 0)
		return err_sys(r->ctx, -errno, "ioctl(TIOCEXCL)");
	if (msg->master_exclusive && ioctl(master, TIOCEXCL) < 0)
		return err_sys(r->ctx, -errno, "ioctl(TIOCEXCL) of the master");
	return set_owner(r, msg, master);
}

static void add_input(struct pty_queue *q, const ProtobufCBinaryData *bytes)
{
	if (bytes->len > 0)
		memcpy(q->input + q->input_len, bytes->data, bytes->len);
	q->input_len += (uint32_t)bytes->len;
}

/* That it fits has been validated. */
static void unpack_queue(const Coppice__Pty *msg, struct pty_queue *q)
{
	q->flow = msg->flow;
	q->output_len = (uint32_t)msg->output.len;
	if (msg->output.len > 0)
		memcpy(q->output, msg->output.data, msg->output.len);
	for (size_t i = 0; i < msg->n_lines; i++) {
		add_input(q, &msg->lines[i]);
		q->line_end[q->n_lines++] = q->input_len;
	}
	add_input(q, &msg->typed);
}

static int fill(struct rebuild *r, const Coppice__Pty *msg, int master, int slave)
{
	_cleanup_free_ struct pty_queue *q = calloc(1, sizeof(*q));
	struct pty_ends ends = {.master = master, .slave = slave};
	int result;

	if (!q)
		return err_oom(r->ctx);
	memcpy(&ends.termios, msg->termios.data, sizeof(ends.termios));
	unpack_queue(msg, q);
	result = pty_queue_put(&ends, q);
	return result < 0 ? err_sys(r->ctx, result, "filling the queues") : 0;
}

static bool is_hung_up(const Coppice__File *file, const Coppice__Pty *msg)
{
	return file->kind_case == COPPICE__FILE__KIND_TTY && file->tty->pty == msg->id &&
	       file->tty->hung_up;
}

/* Opens those files that are hung up. *@ret_fd: one of them, borrowed. */
static int open_hung_up(struct rebuild *r, const Coppice__Pty *msg, int *ret_fd)
{
	for (size_t i = 0; i < r->n_files; i++) {
		struct rebuild_file *file = &r->files[i];

		if (!is_hung_up(file->msg, msg))
			continue;
		file->fd = ptys_open_slave(r, file->msg);
		if (file->fd < 0)
			return file->fd;
		*ret_fd = file->fd;
	}
	return 0;
}

static int furnish(struct rebuild *r, const Coppice__Pty *msg, struct rebuild_pty *pty)
{
	int result;

	pty->slave = pty_slave_open(pty->master, false);
	if (pty->slave < 0)
		return err_sys(r->ctx, pty->slave, "ioctl(TIOCGPTPEER)");
	result = fill(r, msg, pty->master, pty->slave);
	if (result == 0)
		result = set_modes(r, msg, pty->master, pty->slave);
	if (result == 0 && msg->slave == COPPICE__PTY_SLAVE__PTY_SLAVE_NEVER) {
		pty_slave_close_unseen(pty->master, pty->slave, false);
		pty->slave = -EBADF;
	}
	return result;
}

static int make(struct maker *m, const Coppice__Pty *msg)
{
	struct rebuild_pty *pty = &m->state->ptys[msg->id - 1];
	const Coppice__File *file = master_file(m->r, msg);
	const char *ptmx =
		file ? file->ptmx->path : arena_printf(m->r->arena, "%s/ptmx", msg->directory);
	int hung_up = -EBADF, unlock = 0, r;

	if (!ptmx)
		return err_oom(m->r->ctx);
	r = open_master(m, msg, ptmx, file ? file->flags : O_RDWR, &pty->master);
	if (r == 0 && ioctl(pty->master, TIOCSPTLCK, &unlock) < 0)
		r = err_sys(m->r->ctx, -errno, "ioctl(TIOCSPTLCK)");
	if (r == 0)
		r = open_hung_up(m->r, msg, &hung_up);
	if (r < 0)
		return r;
	if (msg->gone) {
		close_guard(&pty->master);
		pty->master = -EBADF;
		return 0;
	}
	if (hung_up >= 0 && ioctl(hung_up, TIOCVHANGUP) < 0)
		return err_sys(m->r->ctx, -errno, "ioctl(TIOCVHANGUP)");
	return furnish(m->r, msg, pty);
}

static int by_number(const void *a, const void *b)
{
	const Coppice__Pty *x = *(Coppice__Pty *const *)a, *y = *(Coppice__Pty *const *)b;

	return (x->number > y->number) - (x->number < y->number);
}

static int make_all(struct maker *m)
{
	const Coppice__Checkpoint *cp = m->r->cp;
	Coppice__Pty **order =
		arena_memdup(&m->arena, cp->ptys, cp->n_ptys * sizeof(Coppice__Pty *));
	int r = order ? 0 : err_oom(m->r->ctx);

	if (r == 0)
		qsort(order, cp->n_ptys, sizeof(Coppice__Pty *), by_number);
	for (size_t i = 0; r == 0 && i < cp->n_ptys; i++) {
		r = make(m, order[i]);
		if (r < 0)
			return err_while(m->r->ctx, r, "restoring pseudo terminal %s/%u",
					 order[i]->directory, order[i]->number);
	}
	return r;
}

int ptys_create(struct rebuild *r)
{
	struct maker m = {.r = r, .state = rebuild_file_state_get(r)};
	int result;

	if (!m.state)
		return err_oom(r->ctx);
	if (r->cp->n_ptys == 0)
		return 0;
	arena_init(&m.arena, r->ctx);
	result = make_all(&m);
	for (size_t i = 0; i < m.n_pads; i++)
		close_guard(&m.pads[i]);
	arena_deinit(&m.arena);
	return result;
}

int ptys_controlling(struct rebuild *r, uint32_t tty)
{
	const struct rebuild_file_state *state = rebuild_file_state_get(r);

	return state && tty > 1 ? state->ptys[tty - 2].slave : -EBADF;
}

int ptys_connect(struct rebuild *r, uint32_t id)
{
	const struct rebuild_file_state *state = rebuild_file_state_get(r);
	const Coppice__Pty *msg = r->cp->ptys[id - 1];
	int lock = msg->locked;

	if (!state)
		return err_oom(r->ctx);
	return ioctl(state->ptys[id - 1].master, TIOCSPTLCK, &lock) < 0
		       ? err_sys(r->ctx, -errno, "ioctl(TIOCSPTLCK)")
		       : 0;
}

void ptys_deinit(struct rebuild *r)
{
	struct rebuild_file_state *state = r->file_state;

	for (size_t i = 0; state && i < r->cp->n_ptys; i++) {
		close_guard(&state->ptys[i].slave);
		close_guard(&state->ptys[i].master);
		state->ptys[i] = (struct rebuild_pty){.master = -EBADF, .slave = -EBADF};
	}
}
