/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking means taking out and putting back (pty-queue.c). In between, what was typed is nowhere but
 * here, and the settings are not the program's; so it is done by a child that nobody knows: when
 * the coordinator is killed it still comes to its end. It has a session of its own, so that no
 * terminal stops it, and takes no signals.
 *
 * A status byte that waits for a master in packet mode (ctrl.pktstatus) can be read, but not
 * put back: such a terminal is not looked at.
 */
#include "file/pty-look.h"

#include <errno.h>
#include <linux/tty.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/context.h"

static int failed(struct pty_look *look, const char *call, int result)
{
	look->result = result;
	look->call = call;
	return result;
}

static bool has_status(int master)
{
	struct pollfd pfd = {.fd = master, .events = POLLPRI};

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLPRI);
}

/* What our own changes of settings have told the master in packet mode; there was nothing before. */
static void forget_status(int master)
{
	char byte;

	while (has_status(master))
		if (read(master, &byte, 1) != 1)
			return;
}

static void look_into(struct pty_look *look, const struct pty_ends *ends)
{
	int r = pty_queue_take(ends, &look->queue, &look->trouble);
	int back = pty_queue_put(ends, &look->queue);

	if (r < 0 || back < 0)
		(void)failed(look, r < 0 ? "reading its queues" : "filling its queues again",
			     r < 0 ? r : back);
	if (look->packet)
		forget_status(ends->master);
}

/* May we put back what we take? Looked at first; then the address, which is none. */
static bool may_type(int slave)
{
	return ioctl(slave, TIOCSTI, NULL) < 0 && errno == EFAULT;
}

static void look_at(struct pty_look *look, struct pty_ends *ends)
{
	int exclusive = 0;

	look->status = has_status(ends->master);
	if (!may_type(ends->slave))
		(void)failed(look, "ioctl(TIOCSTI)", -errno);
	else if (ioctl(ends->slave, TIOCGEXCL, &exclusive) < 0)
		(void)failed(look, "ioctl(TIOCGEXCL)", -errno);
	else if (ioctl(ends->slave, TIOCGETD, &look->discipline) < 0)
		(void)failed(look, "ioctl(TIOCGETD)", -errno);
	look->exclusive = exclusive != 0;
	if (look->result < 0 || look->discipline != N_TTY || look->status)
		return;
	if (ioctl(ends->slave, TCGETS2, &look->termios) < 0)
		(void)failed(look, "ioctl(TCGETS2)", -errno);
	ends->termios = look->termios;
	if (look->result == 0)
		look_into(look, ends);
}

static void run(struct pty_look *look, int master)
{
	struct pty_ends ends = {.master = master, .packet = look->packet};

	ends.slave = pty_slave_open(master, look->locked);
	if (ends.slave < 0) {
		(void)failed(look, "ioctl(TIOCGPTPEER)", ends.slave);
		return;
	}
	look_at(look, &ends);
	if (look->never_opened)
		pty_slave_close_unseen(master, ends.slave, look->locked);
	else
		(void)close(ends.slave);
}

static pid_t start(struct pty_look *look, int master)
{
	sigset_t all, before;
	pid_t pid;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	if (pid == 0) {
		(void)setsid();
		run(look, master);
		_exit(0);
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

static int await(struct context *ctx, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(ctx, -errno, "waitpid(%d)", pid);
	return status == 0 ? 0
			   : err_msg(ctx, -EIO,
				     "a process of coppice's own died while it looked at a "
				     "terminal");
}

int pty_look(struct context *ctx, int master, struct pty_look *look)
{
	struct pty_look *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	int r;

	if (shared == MAP_FAILED)
		return err_sys(ctx, -errno, "mmap()");
	*shared = *look;
	pid = start(shared, master);
	r = pid < 0 ? err_sys(ctx, -errno, "fork()") : await(ctx, pid);
	if (r == 0)
		*look = *shared;
	(void)munmap(shared, sizeof(*shared));
	if (r == 0 && look->result < 0)
		return err_sys(ctx, look->result, "%s", look->call);
	return r;
}
