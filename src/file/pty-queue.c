/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queues of a pseudo terminal can be read only by taking out what is in them. They are put back
 * by the ways they came: output is written to the slave, without post-processing; input is
 * put into the slave's line discipline with TIOCSTI, which is at once, unlike a write to the master.
 *
 * With canonical input the line discipline notes where lines end, and forgets it when ICANON is
 * switched (n_tty_set_termios()). So lines are read one by one first, and what is behind them, which
 * nobody may read yet, after switching. They are put back with ICANON set, so that it need not be
 * switched again; echo and all special characters are off, but for end of file, and the one that
 * quotes. A line that does not end in a newline was ended by an end-of-file character or by VEOL: to
 * who reads it it is all the same.
 *
 * Output is stopped by tcflow() or by a typed stop character; no call tells, but that
 * nothing may be written though there is room, and which way lets it go on. Echoes that wait for it meanwhile
 * (ldata->echo_buf) come out then.
 *
 * IXON, VSTART, VSTOP and EXTPROC: a change of these is what a master in packet mode is told of
 * (pty_set_termios()); who clears IXON here has to take that message away.
 */
#include "file/pty-queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/macro.h"

enum {
	CANONICAL_EOF = 0x04,
	CANONICAL_QUOTE = 0x16,
	STOP = 0x13,
	/* N_TTY_BUF_SIZE is 4096; from one byte less on, more may be waiting to be looked at. */
	ALMOST_FULL = 4095,
	/* How much may be in complete lines; what is behind them is not known until they are read. */
	LINES_FULL = 3000,
	PATIENCE = 1000, /* ms, for the kernel to move bytes from one buffer to the next */
};

static bool ready(int fd, short events, int timeout)
{
	struct pollfd pfd = {.fd = fd, .events = events};

	return poll(&pfd, 1, timeout) == 1 && (pfd.revents & events);
}

static int set_termios(int fd, const struct termios2 *termios)
{
	return ioctl(fd, TCSETS2, termios) < 0 ? -errno : 0;
}

/* ---- our own opening ------------------------------------------------------------------------- */

int pty_slave_open(int master, bool locked)
{
	int lock = 0, fd;

	if (locked && ioctl(master, TIOCSPTLCK, &lock) < 0)
		return -errno;
	fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	lock = 1;
	if (locked)
		(void)ioctl(master, TIOCSPTLCK, &lock); /* it was so a moment ago */
	return fd;
}

/*
 * An attempt to open a locked one fails, and marks it as out of order until the next that does
 * not (pty_open()); the last close of such a one tells the master nothing (pty_close()).
 */
void pty_slave_close_unseen(int master, int slave, bool locked)
{
	int lock = 1;
	int fd;

	(void)ioctl(master, TIOCSPTLCK, &lock);
	fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		(void)close(fd); /* not this kernel, then: the master is told */
	(void)close(slave);
	lock = 0;
	if (!locked)
		(void)ioctl(master, TIOCSPTLCK, &lock);
}

/* ---- output ---------------------------------------------------------------------------------- */

/* poll() says yes or no only after all that is under way has arrived (n_tty_poll()). */
static int take_output(const struct pty_ends *e, struct pty_queue *q)
{
	while (ready(e->master, POLLIN, 0)) {
		unsigned char *to = q->output + q->output_len;
		ssize_t n = read(e->master, to, sizeof(q->output) - q->output_len);

		if (n <= 0)
			return n < 0 ? -errno : -ENOBUFS;
		if (e->packet) /* each read begins with TIOCPKT_DATA */
			memmove(to, to + 1, (size_t)--n);
		q->output_len += (uint32_t)n;
	}
	return 0;
}

