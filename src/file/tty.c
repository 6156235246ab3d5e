/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals as programs use them.
 *
 * Of a pseudo terminal whose master is in the tree too, an open slave is one more opening: flags,
 * whether it came about as /dev/tty, and whether it was hung up, which is for good. The pair is made before
 * (ptys.h). An opening as /dev/tty does not show whose it is; it is taken for that of the process's
 * session, by number. Such a one is opened again by a process of that session.
 *
 * The other side of any other terminal (a terminal emulator, sshd, a console) is no part of
 * the tree and stays; so with --shell-job every open file of the root's controlling terminal is
 * dumped as "the terminal", and at restore opened again on the terminal coppice runs in. Other
 * terminals are refused: who holds their other side is outside.
 *
 * Of a job's flags only access mode and what F_SETFL sets are kept: the rest tells how the terminal
 * emulator opened it. The settings (termios) are set again, as a shell does that continues a job. Size, line
 * discipline and typed-ahead input belong to the terminal that is there now.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <asm/termbits.h>

#include "file/open.h"
#include "file/ptys.h"
#include "file/state.h"
#include "util/cleanup.h"

enum { TTY_MAJOR = 4, TTYAUX_MAJOR = 5 };

/* A mere path (O_PATH) to other terminals is as good as one to any file. */
static bool matches(const struct file_probe *probe)
{
	dev_t rdev = probe->st.st_rdev;

	if (!S_ISCHR(probe->st.st_mode))
		return false;
	if (pty_is_slave(rdev) || (probe->info.flags & O_PATH))
		return pty_is_slave(rdev);
	if (major(rdev) == TTYAUX_MAJOR)
		return minor(rdev) < 2; /* tty, console; 2 is ptmx */
	return major(rdev) == TTY_MAJOR;
}

/* ---- collect ------------------------------------------------------------------------------- */

static int refuse(struct collect *c, const struct file_probe *probe, const char *hint,
		  const char *why)
{
	return collect_refuse(c, hint, "%s, fd %d: %s %s", collect_name(c, probe->process),
			      probe->number, probe->link, why);
}

