/* SPDX-License-Identifier: Apache-2.0 */
/*
 * General registers and extended processor state of each thread.
 *
 * In the image's copy of the registers a system call that was interrupted is left such that the
 * kernel restarts it in another task, too (arch_fix_restart): the rest of a relative timeout is
 * known to nobody, so it starts anew. The extended state is kept up to its last component in use,
 * and fits any machine that has these components at the same places.
 *
 * A stub gets both when it becomes the program's task (puppet_become).
 */
#include "task/registers.h"
#include "kind/task.h"
#include "puppet/arch-xstate.h"
#include "puppet/arch.h"

/* ---- dump ---------------------------------------------------------------------------------- */

static int keep(struct collect *c, ProtobufCBinaryData *to, const void *from, size_t len)
{
	to->data = arena_memdup(c->arena, from, len);
	to->len = len;
	return to->data ? 0 : err_oom(c->ctx);
}

static int collect_xstate(struct collect *c, struct collect_thread *th)
{
	_Alignas(64) unsigned char buf[ARCH_XSTATE_MAX];
	int len = arch_get_xstate(c->ctx, th->tid, buf, sizeof(buf));

	if (len < 0)
		return len;
	return keep(c, &th->msg->xstate, buf, arch_xstate_trim(buf, (size_t)len));
}

int registers_collect(struct collect *c, struct collect_thread *th)
{
	struct arch_regs regs = th->puppet->regs;
	int r;

	if (!arch_is_native(&regs))
		return collect_refuse(c, NULL, "%s, thread %d (%s): is a 32-bit task",
				      collect_name(c, th->process), th->tid, th->stat.comm);
	arch_fix_restart(&regs, false);
	th->msg->sigmask = th->puppet->sigmask;
	r = keep(c, &th->msg->regs, regs.bytes, regs.len);
	return r ? r : collect_xstate(c, th);
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	return c->stubs ? 0 : registers_collect(c, th);
}

static void ask(struct collect *c _unused_, struct collect_process *p _unused_,
		struct call_table *t)
{
	arch_ask_permission(t);
}

/* The permission belongs to the process; each thread's message has it for itself. */
static int reply(struct collect *c _unused_, struct collect_process *p, struct call_table *t,
		 uint32_t first)
{
	for (size_t i = 0; i < p->n_threads; i++)
		p->threads[i].msg->xstate_permission = arch_permission(t, first);
	return 0;
}

int registers_describe(struct collect *c, Coppice__Origin *origin)
{
	origin->xstate_features = arch_xstate_features();
	origin->xstate_size = (uint32_t)arch_xstate_size();
	origin->xstate_places = arena_new_n(c->arena, uint32_t, ARCH_XSTATE_COMPONENTS);
	if (!origin->xstate_places)
		return err_oom(c->ctx);
	for (unsigned int i = 0; i < ARCH_XSTATE_COMPONENTS && origin->xstate_features >> i; i++) {
		uint32_t size;

		arch_xstate_place(i, &origin->xstate_places[i], &size);
		origin->n_xstate_places++;
	}
	return 0;
}

/* ---- restore ------------------------------------------------------------------------------- */

static bool same_place(const Coppice__Origin *origin, unsigned int component)
{
	uint32_t offset, size;

	arch_xstate_place(component, &offset, &size);
	return component < origin->n_xstate_places && origin->xstate_places[component] == offset;
}

static int check_thread(struct rebuild *r, const struct rebuild_process *p,
			const Coppice__Thread *th)
{
	uint64_t used = arch_xstate_used(th->xstate.data, th->xstate.len);
	uint64_t missing = used & ~arch_xstate_features();
	int res = 0;

	if (missing)
		res = rebuild_refuse(r, "restore it on a CPU that has them",
				     "%s, thread %d: uses processor state that this CPU does not "
				     "have (XSAVE components %#llx)",
				     rebuild_name(r, p), th->tid[0], (unsigned long long)missing);
	for (unsigned int i = 0; i < ARCH_XSTATE_COMPONENTS && !res; i++)
		if (used & ~missing & UINT64_C(1) << i && !same_place(r->cp->origin, i))
			res = rebuild_refuse(r, "restore it on a CPU of the same maker",
					     "%s, thread %d: this CPU keeps XSAVE component %u "
					     "elsewhere",
					     rebuild_name(r, p), th->tid[0], i);
	return res;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	int res = 0;

	for (size_t i = 0; i < p->msg->n_threads && !res; i++)
		res = check_thread(r, p, p->msg->threads[i]);
	return res;
}

static int install(struct rebuild *r _unused_, struct rebuild_process *p, struct call_table *t)
{
	if (p->n_threads)
		arch_request_permission(t, p->threads[0].msg->xstate_permission);
	return 0;
}

static int install_thread(struct rebuild *r _unused_, struct rebuild_thread *th,
			  struct call_table *t)
{
	const ProtobufCBinaryData *xstate = &th->msg->xstate;

	arch_request_room(t, arch_xstate_used(xstate->data, xstate->len));
	return 0;
}

const struct task_aspect aspect_registers = {
	.name = "registers",
	.collect_thread = collect_thread,
	.ask = ask,
	.reply = reply,
	.check = check,
	.install = install,
	.install_thread = install_thread,
};
