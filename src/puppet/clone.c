/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stubs that clone stubs, with call tables of clone3 entries. CLONE_PTRACE attaches the child with
 * its parent's options (PTRACE_O_EXITKILL) without a stop of the parent; the child stops before its
 * first instruction, which is in the made loop, on its own slot: it is ready for a table.
 */
#include <assert.h>
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
	return parent->pid_depth + (how->flags & CLONE_NEWPID ? 1 : 0);
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
		child->pid_depth = child_depth(parent, how);
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

/* Takes over all the children that the table has made. @r: how it ended. */
static int adopt_all(struct context *ctx, const struct puppet *parent,
		     const struct puppet_clone *how, const struct call_table *t,
		     const uint32_t *slots, int r, struct puppet **ret_children)
{
	for (size_t i = 0; i < t->n_calls && t->calls[i].done; i++) {
		int adopted;

		if (t->calls[i].result < 0)
			return born_failed(ctx, clone_failed(ctx, r, parent, &how[i]), &how[i]);
		adopted = adopt(ctx, parent, &how[i], number_here(parent, &how[i]), slots[i],
				&ret_children[i]);
		if (adopted < 0)
			r = born_failed(ctx, adopted, &how[i]);
	}
	return r;
}

int puppet_clone_many(struct context *ctx, struct puppet *parent, const struct puppet_clone *how,
		      size_t n, struct puppet **ret_children)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	struct call_table t;
	uint32_t *slots;
	int r;

	memset(ret_children, 0, n * sizeof(*ret_children));
	arena_init(&arena, ctx);
	call_table_init(&t, &arena);
	slots = arena_new_n(&arena, uint32_t, n);
	if (!slots)
		return err_oom(ctx);
	for (size_t i = 0; i < n; i++) {
		assert(number_here(parent, &how[i]) > 0);
		slots[i] = take_slot(parent, &how[i]);
		add_clone(&t, parent, &how[i], slots[i]);
	}
	r = check_slots(ctx, parent);
	if (r == 0)
		r = puppet_run(ctx, parent, &t);
	return t.failed ? r : adopt_all(ctx, parent, how, &t, slots, r, ret_children);
}

enum { FORK_EVENTS = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE };

static int set_options(struct context *ctx, const struct puppet *p, unsigned long options)
{
	options |= PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
	if (ptrace(PTRACE_SETOPTIONS, p->tid, NULL, options | PTRACE_O_SUSPEND_SECCOMP) == 0 ||
	    ptrace(PTRACE_SETOPTIONS, p->tid, NULL, options) == 0)
		return 0;
	return err_sys(ctx, -errno, "ptrace(PTRACE_SETOPTIONS, %d)", p->tid);
}

/* The way that costs a stop: the fork event tells the child's number in our namespace. */
static int clone_watched(struct context *ctx, struct puppet *parent, const struct puppet_clone *how,
			 struct puppet **ret_child)
{
	_cleanup_(arena_deinit) struct arena arena = {0};
	uint32_t slot = take_slot(parent, how);
	struct call_table t;
	int r;

	arena_init(&arena, ctx);
	r = check_slots(ctx, parent);
	if (r == 0)
		r = set_options(ctx, parent, FORK_EVENTS);
	if (r < 0)
		return r;
	parent->born = 0;
	call_table_init(&t, &arena);
	add_clone(&t, parent, how, slot);
	r = puppet_run(ctx, parent, &t);
	if (r < 0)
		return r;
	if (parent->born == 0)
		return err_msg(ctx, -EPROTO, "task %d: clone3 without a ptrace event", parent->tid);
	r = adopt(ctx, parent, how, parent->born, slot, ret_child);
	if (r == 0)
		r = set_options(ctx, *ret_child, 0);
	return r < 0 ? r : set_options(ctx, parent, 0);
}

int puppet_clone(struct context *ctx, struct puppet *parent, const struct puppet_clone *how,
		 struct puppet **ret_child)
{
	int r;

	if (number_here(parent, how) > 0)
		return puppet_clone_many(ctx, parent, how, 1, ret_child);
	*ret_child = NULL;
	r = clone_watched(ctx, parent, how, ret_child);
	return r < 0 ? born_failed(ctx, r, how) : 0;
}
