/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controlling terminals while a tree is grown. The only terminal that an image has is that of
 * the shell which runs coppice (--shell-job): stubs inherit it with the session. Giving it up makes
 * the kernel send SIGHUP and SIGCONT, which stay pending in stubs and are forgotten in the end
 * (grow-finish.c). TIOCSPGRP would stop a background caller by SIGTTOU; stubs have it blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "checkpoint/grow-steps.h"

int grow_tty_open(struct grown *g, const struct plan_step *step)
{
	return err_msg(g->ctx, -EOPNOTSUPP,
		       "terminal %u: a terminal of the tree's own cannot be restored yet",
		       step->tty);
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
	pid_t group = g->processes[step->group].number;

	return on_dev_tty(g, step->process, "ioctl(TIOCSPGRP)", TIOCSPGRP, &group, sizeof(group));
}
