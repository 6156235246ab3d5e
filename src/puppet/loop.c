/* SPDX-License-Identifier: Apache-2.0 */
#include "puppet/loop.h"

#include "util/context.h"

uint64_t loop_code_len(void)
{
	return 4096;
}

int loop_write_code(struct context *ctx, struct puppet *p)
{
	(void)ctx;
	(void)p;
	return 0;
}

int loop_connect(struct context *ctx, struct boot *b)
{
	(void)ctx;
	(void)b;
	return 0;
}

int loop_disconnect(struct context *ctx, struct boot *b)
{
	(void)ctx;
	(void)b;
	return 0;
}

int loop_enter(struct context *ctx, struct boot *b)
{
	return boot_end(ctx, b);
}

int loop_park(struct context *ctx, struct puppet *p)
{
	(void)ctx;
	(void)p;
	return 0;
}

int loop_leave(struct context *ctx, struct puppet *p)
{
	(void)ctx;
	(void)p;
	return 0;
}
