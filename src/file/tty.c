/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal of a shell job. Its other side (a terminal emulator, sshd, a console) is no part of
 * the tree and stays; so with --shell-job every open file of the root's controlling terminal is
 * dumped as "the terminal", and at restore opened again on the terminal coppice runs in. Any other
 * terminal is refused: who holds its other side is outside.
 *
 * Of the flags only access mode and what F_SETFL sets are kept: the rest tells how the terminal
 * emulator opened it.
 *
 * The settings (termios) are set again, as a shell does that continues a job. Size, line
 * discipline and typed-ahead input belong to the terminal that is there now.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <asm/termbits.h>

#include "file/open.h"
#include "file/state.h"
#include "util/cleanup.h"

enum { TTY_MAJOR = 4, TTYAUX_MAJOR = 5, PTS_FIRST_MAJOR = 136, PTS_LAST_MAJOR = 143 };

static bool matches(const struct file_probe *probe)
{
	unsigned int number = major(probe->st.st_rdev);

	if (!S_ISCHR(probe->st.st_mode) || (probe->info.flags & O_PATH))
		return false;
	if (number == TTYAUX_MAJOR)
		return minor(probe->st.st_rdev) < 2; /* tty, console; 2 is ptmx */
	return number == TTY_MAJOR || (number >= PTS_FIRST_MAJOR && number <= PTS_LAST_MAJOR);
}

/* ---- collect ------------------------------------------------------------------------------- */

static int refuse(struct collect *c, const struct file_probe *probe, const char *hint,
		  const char *why)
{
	return collect_refuse(c, hint, "%s, fd %d: %s %s", collect_name(c, probe->process),
			      probe->number, probe->link, why);
}

static int set_termios(struct collect *c, const struct file_probe *probe, Coppice__TtyFile *tty)
{
	struct termios2 termios;

	if (c->files->termios_seen)
		return 0;
	if (ioctl(probe->fd, TCGETS2, &termios) < 0)
		return err_sys(c->ctx, -errno, "ioctl(TCGETS2)");
	tty->termios.data = arena_memdup(c->arena, &termios, sizeof(termios));
	if (!tty->termios.data)
		return err_oom(c->ctx);
	tty->termios.len = sizeof(termios);
	c->files->termios_seen = true;
	return 0;
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__TtyFile *tty = arena_new(c->arena, Coppice__TtyFile);
	unsigned int device;

	if (!tty)
		return err_oom(c->ctx);
	coppice__tty_file__init(tty);
	file->tty = tty;
	if (!c->opt.shell_job)
		return refuse(
			c, probe,
			"use --shell-job if the program runs in your shell's terminal, or start "
			"it with setsid and its input and output from and to files",
			"is a terminal, whose other side is outside the tree");
	if (ioctl(probe->fd, TIOCGDEV, &device) < 0)
		return refuse(c, probe, NULL, "is a terminal that has been hung up");
	if (device != c->processes[0].stat.tty_nr)
		return refuse(c, probe, "close it before the dump",
			      "is not the controlling terminal of the tree's session");
	file->flags &= O_ACCMODE | O_SETTABLE;
	tty->controlling = probe->st.st_rdev == makedev(TTYAUX_MAJOR, 0);
	return set_termios(c, probe, tty);
}

/* ---- rebuild ------------------------------------------------------------------------------- */

/* The controlling terminal of the session that the restored job will be a member of: ours. */
static int open_terminal(uint32_t flags)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		pid_t session;

		if (ioctl(fd, TIOCGSID, &session) == 0 && session == getsid(0))
			return open_again(fd, flags);
	}
	return open_path("/dev/tty", flags);
}

static int check(struct rebuild *r, const Coppice__File *file)
{
	_cleanup_close_ int fd = -EBADF;

	if (!r->opt.shell_job)
		return rebuild_refuse(r, "use --shell-job",
				      "the image is of a shell job: it needs a "
				      "terminal");
	fd = open_terminal(file->flags & O_ACCMODE);
	if (fd < 0)
		return rebuild_refuse(r, "restore it from an interactive shell",
				      "the image is of a shell job, and there is no terminal (%s)",
				      err_name(fd));
	return 0;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	int fd = file->tty->controlling ? open_path("/dev/tty", file->flags)
					: open_terminal(file->flags);

	if (fd < 0)
		return err_sys(r->ctx, fd, "opening the terminal");
	*ret_fd = fd;
	return 0;
}

/* Also from the background, where the terminal would stop us otherwise (tty_check_change). */
static int set_terminal(int fd, const void *termios)
{
	sigset_t ttou, before;
	int result;

	(void)sigemptyset(&ttou);
	(void)sigaddset(&ttou, SIGTTOU);
	(void)sigprocmask(SIG_BLOCK, &ttou, &before);
	result = ioctl(fd, TCSETS2, termios) < 0 ? -errno : 0;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return result;
}

static int last(struct rebuild *r, const Coppice__File *file, int fd)
{
	const ProtobufCBinaryData *termios = &file->tty->termios;
	int result;

	if (termios->len == 0)
		return 0;
	if (termios->len != sizeof(struct termios2))
		return err_msg(r->ctx, -EBADMSG, "terminal settings of %zu bytes", termios->len);
	result = set_terminal(fd, termios->data);
	return result < 0 ? err_sys(r->ctx, result, "ioctl(TCSETS2)") : 0;
}

static void describe(const Coppice__File *file, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s", file->tty->controlling ? "/dev/tty" : "the job's terminal");
}

const struct file_kind kind_tty = {
	.name = "terminal",
	.which = COPPICE__FILE__KIND_TTY,
	.matches = matches,
	.collect = collect,
	.check = check,
	.create = create,
	.last = last,
	.describe = describe,
};
