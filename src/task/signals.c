/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal actions (one table for all who share it, CLONE_SIGHAND), the blocked signals and the
 * alternate stack of each thread. Queued signals: see pending.c. A stopped job's state belongs to
 * process.c.
 *
 * Stubs have all signals blocked but SIGTRAP, which they ring with: nothing runs a handler before
 * the program has its own registers back. The program's mask is set when the stub becomes it.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "kind/task.h"
#include "task/stub.h"

enum { N_SIGNALS = 64 };

/* struct sigaction as the kernel has it. */
struct kernel_sigaction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

/* struct sigaltstack as the kernel has it. */
struct kernel_sigaltstack {
	uint64_t sp;
	int32_t flags;
	uint64_t size;
};

static bool has_action(int sig)
{
	return sig != SIGKILL && sig != SIGSTOP;
}

static void add_sigaction(struct call_table *t, int sig, struct call_arg action,
			  struct call_arg old)
{
	call_add(t, "rt_sigaction()", SYS_rt_sigaction, CALL_IMM(sig), action, old,
		 CALL_IMM(sizeof(uint64_t)));
}

/* ---- dump ---------------------------------------------------------------------------------- */

static void ask(struct collect *c _unused_, struct collect_process *p, struct call_table *t)
{
	uint32_t at;

	if (p->sighand_owner != p)
		return;
	at = call_space(t, NULL, N_SIGNALS * sizeof(struct kernel_sigaction));
	for (int sig = 1; sig <= N_SIGNALS; sig++)
		if (has_action(sig))
			add_sigaction(t, sig, CALL_IMM(0),
				      CALL_DATA(at + (uint32_t)(sig - 1) *
							     sizeof(struct kernel_sigaction)));
}

static int add_action(struct collect *c, Coppice__Sighand *sighand, int sig,
		      const struct kernel_sigaction *from)
{
	Coppice__SigAction *action = arena_new(c->arena, Coppice__SigAction);
	Coppice__SigAction **slot = arena_append(c->arena, &sighand->actions, &sighand->n_actions,
						 sizeof(*sighand->actions));

	if (!action || !slot)
		return err_oom(c->ctx);
	*slot = action;
	coppice__sig_action__init(action);
	action->signal = (uint32_t)sig;
	action->handler = from->handler;
	action->flags = from->flags;
	action->restorer = from->restorer;
	action->mask = from->mask;
	return 0;
}

static int reply(struct collect *c, struct collect_process *p, struct call_table *t, uint32_t first)
{
	static const struct kernel_sigaction none;
	const struct kernel_sigaction *actions;
	int r = 0;

	if (p->sighand_owner != p)
		return 0;
	actions = call_arg_bytes(t, first, 2); /* of signal 1 */
	for (int sig = 1; sig <= N_SIGNALS && !r; sig++)
		if (memcmp(&actions[sig - 1], &none, sizeof(none)))
			r = add_action(c, c->cp->sighands[p->msg->sighand - 1], sig,
				       &actions[sig - 1]);
	return r;
}

static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	uint32_t at = call_space(t, NULL, sizeof(struct kernel_sigaltstack));

	call_add(t, "sigaltstack()", SYS_sigaltstack, CALL_IMM(0), CALL_DATA(at));
}

static int reply_thread(struct collect *c, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	const struct kernel_sigaltstack *from = call_arg_bytes(t, first, 1);
	Coppice__AltStack *stack = arena_new(c->arena, Coppice__AltStack);

	if (!stack)
		return err_oom(c->ctx);
	coppice__alt_stack__init(stack);
	stack->sp = from->sp;
	stack->size = from->size;
	/* SS_ONSTACK is computed from the stack pointer, which is ours at the moment. */
	stack->flags = (uint32_t)from->flags & ~(uint32_t)SS_ONSTACK;
	th->msg->altstack = stack;
	return 0;
}

/* ---- restore ------------------------------------------------------------------------------- */

/*
 * To default what coppice was started with as ignored. SIGCHLD in any case: it flushes what the
 * deaths of scaffolds and zombies have left pending.
 */
static void add_defaults(struct call_table *t, uint64_t ignored)
{
	static const struct kernel_sigaction by_default;
	uint32_t at = call_space(t, &by_default, sizeof(by_default));

	for (int sig = 1; sig <= N_SIGNALS; sig++)
		if (has_action(sig) && (ignored >> (sig - 1) & 1 || sig == SIGCHLD))
			add_sigaction(t, sig, CALL_DATA(at), CALL_IMM(0));
}

static int last(struct rebuild *r, struct rebuild_process *p, struct call_table *t)
{
	const struct stub_origin *origin;
	const Coppice__Sighand *sighand;
	int res;

	if (!p->owns_sighand)
		return 0;
	res = stub_origin(r, &origin);
	if (res)
		return res;
	add_defaults(t, origin->status.sig_ignored);
	sighand = r->cp->sighands[p->msg->sighand - 1];
	for (size_t i = 0; i < sighand->n_actions; i++) {
		const Coppice__SigAction *from = sighand->actions[i];
		const struct kernel_sigaction action = {from->handler, from->flags, from->restorer,
							from->mask};

		add_sigaction(t, (int)from->signal,
			      CALL_DATA(call_space(t, &action, sizeof(action))), CALL_IMM(0));
	}
	return 0;
}

static int last_thread(struct rebuild *r _unused_, struct rebuild_thread *th, struct call_table *t)
{
	const Coppice__AltStack *from = th->msg->altstack;
	struct kernel_sigaltstack stack = {0};

	if (!from || from->flags & SS_DISABLE)
		return 0;
	stack.sp = from->sp;
	stack.flags = (int32_t)from->flags;
	stack.size = from->size;
	call_add(t, "sigaltstack()", SYS_sigaltstack,
		 CALL_DATA(call_space(t, &stack, sizeof(stack))), CALL_IMM(0));
	return 0;
}

const struct task_aspect aspect_signals = {
	.name = "signals",
	.ask = ask,
	.reply = reply,
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.last = last,
	.last_thread = last_thread,
};