static int refuse_outside(struct collect *c, const struct file_probe *probe)
{
	if (c->opt.shell_job)
		return refuse(c, probe, "close it before the dump",
			      "is not the controlling terminal of the tree's session");
	return refuse(c, probe,
		      "use --shell-job if the program runs in your shell's terminal, or start "
		      "it with setsid and its input and output from and to files",
		      "is a terminal, whose other side is outside the tree");
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

static bool is_deleted(const char *link)
{
	static const char suffix[] = " (deleted)";
	size_t len = strlen(link), tail = sizeof(suffix) - 1;

	return len > tail && strcmp(link + len - tail, suffix) == 0;
}

/* An opening of a slave by its name. */
static int collect_slave(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	struct pty_node *node;
	int r = pty_get(c, probe->st.st_dev, probe->link, &node);

	if (r < 0)
		return r;
	file->tty->pty = node->msg->id;
	if (is_deleted(probe->link))
		node->msg->gone = true;
	node->opened = true;
	node->async |= (file->flags & O_ASYNC) != 0;
	return 0;
}

/* Whose it is depends on whether its master is in the tree: that is known later. */
static int collect_path(struct collect *c, const struct file_probe *probe, Coppice__TtyFile *tty)
{
	if (is_deleted(probe->link))
		return refuse(c, probe, "close it before the dump",
			      "is the path of a terminal that is gone");
	tty->path = arena_strdup(c->arena, probe->link);
	tty->device = minor(probe->st.st_rdev);
	return tty->path ? 0 : err_oom(c->ctx);
}

static int collect_open(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__TtyFile *tty = file->tty;
	uint32_t device = 0;

	tty->controlling = probe->st.st_rdev == makedev(TTYAUX_MAJOR, 0);
	if (ioctl(probe->fd, TIOCGDEV, &device) < 0)
		tty->hung_up = true;
	if (c->opt.shell_job && device != 0 && device == c->processes[0].stat.tty_nr) {
		file->flags &= O_ACCMODE | O_SETTABLE;
		return set_termios(c, probe, tty);
	}
	if (tty->controlling && tty->hung_up)
		return refuse(c, probe, "close it before the dump",
			      "is a terminal that has been hung up, and does not tell which");
	if (tty->controlling) {
		tty->device = device;
		return 0;
	}
	return pty_is_slave(probe->st.st_rdev) ? collect_slave(c, probe, file)
					       : refuse_outside(c, probe);
}

static int collect(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__TtyFile *tty = arena_new(c->arena, Coppice__TtyFile);

	if (!tty)
		return err_oom(c->ctx);
	coppice__tty_file__init(tty);
	file->tty = tty;
	return file->flags & O_PATH ? collect_path(c, probe, tty) : collect_open(c, probe, file);
}

static int late_path(struct collect *c, const struct file_probe *probe, Coppice__TtyFile *tty)
{
	const struct pty_node *node = pty_find(c, probe->st.st_dev, probe->link);

	if (node && node->master)
		tty->pty = node->msg->id;
	return 0;
}

static int late_controlling(struct collect *c, const struct file_probe *probe,
			    Coppice__TtyFile *tty)
{
	const struct proc_stat *stat = &probe->process->stat;
	const struct pty_node *node = pty_of_session(c, stat->session, tty->device);

	if (!node)
		return refuse_outside(c, probe);
	if (stat->tty_nr != tty->device)
		return refuse(c, probe, "close it before the dump",
			      "was the controlling terminal of a process that has none now");
	tty->pty = node->msg->id;
	return 0;
}

static int collect_late(struct collect *c, const struct file_probe *probe, Coppice__File *file)
{
	Coppice__TtyFile *tty = file->tty;
	const struct pty_node *node;

	if (file->flags & O_PATH)
		return late_path(c, probe, tty);
	if (tty->controlling && tty->device != 0)
		return late_controlling(c, probe, tty);
	if (tty->pty == 0)
		return 0;
	node = c->files->ptys[tty->pty - 1];
	return node->master || node->msg->gone ? 0 : refuse_outside(c, probe);
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

static int look_at_path(const Coppice__TtyFile *tty, int *ret_fd)
{
	_cleanup_close_ int fd = open_path(tty->path, O_PATH);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) || !pty_is_slave(st.st_rdev) || minor(st.st_rdev) != tty->device)
		return -ENXIO;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int check_path(struct rebuild *r, const Coppice__TtyFile *tty)
{
	_cleanup_close_ int fd = -EBADF;
	int result = look_at_path(tty, &fd);

	return result < 0 ? rebuild_refuse(r, NULL, "%s: not there as a terminal (%s)", tty->path,
					   err_name(result))
			  : 0;
}

static int check_job(struct rebuild *r, const Coppice__File *file)
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

static int check(struct rebuild *r, const Coppice__File *file)
{
	if (file->tty->pty != 0)
		return 0; /* ptys_check() */
	return file->flags & O_PATH ? check_path(r, file->tty) : check_job(r, file);
}

static const struct rebuild_process *find_session(const struct rebuild *r, uint32_t pty)
{
	for (size_t i = 0; i < r->n_processes; i++) {
		const struct rebuild_process *p = &r->processes[i];

		if (p->msg->tty == pty + 1 && p->puppet)
			return p;
	}
	return NULL;
}

/* By a process that has it for its controlling terminal, which is what /dev/tty leads to. */
static int open_controlling(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	const struct rebuild_process *p = find_session(r, file->tty->pty);
	uint32_t flags = (file->flags & ~O_SETTABLE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct call_table t;
	uint32_t opened;
	int result, closed;

	if (!p)
		return err_msg(r->ctx, -EBADMSG, "no process has it for its controlling terminal");
	call_table_init(&t, r->arena);
	opened = call_add(&t, "open(/dev/tty)", SYS_openat, CALL_IMM(AT_FDCWD),
			  CALL_DATA(call_string(&t, "/dev/tty")), CALL_IMM(flags));
	result = puppet_run(r->ctx, p->puppet, &t);
	if (result < 0)
		return result;
	opened = (uint32_t)call_result(&t, opened);
	result = puppet_fd_out(r->ctx, p->puppet, (int)opened, ret_fd);
	closed = (int)puppet_call(r->ctx, p->puppet, "close", SYS_close,
				  (struct call_arg[6]){CALL_IMM(opened)});
	return result < 0 ? result : closed;
}

/* One that was hung up has been opened before that. */
static int create_slave(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	int fd;

	if (file->tty->hung_up) {
		*ret_fd = r->files[file->id - 1].fd;
		return 0;
	}
	if (file->tty->controlling)
		return open_controlling(r, file, ret_fd);
	fd = ptys_open_slave(r, file);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

static int create(struct rebuild *r, const Coppice__File *file, int *ret_fd)
{
	int fd;

	if (file->tty->pty != 0)
		return create_slave(r, file, ret_fd);
	if (file->flags & O_PATH)
		fd = open_path(file->tty->path, file->flags);
	else
		fd = file->tty->controlling ? open_path("/dev/tty", file->flags)
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
	const char *what = file->tty->controlling ? "/dev/tty" : "the job's terminal";

	if (file->tty->pty != 0)
		(void)snprintf(buf, size, "pseudo terminal %u%s", file->tty->pty,
			       file->tty->hung_up ? ", hung up" : "");
	else
		(void)snprintf(buf, size, "%s", file->flags & O_PATH ? file->tty->path : what);
}

const struct file_kind kind_tty = {
	.name = "terminal",
	.which = COPPICE__FILE__KIND_TTY,
	.matches = matches,
	.collect = collect,
	.collect_late = collect_late,
	.check = check,
	.create = create,
	.last = last,
	.describe = describe,
};