/* Has stopped output go on, and notes how it was stopped. */
static int let_flow(const struct pty_ends *e, struct pty_queue *q)
{
	struct termios2 free = e->termios;
	int r;

	if (ready(e->slave, POLLOUT, 0))
		return 0;
	if (ioctl(e->slave, TCXONC, TCOON) < 0)
		return -errno;
	q->flow = COPPICE__PTY_FLOW__PTY_FLOW_OFF;
	if (ready(e->slave, POLLOUT, 0))
		return 0;
	q->flow = COPPICE__PTY_FLOW__PTY_FLOW_STOPPED;
	free.c_iflag &= ~(tcflag_t)IXON;
	r = set_termios(e->slave, &free);
	if (r == 0)
		r = set_termios(e->slave, &e->termios);
	return r == 0 && !ready(e->slave, POLLOUT, PATIENCE) ? -EIO : r;
}

static int stop_flow(const struct pty_ends *e, Coppice__PtyFlow flow)
{
	struct termios2 stopping = e->termios;
	char stop = STOP;
	int r;

	if (flow == COPPICE__PTY_FLOW__PTY_FLOW_OFF)
		return ioctl(e->slave, TCXONC, TCOOFF) < 0 ? -errno : 0;
	stopping.c_iflag |= IXON;
	stopping.c_lflag &= ~(tcflag_t)EXTPROC;
	stopping.c_cc[VSTOP] = STOP;
	r = set_termios(e->slave, &stopping);
	if (r == 0 && ioctl(e->slave, TIOCSTI, &stop) < 0)
		r = -errno;
	return r == 0 ? set_termios(e->slave, &e->termios) : r;
}

static int put_output(const struct pty_ends *e, const struct pty_queue *q)
{
	struct termios2 plain = e->termios;
	uint32_t done = 0;
	int r;

	if (q->output_len == 0)
		return 0;
	plain.c_oflag &= ~(tcflag_t)OPOST;
	r = set_termios(e->slave, &plain);
	while (r == 0 && done < q->output_len) {
		ssize_t n = write(e->slave, q->output + done, q->output_len - done);

		if (n > 0)
			done += (uint32_t)n;
		else if (n < 0 && errno != EAGAIN)
			r = -errno;
		else if (!ready(e->slave, POLLOUT, PATIENCE))
			r = -ENOBUFS;
	}
	return r == 0 ? set_termios(e->slave, &e->termios) : r;
}

/* ---- input ----------------------------------------------------------------------------------- */

static bool is_canonical(const struct termios2 *termios)
{
	return (termios->c_lflag & ICANON) && !(termios->c_lflag & EXTPROC);
}

static int unread(int slave, uint32_t *ret_n)
{
	int n = 0;

	(void)ready(slave, POLLIN, 0); /* what is under way arrives */
	if (ioctl(slave, FIONREAD, &n) < 0)
		return -errno;
	*ret_n = (uint32_t)n;
	return 0;
}

/* One read gives what is there, or one line. -EAGAIN: there is nothing. */
static int take_some(const struct pty_ends *e, struct pty_queue *q)
{
	size_t room = sizeof(q->input) - q->input_len;
	ssize_t n = read(e->slave, q->input + q->input_len, room);

	if (n < 0)
		return -errno;
	q->input_len += (uint32_t)n;
	return room == 0 ? -ENOBUFS : (int)n;
}

static int take_lines(const struct pty_ends *e, struct pty_queue *q)
{
	while (ready(e->slave, POLLIN, 0)) {
		int n = take_some(e, q);

		if (n < 0)
			return n;
		if (q->n_lines == PTY_LINES_MAX)
			return -ENOBUFS;
		q->line_end[q->n_lines++] = q->input_len;
	}
	return 0;
}

/* All characters are themselves. In canonical mode one ends a line and one quotes. */
static void make_plain(struct termios2 *termios)
{
	termios->c_iflag = 0;
	if (!is_canonical(termios)) {
		termios->c_lflag &= EXTPROC;
		termios->c_cc[VMIN] = 1;
		termios->c_cc[VTIME] = 0;
		return;
	}
	termios->c_lflag = ICANON | IEXTEN;
	memset(termios->c_cc, 0, sizeof(termios->c_cc));
	termios->c_cc[VEOF] = CANONICAL_EOF;
	termios->c_cc[VLNEXT] = CANONICAL_QUOTE;
}

