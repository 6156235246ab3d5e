/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a pseudo terminal whose master is in the tree. Both sides have one of most things, and
 * the master's ioctls ask for the slave's (tty_ioctl(), real_tty); what only the slave can be
 * asked, and what is queued, a look at it tells (pty-look.c).
 *
 * Refused: a line discipline other than N_TTY, a status byte that waits for a master in packet mode,
 * output stopped with echoes waiting. Not seen: the column that tabs are counted from (ldata->column).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/tty.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file/pty-look.h"
#include "file/ptys.h"
#include "file/state.h"
#include "util/cleanup.h"

static int refuse(struct collect *c, const struct pty_node *node, const char *hint, const char *why)
{
	const struct file_probe *probe = node->master;

	return collect_refuse(c, hint, "%s, fd %d (%s): pseudo terminal %s/%u %s",
			      collect_name(c, probe->process), probe->number, probe->link,
			      node->msg->directory, node->msg->number, why);
}

static int refuse_outside(struct collect *c, const struct pty_node *node, const char *what,
			  pid_t pid)
{
	const struct file_probe *probe = node->master;

	return collect_refuse(c, "dump that process as well, or end it",
			      "%s, fd %d (%s): pseudo terminal %s/%u %s %d, outside the tree",
			      collect_name(c, probe->process), probe->number, probe->link,
			      node->msg->directory, node->msg->number, what, pid);
}

static bool leads_in_tree(const struct collect *c, pid_t session)
{
	for (size_t i = 0; i < c->n_processes; i++)
		if (c->processes[i].pid == session)
			return true;
	return false;
}

static int collect_modes(struct collect *c, struct pty_node *node, int master)
{
	Coppice__Pty *msg = node->msg;
	struct pollfd pfd = {.fd = master};
	struct winsize size;
	int packet, locked, exclusive;

	if (ioctl(master, TIOCGWINSZ, &size) < 0 || ioctl(master, TIOCGPKT, &packet) < 0 ||
	    ioctl(master, TIOCGPTLCK, &locked) < 0 || ioctl(master, TIOCGEXCL, &exclusive) < 0 ||
	    poll(&pfd, 1, 0) < 0)
		return err_sys(c->ctx, -errno, "asking pseudo terminal %s/%u", msg->directory,
			       msg->number);
	msg->rows = size.ws_row;
	msg->columns = size.ws_col;
	msg->width = size.ws_xpixel;
	msg->height = size.ws_ypixel;
	msg->packet = packet != 0;
	msg->locked = locked != 0;
	msg->master_exclusive = exclusive != 0;
	msg->slave = (pfd.revents & POLLHUP) ? COPPICE__PTY_SLAVE__PTY_SLAVE_CLOSED
		     : node->opened	     ? COPPICE__PTY_SLAVE__PTY_SLAVE_OPEN
					     : COPPICE__PTY_SLAVE__PTY_SLAVE_NEVER;
	msg->mode = node->st.st_mode;
	msg->uid = node->st.st_uid;
	msg->gid = node->st.st_gid;
	return 0;
}

static int keep_bytes(struct collect *c, const void *from, size_t len, ProtobufCBinaryData *ret)
{
	if (len == 0)
		return 0;
	ret->data = arena_memdup(c->arena, from, len);
	ret->len = len;
	return ret->data ? 0 : err_oom(c->ctx);
}

static int keep_queue(struct collect *c, const struct pty_queue *q, Coppice__Pty *msg)
{
	uint32_t from = 0;
	int r = keep_bytes(c, q->output, q->output_len, &msg->output);

	msg->flow = q->flow;
	if (q->n_lines > 0)
		msg->lines = arena_new_n(c->arena, ProtobufCBinaryData, q->n_lines);
	if (q->n_lines > 0 && !msg->lines)
		return err_oom(c->ctx);
	for (; r == 0 && msg->n_lines < q->n_lines; msg->n_lines++) {
		uint32_t end = q->line_end[msg->n_lines];

		r = keep_bytes(c, q->input + from, end - from, &msg->lines[msg->n_lines]);
		from = end;
	}
	return r == 0 ? keep_bytes(c, q->input + from, q->input_len - from, &msg->typed) : r;
}

static int judge(struct collect *c, const struct pty_node *node, const struct pty_look *look)
{
	if (look->discipline != N_TTY)
		return refuse(c, node, NULL, "has another line discipline than N_TTY (TIOCSETD)");
	if (look->status)
		return refuse(c, node, "try again when its master has been read",
			      "is in packet mode, and a status byte waits for its master, which "
			      "could not be put back");
	switch (look->trouble) {
	case PTY_FINE:
		return 0;
	case PTY_FULL:
		return refuse(c, node, "try again when it has been read",
			      "has so much typed input waiting that more may be behind it");
	case PTY_ECHOES:
		return refuse(c, node, "have the output go on (Ctrl-Q)",
			      "has its output stopped, with echoes waiting");
	case PTY_DEAF:
		return refuse(c, node, "have it go on: tcflow(TCOON)",
			      "has the output of its master stopped");
	}
	return -EINVAL;
}

static int collect_queue(struct collect *c, struct pty_node *node, int master)
{
	_cleanup_free_ struct pty_look *look = calloc(1, sizeof(*look));
	size_t refusals = c->n_refusals;
	Coppice__Pty *msg = node->msg;
	int r;

	if (!look)
		return err_oom(c->ctx);
	look->locked = msg->locked;
	look->packet = msg->packet;
	look->never_opened = msg->slave == COPPICE__PTY_SLAVE__PTY_SLAVE_NEVER;
	r = pty_look(c->ctx, master, look);
	if (r == 0)
		r = judge(c, node, look);
	if (r < 0 || c->n_refusals > refusals)
		return r;
	msg->exclusive = look->exclusive;
	r = keep_bytes(c, &look->termios, sizeof(look->termios), &msg->termios);
	return r == 0 ? keep_queue(c, &look->queue, msg) : r;
}

int pty_collect_state(struct collect *c, struct pty_node *node)
{
	_cleanup_close_ int master = -EBADF;
	pid_t pid;
	int r = pty_is_open_outside(c, node, &pid);

	if (r < 0)
		return r;
	if (r > 0)
		return refuse_outside(c, node, "is also open in process", pid);
	if (node->session != 0 && !leads_in_tree(c, node->session))
		return refuse_outside(c, node, "is the controlling terminal of session",
				      node->session);
	if (node->async)
		return refuse(c, node, "switch O_ASYNC off",
			      "sends signals (O_ASYNC), also when its queues are looked at");
	r = file_probe_dup(c, node->master, &master);
	if (r == 0)
		r = collect_modes(c, node, master);
	return r == 0 ? collect_queue(c, node, master) : r;
}
