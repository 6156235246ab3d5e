/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stubs that clone stubs, with call tables of clone3 entries. CLONE_PTRACE attaches the child with
 * its parent's options (PTRACE_O_EXITKILL) without a stop of the parent; the child stops before its
 * first instruction, which is in the made loop, on its own slot: it is ready for a table.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "puppet/made.h"
#include "puppet/ring.h"
#include "puppet/trace.h"
#include "util/arena.h"
#include "util/cleanup.h"
#include "util/context.h"

static puppet_addr slot_end(const struct puppet_area *area, uint32_t slot)
{
	return area_slot(area, slot) + area->slot_size;
}

/* The slot that the child is going to use: a free one, or in a copy of the area the same. */
static uint32_t take_slot(struct puppet *parent, const struct puppet_clone *how)
{
	struct puppet_area *area = parent->area;

	if (!(how->flags & CLONE_VM))
		return parent->slot;
	if (area->next_slot == area->first_slot)
		area->next_slot++;
	return area->next_slot++;
}

static uint32_t child_depth(const struct puppet *parent, const struct puppet_clone *how)
{
	return parent->birth_depth + (how->flags & CLONE_NEWPID ? 1 : 0);
}

static void add_clone(struct call_table *t, const struct puppet *parent,
		      const struct puppet_clone *how, uint32_t slot)
{
	struct clone_args args = {
		.flags = how->flags | CLONE_PTRACE,
		.exit_signal = (uint64_t)how->exit_signal,
		.set_tid_size = how->n_set_tid,
	};
	uint32_t at = call_space(t, &args, sizeof(args));

	if (how->n_set_tid > 0) {
		uint32_t tids = call_space(t, how->set_tid, how->n_set_tid * sizeof(pid_t));

		call_point(t, at + offsetof(struct clone_args, set_tid), tids);
	}
	call_add(t, "clone3", CALL_OP_CLONE, CALL_DATA(at), CALL_IMM(sizeof(args)),
		 CALL_IMM(area_slot(parent->area, slot)), CALL_IMM(slot_end(parent->area, slot)));
}

/* The area of a child that gets a copy of its parent's memory. */
static struct puppet_area *area_copy(const struct puppet_area *area, uint32_t slot)
{
	struct puppet_area *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *area;
	copy->users = 0;
	copy->first_slot = slot;
	copy->next_slot = 0;
	return copy;
}

static int share_doorbell(struct context *ctx, const struct puppet *parent, struct puppet *child)
{
	if (parent->socket < 0 || child->tid != child->tgid)
		return 0;
	child->socket = fcntl(parent->socket, F_DUPFD_CLOEXEC, 0);
	return child->socket < 0 ? err_sys(ctx, -errno, "fcntl(F_DUPFD_CLOEXEC)") : 0;
}

static struct puppet *child_new(const struct puppet *parent, const struct puppet_clone *how,
				pid_t tid, uint32_t slot)
{
	struct puppet_area *area = parent->area;
	struct puppet *child;

	if (!(how->flags & CLONE_VM))
		area = area_copy(area, slot);
	if (!area)
		return NULL;
	child = made_new(tid, how->flags & CLONE_THREAD ? parent->tgid : tid, area, slot);
	if (!child && area != parent->area)
		free(area);
	if (child)
		child->pid_depth = child->birth_depth = child_depth(parent, how);
	return child;
}

/* Waits for the first stop of a child that is being born, and takes it over. */
static int adopt(struct context *ctx, const struct puppet *parent, const struct puppet_clone *how,
		 pid_t tid, uint32_t slot, struct puppet **ret_child)
{
	struct puppet *child = child_new(parent, how, tid, slot);
	int r;

	if (!child) {
		(void)kill(tid, SIGKILL); /* cannot fail: it is our tracee */
		(void)waitpid(tid, NULL, __WALL);
		return err_oom(ctx);
	}
	r = trace_await_park(ctx, child);
	if (r == 0)
		r = share_doorbell(ctx, parent, child);
	/* Handed over even so: the caller kills it with the others. */
	child->state = child->state == PUPPET_GONE ? PUPPET_GONE : PUPPET_LOOP;
	*ret_child = child;
	return r;
}

/* The number of the child in the coordinator's namespace, or 0: only ptrace can tell. */
static pid_t number_here(const struct puppet *parent, const struct puppet_clone *how)
{
	uint32_t depth = child_depth(parent, how);

	return how->n_set_tid > depth ? how->set_tid[depth] : 0;
}

static int clone_failed(struct context *ctx, int r, const struct puppet *parent,
			const struct puppet_clone *how)
{
	pid_t here = number_here(parent, how);

	if (r == -EEXIST && here > 0)
		return made_pid_in_use(ctx, here);
	return r;
}

