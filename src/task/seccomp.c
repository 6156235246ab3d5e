/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secure computing mode of each thread: strict, or a chain of filters.
 *
 * Filters are read back by ptrace, oldest first (PTRACE_SECCOMP_GET_FILTER; needs CAP_SYS_ADMIN and
 * a coordinator that is not itself filtered). Chains form a tree, as a filter belongs to all who
 * were forked after it was installed: SeccompFilter.parent. Equal programs after equal histories
 * count as one, since nothing in user space can tell them apart; but threads of a process get their
 * common part by SECCOMP_FILTER_FLAG_TSYNC, so that a later TSYNC of the program finds the ancestry
 * that it asks for.
 *
 * They are installed while the stub has its privileges; the coordinator holds the stub with
 * PTRACE_O_SUSPEND_SECCOMP, so that what it still has to do is not filtered, and the filters
 * act from the moment that it is let go. SECCOMP_FILTER_FLAG_SPEC_ALLOW is always given: what the
 * filter did to speculation has its own place in the image.
 *
 * Refused: filters with SECCOMP_RET_USER_NOTIF, whose listener somebody holds, and those whose
 * verdict is computed, as they might do the same.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "kernel/proc.h"
#include "kind/task.h"
#include "util/cleanup.h"

/* ---- dump ---------------------------------------------------------------------------------- */

static bool is_return(const struct sock_filter *insn)
{
	return BPF_CLASS(insn->code) == BPF_RET;
}

/* Does some path through the program end at a listener, as far as one can tell? */
static bool may_notify(const struct sock_filter *insns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_return(&insns[i]))
			continue;
		if (BPF_RVAL(insns[i].code) == BPF_A)
			return true;
		if ((insns[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF)
			return true;
	}
	return false;
}

/* The filter with the same history, if it was met before. */
static Coppice__SeccompFilter *find_filter(const struct collect *c,
					   const Coppice__SeccompFilter *like)
{
	for (size_t i = 0; i < c->cp->n_seccomp_filters; i++) {
		Coppice__SeccompFilter *f = c->cp->seccomp_filters[i];

		if (f->parent == like->parent && f->flags == like->flags &&
		    f->insns.len == like->insns.len &&
		    !memcmp(f->insns.data, like->insns.data, f->insns.len))
			return f;
	}
	return NULL;
}

static int add_filter(struct collect *c, const Coppice__SeccompFilter *like,
		      Coppice__SeccompFilter **ret_filter)
{
	Coppice__SeccompFilter *filter = arena_memdup(c->arena, like, sizeof(*like));
	Coppice__SeccompFilter **slot = arena_append(c->arena, &c->cp->seccomp_filters,
						     &c->cp->n_seccomp_filters, sizeof(*slot));

	if (!filter || !slot)
		return err_oom(c->ctx);
	filter->id = (uint32_t)c->cp->n_seccomp_filters;
	*slot = filter;
	*ret_filter = filter;
	return 0;
}

/* The @index-th filter from the oldest. 1: read, 0: there are no more. */
static int read_filter(struct collect *c, pid_t tid, unsigned long index,
		       Coppice__SeccompFilter *filter)
{
	struct __ptrace_seccomp_metadata meta = {.filter_off = index};
	long n = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, NULL);

	if (n < 0 && errno == ENOENT)
		return 0;
	if (n < 0)
		return err_sys(c->ctx, -errno, "ptrace(PTRACE_SECCOMP_GET_FILTER, %d)", tid);
	filter->insns.len = (size_t)n * sizeof(struct sock_filter);
	filter->insns.data = arena_alloc(c->arena, filter->insns.len);
	if (!filter->insns.data)
		return err_oom(c->ctx);
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, tid, index, filter->insns.data) < 0)
		return err_sys(c->ctx, -errno, "ptrace(PTRACE_SECCOMP_GET_FILTER, %d)", tid);
	if (ptrace(PTRACE_SECCOMP_GET_METADATA, tid, sizeof(meta), &meta) < 0)
		return err_sys(c->ctx, -errno, "ptrace(PTRACE_SECCOMP_GET_METADATA, %d)", tid);
	filter->flags = (uint32_t)meta.flags;
	return 1;
}

static int collect_filter(struct collect *c, const struct collect_thread *th,
			  const Coppice__SeccompFilter *read, uint32_t *ret_id)
{
	Coppice__SeccompFilter *filter = find_filter(c, read);
	int r = 0;

	if (!filter) {
		r = add_filter(c, read, &filter);
		if (!r && may_notify((const struct sock_filter *)(const void *)read->insns.data,
				     read->insns.len / sizeof(struct sock_filter)))
			r = collect_refuse(
				c, NULL,
				"%s, thread %d: has a seccomp filter with a listener "
				"(SECCOMP_RET_USER_NOTIF), or one that computes its verdict",
				collect_name(c, th->process), th->tid);
	}
	if (!r)
		*ret_id = filter->id;
	return r;
}

