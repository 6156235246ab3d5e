/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "kind/collect.h"
#include "kind/rebuild.h"

static int refusal_add(struct context *ctx, struct arena *arena, struct refusal **list, size_t *n,
		       const char *hint, const char *fmt, va_list ap)
{
	char text[ERR_TEXT];
	struct refusal *refusal;

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	refusal = arena_append(arena, list, n, sizeof(*refusal));
	if (!refusal)
		return err_oom(ctx);
	refusal->text = arena_strdup(arena, text);
	refusal->hint = hint ? arena_strdup(arena, hint) : NULL;
	if (!refusal->text || (hint && !refusal->hint)) {
		(*n)--;
		return err_oom(ctx);
	}
	log_debug(ctx, "refused: %s", text);
	return 0;
}

int collect_refuse(struct collect *c, const char *hint, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = refusal_add(c->ctx, c->arena, &c->refusals, &c->n_refusals, hint, fmt, ap);
	va_end(ap);
	return r;
}

int rebuild_refuse(struct rebuild *rb, const char *hint, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = refusal_add(rb->ctx, rb->arena, &rb->refusals, &rb->n_refusals, hint, fmt, ap);
	va_end(ap);
	return r;
}

int refusals_error(struct context *ctx, const struct refusal *list, size_t n, const char *command)
{
	const char *hint = list[0].hint ? list[0].hint : "";
	const char *between = list[0].hint ? "; " : "";

	(void)err_msg(ctx, -EOPNOTSUPP, "%s", list[0].text);
	if (n > 1)
		return err_hint(ctx, -EOPNOTSUPP, "%s%s'%s' lists all %zu reasons", hint, between,
				command, n);
	return list[0].hint ? err_hint(ctx, -EOPNOTSUPP, "%s", hint) : -EOPNOTSUPP;
}

const char *collect_name(struct collect *c, const struct collect_process *p)
{
	const char *name = arena_printf(c->arena, "process %d (%s)", p->pid, p->stat.comm);

	return name ? name : "process";
}

const char *rebuild_name(struct rebuild *r, const struct rebuild_process *p)
{
	const Coppice__Process *msg = p->msg;
	const char *comm = msg->n_threads ? msg->threads[0]->comm : msg->comm;
	const char *name = arena_printf(r->arena, "process %d (%s)", msg->pid[0], comm);

	return name ? name : "process";
}

struct proc_dir collect_dir(const struct collect *c, const struct collect_process *p)
{
	return (struct proc_dir){
		.fd = p->proc_fd,
		.ahead = c->ahead,
		.place = (size_t)(p - c->processes),
	};
}

const char *collect_prefix(const struct collect_thread *th, char buf[COLLECT_PREFIX])
{
	buf[0] = '\0';
	if (th != &th->process->threads[0])
		(void)snprintf(buf, COLLECT_PREFIX, "task/%d/", th->tid);
	return buf;
}
