/* SPDX-License-Identifier: Apache-2.0 */
#include "util/context.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *err_name(int code)
{
	const char *name = strerrorname_np(code < 0 ? -code : code);

	return name ? name : "?";
}

static void chain_start(struct err *err, int r)
{
	assert(r < 0);
	err->code = r;
	err->frames = 1;
	err->hint[0] = '\0';
}

int(err_sys)(struct context *ctx, int r, const char *fmt, ...)
{
	struct err *err = &ctx->err;
	char text[ERR_TEXT - 96];
	va_list ap;

	/* Format first: an argument may point into the chain that is about to be replaced. */
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	chain_start(err, r);
	(void)snprintf(err->frame[0], ERR_TEXT, "%s: %s (%s)", text, strerrordesc_np(-r),
		       err_name(r));
	return r;
}

int(err_msg)(struct context *ctx, int r, const char *fmt, ...)
{
	char text[ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	chain_start(&ctx->err, r);
	memcpy(ctx->err.frame[0], text, sizeof(text));
	return r;
}

int(err_oom)(struct context *ctx)
{
	return err_msg(ctx, -ENOMEM, "out of memory");
}

int(err_while)(struct context *ctx, int r, const char *fmt, ...)
{
	struct err *err = &ctx->err;
	va_list ap;

	assert(r < 0);
	if (err->frames == 0)
		(void)err_sys(ctx, r, "unnamed cause");
	/* A full chain keeps its cause and its outermost frames: the last slot is reused. */
	if (err->frames == ERR_FRAMES)
		err->frames--;
	va_start(ap, fmt);
	(void)vsnprintf(err->frame[err->frames++], ERR_TEXT, fmt, ap);
	va_end(ap);
	return r;
}

int(err_hint)(struct context *ctx, int r, const char *fmt, ...)
{
	va_list ap;

	if (ctx->err.hint[0] != '\0')
		return r;
	va_start(ap, fmt);
	(void)vsnprintf(ctx->err.hint, ERR_TEXT, fmt, ap);
	va_end(ap);
	return r;
}

void err_clear(struct context *ctx)
{
	ctx->err.code = 0;
	ctx->err.frames = 0;
	ctx->err.hint[0] = '\0';
}

void log_msg(struct context *ctx, enum log_level level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (!ctx->sink || level > ctx->level)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ctx->sink(ctx->sink_data, level, text);
}

int fault_point(struct context *ctx, const char *what)
{
	struct fault *fault = &ctx->fault;
	int r;

	fault->count++;
	if (fault->at == 0 || fault->count != fault->at)
		return 0;
	r = fault->strike(fault->data);
	return r < 0 ? err_sys(ctx, r, "%s (injected fault %llu)", what,
			       (unsigned long long)fault->at)
		     : 0;
}

int cancel_point(struct context *ctx)
{
	if (!ctx->cancel || *ctx->cancel == 0)
		return 0;
	return err_msg(ctx, -ECANCELED, "stopped by signal %d", *ctx->cancel);
}