static int collect_chain(struct collect *c, struct collect_thread *th)
{
	uint32_t id = 0;
	int r;

	for (unsigned long index = 0;; index++) {
		Coppice__SeccompFilter filter = COPPICE__SECCOMP_FILTER__INIT;

		filter.parent = id;
		r = read_filter(c, th->tid, index, &filter);
		if (r <= 0)
			break;
		r = collect_filter(c, th, &filter, &id);
		if (r)
			break;
	}
	th->msg->seccomp_filter = id;
	return r;
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	int r = 0;

	th->msg->seccomp_mode = th->status.seccomp;
	if (th->status.seccomp == SECCOMP_MODE_FILTER)
		r = collect_chain(c, th);
	if (r == -EACCES || r == -EPERM) {
		err_clear(c->ctx);
		return collect_refuse(c, "run coppice with CAP_SYS_ADMIN, outside of any filter",
				      "%s, thread %d: coppice may not read its seccomp filters",
				      collect_name(c, th->process), th->tid);
	}
	return r;
}

/* ---- restore ------------------------------------------------------------------------------- */

static const Coppice__SeccompFilter *filter_of(const struct rebuild *r, uint32_t id)
{
	return id ? r->cp->seccomp_filters[id - 1] : NULL;
}

static unsigned int depth(const struct rebuild *r, uint32_t id)
{
	unsigned int n = 0;

	for (; id; id = filter_of(r, id)->parent)
		n++;
	return n;
}

/* The innermost filter that both chains have. */
static uint32_t common(const struct rebuild *r, uint32_t a, uint32_t b)
{
	unsigned int depth_a = depth(r, a), depth_b = depth(r, b);

	while (a != b) {
		bool step_a = depth_a >= depth_b, step_b = depth_b >= depth_a;

		if (step_a) {
			a = filter_of(r, a)->parent;
			depth_a--;
		}
		if (step_b) {
			b = filter_of(r, b)->parent;
			depth_b--;
		}
	}
	return a;
}

/* The innermost filter that all threads of the process have. */
static uint32_t common_to_all(const struct rebuild *r, const struct rebuild_process *p)
{
	uint32_t id = p->threads[0].msg->seccomp_filter;

	for (size_t i = 1; i < p->n_threads; i++)
		id = common(r, id, p->threads[i].msg->seccomp_filter);
	return id;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	bool any = false;

	for (size_t i = 0; i < p->msg->n_threads; i++)
		any = any || p->msg->threads[i]->seccomp_mode != SECCOMP_MODE_DISABLED;
	if (!any)
		return 0;
	if (prctl(PR_GET_SECCOMP) > 0)
		return rebuild_refuse(r, "run coppice outside of any filter",
				      "%s: has a seccomp filter, and coppice itself is filtered",
				      rebuild_name(r, p));
	return 0;
}

static void add_install(struct call_table *t, const Coppice__SeccompFilter *filter, uint32_t flags)
{
	struct {
		uint64_t len;
		uint64_t insns;
	} program = {.len = filter->insns.len / sizeof(struct sock_filter)};
	uint32_t insns_at = call_space(t, filter->insns.data, filter->insns.len);
	uint32_t program_at = call_space(t, &program, sizeof(program));

	call_point(t, program_at + offsetof(typeof(program), insns), insns_at);
	call_expect_exact(t,
			  call_add(t, "seccomp(SECCOMP_SET_MODE_FILTER)", SYS_seccomp,
				   CALL_IMM(SECCOMP_SET_MODE_FILTER),
				   CALL_IMM(filter->flags | flags | SECCOMP_FILTER_FLAG_SPEC_ALLOW),
				   CALL_DATA(program_at)),
			  0);
}

/* Appends the installation of the filters from below @from (0: all) up to @to, oldest first. */
static int add_chain(struct rebuild *r, struct call_table *t, uint32_t from, uint32_t to,
		     uint32_t flags)
{
	unsigned int n = depth(r, to) - depth(r, from);
	_cleanup_free_ uint32_t *ids = calloc(n + 1, sizeof(*ids));

	if (!ids)
		return err_oom(r->ctx);
	for (unsigned int i = n; i > 0; i--, to = filter_of(r, to)->parent)
		ids[i - 1] = to;
	for (unsigned int i = 0; i < n; i++)
		add_install(t, filter_of(r, ids[i]), flags);
	return 0;
}

/*
 * In the install phase, while the stub has CAP_SYS_ADMIN: without it the kernel demands
 * no_new_privs, which the program need not have.
 */
static int install(struct rebuild *r, struct rebuild_process *p, struct call_table *t)
{
	return add_chain(r, t, 0, common_to_all(r, p),
			 p->n_threads > 1 ? SECCOMP_FILTER_FLAG_TSYNC : 0);
}

static int install_thread(struct rebuild *r, struct rebuild_thread *th, struct call_table *t)
{
	if (th->msg->seccomp_mode == SECCOMP_MODE_STRICT)
		call_add(t, "seccomp(SECCOMP_SET_MODE_STRICT)", SYS_seccomp,
			 CALL_IMM(SECCOMP_SET_MODE_STRICT), CALL_IMM(0), CALL_IMM(0));
	return add_chain(r, t, common_to_all(r, th->process), th->msg->seccomp_filter, 0);
}

const struct task_aspect aspect_seccomp = {
	.name = "seccomp",
	.collect_thread = collect_thread,
	.check = check,
	.install = install,
	.install_thread = install_thread,
};
