/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controlling terminals while a tree is grown. A member of a session has the terminal only if it
 * was born after its leader had opened it, so this cannot wait until files are restored.
 *
 * The terminal is opened here and lent to the leader for the one ioctl; the descriptors that the
 * program has come later, as files. TIOCSPGRP would stop a background caller by SIGTTOU; stubs have
 * it blocked. Giving a terminal up makes the kernel send SIGHUP and SIGCONT, which stay
 * pending in stubs and are forgotten in the end (grow-finish.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "checkpoint/grow-steps.h"
#include "util/cleanup.h"

static int open_terminal(struct grown *g, uint32_t tty, int *ret_fd)
{
	const Coppice__Checkpoint *cp = g->rebuild->cp;
	const Coppice__File *file;
	int fd;

	if (tty == 0 || tty > cp->n_files || !cp->files[tty - 1]->tty)
		return err_msg(g->ctx, -EBADMSG, "file %u is no terminal", tty);
	file = cp->files[tty - 1];
	fd = open(file->tty->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(g->ctx, -errno, "open(%s)", file->tty->path);
	*ret_fd = fd;
	return 0;
}

int grow_tty_open(struct grown *g, const struct plan_step *step)
{
	struct puppet *p = g->processes[step->process].puppet;
	_cleanup_close_ int fd = -EBADF;
	struct call_table t;
	int number, r;

	r = open_terminal(g, step->tty, &fd);
	if (r == 0)
		r = puppet_fds_in(g->ctx, p, &fd, 1, &number);
	if (r < 0)
		return r;
	call_table_init(&t, &g->arena);
	call_add(&t, "ioctl(TIOCSCTTY)", SYS_ioctl, CALL_IMM(number), CALL_IMM(TIOCSCTTY));
	call_add(&t, "close", SYS_close, CALL_IMM(number));
	return puppet_run(g->ctx, p, &t);
}

/* Runs one ioctl on /dev/tty, which is the caller's controlling terminal. */
static int on_dev_tty(struct grown *g, uint32_t process, const char *what, unsigned long request,
		      const void *arg, size_t len)
{
	struct call_table t;
	uint32_t fd;

	call_table_init(&t, &g->arena);
	fd = call_add(&t, "open(/dev/tty)", SYS_openat, CALL_IMM(AT_FDCWD),
		      CALL_DATA(call_string(&t, "/dev/tty")), CALL_IMM(O_RDWR | O_CLOEXEC));
	call_add(&t, what, SYS_ioctl, CALL_RESULT(fd), CALL_IMM(request),
		 CALL_DATA(call_space(&t, arg, len)));
	call_add(&t, "close", SYS_close, CALL_RESULT(fd));
	return puppet_run(g->ctx, g->processes[process].puppet, &t);
}

int grow_tty_drop(struct grown *g, const struct plan_step *step)
{
	return on_dev_tty(g, step->process, "ioctl(TIOCNOTTY)", TIOCNOTTY, NULL, 0);
}

int grow_tty_foreground(struct grown *g, const struct plan_step *step)
{
	pid_t group = g->processes[step->group].number;

	return on_dev_tty(g, step->process, "ioctl(TIOCSPGRP)", TIOCSPGRP, &group, sizeof(group));
}
