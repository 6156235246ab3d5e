/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/syscall.h>

#include "puppet/fd.h"
#include "puppet/puppet.h"
#include "util/context.h"

static int leave(struct context *ctx, const struct puppet_loan *loan)
{
	return loan->entered ? puppet_leave(ctx, loan->puppet) : 0;
}

int puppet_lend(struct context *ctx, struct puppet *p, int fd, struct puppet_loan *ret_loan)
{
	struct puppet_loan loan = {.puppet = p, .entered = p->state == PUPPET_STOPPED};
	int r = loan.entered ? puppet_enter(ctx, p, 1) : 0;
	struct err first;

	if (r < 0)
		return r;
	r = p->borrowed ? fd_lend(ctx, p, fd, &loan.fd) : puppet_fds_in(ctx, p, &fd, 1, &loan.fd);
	if (r == 0) {
		*ret_loan = loan;
		return 0;
	}
	first = ctx->err;
	(void)leave(ctx, &loan); /* the first error is the one to tell */
	ctx->err = first;
	return r;
}

static int close_in(struct context *ctx, const struct puppet_loan *loan)
{
	if (loan->puppet->borrowed)
		return fd_take_back(ctx, loan->puppet);
	return (int)puppet_call(ctx, loan->puppet, "close", SYS_close,
				(const struct call_arg[6]){CALL_IMM(loan->fd)});
}

int puppet_take_back(struct context *ctx, struct puppet_loan *loan, int r)
{
	struct err first = ctx->err;
	int closed, left;

	closed = close_in(ctx, loan);
	left = leave(ctx, loan);
	loan->puppet = NULL;
	if (r < 0) {
		ctx->err = first;
		return r;
	}
	return closed < 0 ? closed : left;
}