static int born_failed(struct context *ctx, int r, const struct puppet_clone *how)
{
	if (how->n_set_tid == 0)
		return err_while(ctx, r, "cloning a task");
	return err_while(ctx, r, "cloning %s %d", how->flags & CLONE_THREAD ? "thread" : "process",
			 how->set_tid[how->n_set_tid - 1]);
}

static int check_slots(struct context *ctx, const struct puppet *parent)
{
	if (parent->area->next_slot <= parent->area->n_slots)
		return 0;
	return err_msg(ctx, -ENOSPC, "more than %u tasks in one address space",
		       parent->area->n_slots);
}

/* Children of one parent while they are made by one table. */
struct births {
	const struct puppet_clone *how;
	uint32_t *slots;
	pid_t *numbers; /* in the coordinator's namespace; 0: not known */
	bool watched;	/* their parent stops for each, so that ptrace tells the number */
};

static int set_options(struct context *ctx, const struct puppet *p, unsigned long options)
{
	options |= PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
	if (ptrace(PTRACE_SETOPTIONS, p->tid, NULL, options | PTRACE_O_SUSPEND_SECCOMP) == 0 ||
	    ptrace(PTRACE_SETOPTIONS, p->tid, NULL, options) == 0)
		return 0;
	return err_sys(ctx, -errno, "ptrace(PTRACE_SETOPTIONS, %d)", p->tid);
}

/* Takes over all the children that the table has made. @r: how it ended. */
static int adopt_all(struct context *ctx, const struct puppet *parent, const struct births *b,
		     const struct call_table *t, int r, struct puppet **ret_children)
{
	for (size_t i = 0; i < t->n_calls && t->calls[i].done; i++) {
		const struct puppet_clone *how = &b->how[i];
		int adopted = 0;

		if (t->calls[i].result < 0)
			return born_failed(ctx, clone_failed(ctx, r, parent, how), how);
		if (b->numbers[i] == 0)
			adopted = err_msg(ctx, -EPROTO, "task %d: clone3 without a ptrace event",
					  parent->tid);
		if (adopted == 0)
			adopted = adopt(ctx, parent, how, b->numbers[i], b->slots[i],
					&ret_children[i]);
		/* The parent's options have come down to it. */
		if (adopted == 0 && b->watched)
			adopted = set_options(ctx, ret_children[i], 0);
		if (adopted < 0)
			r = born_failed(ctx, adopted, how);
	}
	return r;
}

/* The fork event tells the child's number as our namespace has it (ptrace_event_pid()). */
static int run_watched(struct context *ctx, struct puppet *parent, const struct births *b, size_t n,
		       struct call_table *t)
{
	int r = set_options(ctx, parent,
			    PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE);
	struct err first;

	if (r < 0)
		return r;
	parent->born = b->numbers;
	parent->n_born = 0;
	parent->born_room = n;
	r = puppet_run(ctx, parent, t);
	parent->born_room = parent->n_born = 0;
	parent->born = NULL;
	if (r == 0)
		return set_options(ctx, parent, 0);
	first = ctx->err;
	(void)set_options(ctx, parent, 0); /* the table's error is the one to tell */
	ctx->err = first;
	return r;
}

static int prepare(struct context *ctx, struct puppet *parent, struct births *b, size_t n,
		   struct call_table *t)
{
	b->slots = arena_new_n(t->arena, uint32_t, n);
	b->numbers = arena_new_n(t->arena, pid_t, n);
	if (!b->slots || !b->numbers)
		return err_oom(ctx);
	for (size_t i = 0; i < n; i++) {
		b->slots[i] = take_slot(parent, &b->how[i]);
		b->numbers[i] = number_here(parent, &b->how[i]);
		b->watched |= b->numbers[i] == 0;
		add_clone(t, parent, &b->how[i], b->slots[i]);
	}
	if (b->watched)
		memset(b->numbers, 0, n * sizeof(*b->numbers));
	return check_slots(ctx, parent);
}

int puppet_clone_many(struct context *ctx, struct puppet *parent, const struct puppet_clone *how,
		      size_t n, struct puppet **ret_children)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct births births = {.how = how};
	struct call_table t;
	int r;

	memset(ret_children, 0, n * sizeof(*ret_children));
	arena_init(&arena, ctx);
	call_table_init(&t, &arena);
	r = prepare(ctx, parent, &births, n, &t);
	if (r < 0)
		return r;
	r = births.watched ? run_watched(ctx, parent, &births, n, &t) : puppet_run(ctx, parent, &t);
	return t.failed ? r : adopt_all(ctx, parent, &births, &t, r, ret_children);
}

int puppet_clone(struct context *ctx, struct puppet *parent, const struct puppet_clone *how,
		 struct puppet **ret_child)
{
	return puppet_clone_many(ctx, parent, how, 1, ret_child);
}