static int take_rest(const struct pty_ends *e, struct pty_queue *q)
{
	struct termios2 plain = e->termios;
	uint32_t n = 0;
	int r;

	plain.c_lflag &= ~(tcflag_t)ICANON;
	make_plain(&plain);
	r = set_termios(e->slave, &plain);
	if (r == 0)
		r = unread(e->slave, &n);
	while (r >= 0 && n > 0) {
		r = take_some(e, q);
		if (r >= 0)
			r = unread(e->slave, &n);
	}
	return r < 0 ? r : 0;
}

static int take_input(const struct pty_ends *e, struct pty_queue *q, enum pty_trouble *trouble)
{
	bool canonical = is_canonical(&e->termios);
	uint32_t n;
	int r = unread(e->slave, &n);

	if (r < 0 || (n == 0 && !canonical))
		return r;
	if (n >= (canonical ? LINES_FULL : ALMOST_FULL)) {
		*trouble = PTY_FULL;
		return 0;
	}
	if (canonical)
		r = take_lines(e, q);
	return r < 0 ? r : take_rest(e, q);
}

static int type(int slave, unsigned char c)
{
	return ioctl(slave, TIOCSTI, &c) < 0 ? -errno : 0;
}

/* In canonical mode: a character that would mean something. */
static int type_quoted(int slave, unsigned char c)
{
	int r = 0;

	if (c == '\n' || c == CANONICAL_EOF || c == CANONICAL_QUOTE)
		r = type(slave, CANONICAL_QUOTE);
	return r < 0 ? r : type(slave, c);
}

static int type_line(int slave, const unsigned char *text, size_t len)
{
	bool newline = len > 0 && text[len - 1] == '\n';
	int r = 0;

	for (size_t i = 0; r == 0 && i < len - newline; i++)
		r = type_quoted(slave, text[i]);
	return r < 0 ? r : type(slave, newline ? '\n' : CANONICAL_EOF);
}

/* Also where there is nothing to type: taking may have left other settings behind. */
static int put_input(const struct pty_ends *e, const struct pty_queue *q)
{
	bool canonical = is_canonical(&e->termios);
	struct termios2 plain = e->termios;
	uint32_t done = 0;
	int r;

	make_plain(&plain);
	r = set_termios(e->slave, &plain);
	for (uint32_t i = 0; r == 0 && i < q->n_lines; i++) {
		r = type_line(e->slave, q->input + done, q->line_end[i] - done);
		done = q->line_end[i];
	}
	for (; r == 0 && done < q->input_len; done++)
		r = canonical ? type_quoted(e->slave, q->input[done])
			      : type(e->slave, q->input[done]);
	return r == 0 ? set_termios(e->slave, &e->termios) : r;
}

/* ---- both ------------------------------------------------------------------------------------ */

int pty_queue_take(const struct pty_ends *e, struct pty_queue *q, enum pty_trouble *ret_trouble)
{
	enum pty_trouble trouble = PTY_FINE;
	uint32_t before;
	int r = take_output(e, q);

	if (r < 0)
		return r;
	before = q->output_len;
	r = let_flow(e, q);
	if (r == 0)
		r = take_output(e, q);
	if (r < 0)
		return r;
	if (q->output_len > before && q->flow != COPPICE__PTY_FLOW__PTY_FLOW_ON)
		trouble = PTY_ECHOES;
	r = take_input(e, q, &trouble);
	if (r == 0 && trouble == PTY_FINE && !ready(e->master, POLLOUT, PATIENCE))
		trouble = PTY_DEAF;
	*ret_trouble = trouble;
	return r;
}

int pty_queue_put(const struct pty_ends *e, const struct pty_queue *q)
{
	int r = put_input(e, q);

	if (r == 0)
		r = put_output(e, q);
	if (r == 0 && q->flow != COPPICE__PTY_FLOW__PTY_FLOW_ON)
		r = stop_flow(e, q->flow);
	return r;
}
