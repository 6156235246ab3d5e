/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controlling terminals while a tree is grown. The tree's own are there before its processes
 * (file/ptys-rebuild.c), and their sessions' leaders take them. With --shell-job there is also that of the shell
 * which runs coppice: stubs inherit it with the session. Giving one up makes the kernel send SIGHUP and
 * SIGCONT, which stay pending in stubs and are forgotten in the end (grow-finish.c). TIOCSPGRP would
 * stop a background caller by SIGTTOU; stubs have it blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "checkpoint/grow-steps.h"
#include "file/ptys.h"

int grow_tty_open(struct grown *g, const struct plan_step *step)
{
	struct puppet *puppet = g->processes[step->process].puppet;
	int fd = ptys_controlling(g->rebuild, step->tty), number;
	struct call_table t;
	int r;

	if (fd < 0)
		return err_msg(g->ctx, -EBADMSG, "terminal %u is none that can be taken",
			       step->tty);
	r = puppet_fds_in(g->ctx, puppet, &fd, 1, &number);
	if (r < 0)
		return r;
	call_table_init(&t, &g->arena);
	call_add(&t, "ioctl(TIOCSCTTY)", SYS_ioctl, CALL_IMM(number), CALL_IMM(TIOCSCTTY),
		 CALL_IMM(0));
	call_add(&t, "close", SYS_close, CALL_IMM(number));
	return puppet_run(g->ctx, puppet, &t);
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
	int r = on_dev_tty(g, step->process, "ioctl(TIOCNOTTY)", TIOCNOTTY, NULL, 0);

	if (r != -ENXIO)
		return r;
	err_clear(g->ctx); /* coppice runs without a terminal: there is none to give up */
	return 0;
}

int grow_tty_foreground(struct grown *g, const struct plan_step *step)
{
	pid_t group = grown_number_for(&g->processes[step->process], &g->processes[step->group]);

	return on_dev_tty(g, step->process, "ioctl(TIOCSPGRP)", TIOCSPGRP, &group, sizeof(group));
}
