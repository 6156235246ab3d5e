/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that were sent but not yet taken: of each thread and of the process, with their siginfo,
 * in queue order (PTRACE_PEEKSIGINFO).
 *
 * A signal may be pending without a queue entry, when the kernel had no room for one; the program
 * would get it with si_code SI_USER, PID and uid 0, so such an entry is written down for it.
 *
 * Only the task itself may queue a siginfo with si_code >= 0 or SI_TKILL: the process's by its
 * leader, which must therefore be alive. Stubs have all signals blocked but SIGTRAP; where one of
 * these is pending, it is blocked, too, which takes a stub that does not ring with it.
 *
 * A pending SI_TIMER signal comes back as an ordinary queue entry: the kernel no longer knows that
 * it belongs to a timer, so that expirations from then on until it is taken are a signal of their
 * own instead of adding to its overrun count.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "kind/task.h"
#include "task/pending.h"
#include "util/cleanup.h"

enum { PEEK_AT_ONCE = 16, N_SIGNALS = 64 };

struct queue {
	Coppice__SigInfo ***entries;
	size_t *n;
};

static struct queue shared_queue(const struct collect_process *p)
{
	return (struct queue){&p->msg->pending, &p->msg->n_pending};
}

static struct queue private_queue(const struct collect_thread *th)
{
	return (struct queue){&th->msg->pending, &th->msg->n_pending};
}

static uint64_t bit(int sig)
{
	return UINT64_C(1) << (sig - 1);
}

/* ---- dump ---------------------------------------------------------------------------------- */

static int add_entry(struct collect *c, struct queue q, const siginfo_t *info)
{
	Coppice__SigInfo *msg = arena_new(c->arena, Coppice__SigInfo);
	Coppice__SigInfo **slot;

	if (!msg)
		return err_oom(c->ctx);
	coppice__sig_info__init(msg);
	msg->raw.len = sizeof(*info);
	msg->raw.data = arena_memdup(c->arena, info, sizeof(*info));
	slot = arena_append(c->arena, q.entries, q.n, sizeof(*slot));
	if (!msg->raw.data || !slot)
		return err_oom(c->ctx);
	*slot = msg;
	return 0;
}

/* Up to PEEK_AT_ONCE entries from the @offset-th on; their number, or -errno. */
static int peek(struct context *ctx, pid_t tid, bool shared, size_t offset, siginfo_t *infos)
{
	struct __ptrace_peeksiginfo_args args = {
		.off = offset,
		.flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0,
		.nr = PEEK_AT_ONCE,
	};
	long n = ptrace(PTRACE_PEEKSIGINFO, tid, &args, infos);

	return n < 0 ? err_sys(ctx, -errno, "ptrace(PTRACE_PEEKSIGINFO, %d)", tid) : (int)n;
}

static int read_now(struct collect *c, const struct collect_thread *th, struct proc_status *ret)
{
	/* That of the process is the first thread's. */
	bool first = th == &th->process->threads[0];
	_cleanup_close_ int fd = -EBADF;
	int r = first ? 0 : proc_open_task(th->process->proc_fd, th->tid, &fd);

	if (r == 0)
		r = proc_read_status(first ? th->process->proc_fd : fd, c->arena, ret);
	return r < 0 ? err_sys(c->ctx, r, "reading /proc/%d/status", th->tid) : 0;
}

/*
 * Which of the signals in @lacking are pending without an entry? /proc was read before the queue:
 * one that is no longer there now was taken back (by SIGCONT) or has stopped the process.
 */
static int confirm(struct collect *c, struct collect_thread *th, bool shared, uint64_t *lacking)
{
	struct proc_status now;
	int r = read_now(c, th, &now);

	if (r < 0)
		return r;
	*lacking &= shared ? now.shared_pending : now.sig_pending;
	return 0;
}

static int collect_queued(struct collect *c, pid_t tid, bool shared, struct queue q,
			  uint64_t *ret_queued)
{
	siginfo_t infos[PEEK_AT_ONCE];
	int n, r = 0;

	*ret_queued = 0;
	for (size_t offset = 0;; offset += (size_t)n) {
		n = peek(c->ctx, tid, shared, offset, infos);
		for (int i = 0; i < n && !r; i++) {
			*ret_queued |= bit(infos[i].si_signo);
			r = add_entry(c, q, &infos[i]);
		}
		if (n <= 0 || r)
			return n < 0 ? n : r;
	}
}

/* The queue of the thread, or that of its process. */
static int collect_queue(struct collect *c, struct collect_thread *th, bool shared, struct queue q)
{
	uint64_t queued, lacking;
	int r = collect_queued(c, th->tid, shared, q, &queued);

	lacking = (shared ? th->status.shared_pending : th->status.sig_pending) & ~queued;
	if (!r && lacking)
		r = confirm(c, th, shared, &lacking);
	for (int sig = 1; sig <= N_SIGNALS && !r; sig++) {
		const siginfo_t info = {.si_signo = sig, .si_code = SI_USER};

		if (lacking & bit(sig))
			r = add_entry(c, q, &info);
	}
	return r;
}

static bool self_only(const Coppice__SigInfo *msg)
{
	const siginfo_t *info = (const siginfo_t *)(const void *)msg->raw.data;

	return info->si_code >= 0 || info->si_code == SI_TKILL;
}

static int collect_shared(struct collect *c, struct collect_process *p)
{
	Coppice__Process *msg = p->msg;
	int r = collect_queue(c, &p->threads[0], true, shared_queue(p));

	if (r || p->threads[0].tid == p->pid)
		return r;
	for (size_t i = 0; i < msg->n_pending; i++)
		if (self_only(msg->pending[i]))
			return collect_refuse(c, "try again when it has taken its signals",
					      "%s: its leader is dead, and a signal pending for "
					      "the process could be sent anew by it alone",
					      collect_name(c, p));
	return 0;
}

static int collect_private(struct collect *c, struct collect_thread *th)
{
	return collect_queue(c, th, false, (struct queue){&th->msg->pending, &th->msg->n_pending});
}

/* Most have nothing pending by /proc, and so no queue to look at. */
static int collect(struct collect *c, struct collect_process *p)
{
	return !p->zombie && p->status.shared_pending ? collect_shared(c, p) : 0;
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	return th->status.sig_pending ? collect_private(c, th) : 0;
}

/* ---- a second look ------------------------------------------------------------------------- */

/* May a timer of the process have sent it? */
static bool from_timer(const siginfo_t *info)
{
	if (info->si_code == SI_TIMER)
		return true;
	return info->si_code == SI_KERNEL &&
	       (info->si_signo == SIGALRM || info->si_signo == SIGVTALRM ||
		info->si_signo == SIGPROF);
}

/* A queue as it was collected. */
struct entries {
	Coppice__SigInfo **list;
	size_t n;
};

static bool contains(const struct entries *entries, const Coppice__SigInfo *msg)
{
	for (size_t i = 0; i < entries->n; i++)
		if (memcmp(entries->list[i]->raw.data, msg->raw.data, sizeof(siginfo_t)) == 0)
			return true;
	return false;
}

static void add_news(const struct entries *before, struct queue now, bool stopped,
		     struct pending_news *news)
{
	for (size_t i = 0; i < *now.n; i++) {
		const Coppice__SigInfo *msg = (*now.entries)[i];
		const siginfo_t *info = (const siginfo_t *)(const void *)msg->raw.data;

		if (info->si_signo == (stopped ? SIGCONT : SIGSTOP))
			news->job = true;
		if (from_timer(info) && !contains(before, msg))
			news->expired = true;
	}
}

static struct entries empty(struct queue q)
{
	const struct entries entries = {*q.entries, *q.n};

	*q.entries = NULL;
	*q.n = 0;
	return entries;
}

/* The queues of a task that waits in its loop can be read while it is stopped. */
static int look_at_queues(struct collect *c, struct collect_thread *th, bool shared)
{
	struct err first;
	int r = puppet_hold(c->ctx, th->puppet);
	int gone;

	if (r < 0)
		return r;
	r = shared ? collect_shared(c, th->process) : 0;
	if (!r && th->status.sig_pending)
		r = collect_private(c, th);
	first = c->ctx->err;
	gone = puppet_unhold(c->ctx, th->puppet);
	if (!r)
		return gone;
	c->ctx->err = first; /* which is the one to be told */
	return r;
}

/* The first thread looks for the whole process, too. */
static int look_again(struct collect *c, struct collect_thread *th, bool stopped,
		      struct pending_news *news)
{
	const struct entries before = empty(private_queue(th));
	struct entries before_shared = {};
	bool shared = th == &th->process->threads[0];
	struct proc_status now;
	int r = read_now(c, th, &now);

	if (r < 0)
		return r;
	th->status.sig_pending = now.sig_pending;
	th->status.shared_pending = now.shared_pending;
	if (shared)
		before_shared = empty(shared_queue(th->process));
	shared &= now.shared_pending != 0;
	/* Most have nothing pending. */
	if (!shared && !now.sig_pending)
		return 0;
	r = look_at_queues(c, th, shared);
	add_news(&before, private_queue(th), stopped, news);
	if (shared)
		add_news(&before_shared, shared_queue(th->process), stopped, news);
	return r;
}

int pending_collect_again(struct collect *c, struct collect_process *p,
			  struct pending_news *ret_news)
{
	bool stopped = p->msg->state == COPPICE__RUN_STATE__RUN_STATE_STOPPED;
	struct pending_news news = {};
	int r = 0;

	for (size_t i = 0; i < p->n_threads && !r; i++)
		r = look_again(c, &p->threads[i], stopped, &news);
	if (!r)
		*ret_news = news;
	return r;
}

/* ---- restore ------------------------------------------------------------------------------- */

/* Takes away what is pending in the stub: traces of how the tree was grown. */
static int add_flush(struct rebuild *r, pid_t tid, bool shared, struct call_table *t)
{
	static const struct timespec at_once;
	siginfo_t infos[PEEK_AT_ONCE];
	int n = PEEK_AT_ONCE;

	for (size_t offset = 0; n == PEEK_AT_ONCE; offset += (size_t)n) {
		n = peek(r->ctx, tid, shared, offset, infos);
		for (int i = 0; i < n; i++) {
			uint64_t set = bit(infos[i].si_signo);
			uint32_t set_at = call_space(t, &set, sizeof(set));
			uint32_t time_at = call_space(t, &at_once, sizeof(at_once));

			/* EAGAIN: it was taken away together with the action. */
			call_expect_any(t, call_add(t, "rt_sigtimedwait()", SYS_rt_sigtimedwait,
						    CALL_DATA(set_at), CALL_IMM(0),
						    CALL_DATA(time_at), CALL_IMM(sizeof(set))));
		}
	}
	return n < 0 ? n : 0;
}

static uint32_t add_siginfo(struct call_table *t, const Coppice__SigInfo *msg, int *ret_sig)
{
	siginfo_t info = {0};

	memcpy(&info, msg->raw.data, MIN(msg->raw.len, sizeof(info)));
	*ret_sig = info.si_signo;
	return call_space(t, &info, sizeof(info));
}

/* The number that a task knows itself by: the innermost level's. */
static int32_t innermost(const int32_t *ids, size_t n)
{
	return ids[n - 1];
}

static bool has_trap(Coppice__SigInfo *const *pending, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((const siginfo_t *)(const void *)pending[i]->raw.data)->si_signo == SIGTRAP)
			return true;
	return false;
}

static bool process_has_trap(const struct rebuild_process *p)
{
	bool has = has_trap(p->msg->pending, p->msg->n_pending);

	for (size_t i = 0; i < p->n_threads; i++)
		has = has || has_trap(p->threads[i].msg->pending, p->threads[i].msg->n_pending);
	return has;
}

/* The order to change SIGTRAP's action, even to the default, has a stub ring in another way. */
static int install_thread(struct rebuild *r _unused_, struct rebuild_thread *th,
			  struct call_table *t)
{
	static const uint64_t by_default[4];
	const uint64_t trap = bit(SIGTRAP);

	if (!process_has_trap(th->process))
		return 0;
	call_add(t, "rt_sigaction()", SYS_rt_sigaction, CALL_IMM(SIGTRAP),
		 CALL_DATA(call_space(t, by_default, sizeof(by_default))), CALL_IMM(0),
		 CALL_IMM(sizeof(trap)));
	call_add(t, "rt_sigprocmask()", SYS_rt_sigprocmask, CALL_IMM(SIG_BLOCK),
		 CALL_DATA(call_space(t, &trap, sizeof(trap))), CALL_IMM(0),
		 CALL_IMM(sizeof(trap)));
	return 0;
}

static int last(struct rebuild *r, struct rebuild_process *p, struct call_table *t)
{
	const Coppice__Process *msg = p->msg;
	int sig, res;

	res = add_flush(r, p->puppet->tid, true, t);
	if (res)
		return res;
	for (size_t i = 0; i < msg->n_pending; i++) {
		uint32_t at = add_siginfo(t, msg->pending[i], &sig);

		call_add(t, "rt_sigqueueinfo()", SYS_rt_sigqueueinfo,
			 CALL_IMM(innermost(msg->pid, msg->n_pid)), CALL_IMM(sig), CALL_DATA(at));
	}
	return 0;
}

static int last_thread(struct rebuild *r, struct rebuild_thread *th, struct call_table *t)
{
	const Coppice__Process *process = th->process->msg;
	const Coppice__Thread *msg = th->msg;
	int sig, res;

	res = add_flush(r, th->puppet->tid, false, t);
	if (res)
		return res;
	for (size_t i = 0; i < msg->n_pending; i++) {
		uint32_t at = add_siginfo(t, msg->pending[i], &sig);

		call_add(t, "rt_tgsigqueueinfo()", SYS_rt_tgsigqueueinfo,
			 CALL_IMM(innermost(process->pid, process->n_pid)),
			 CALL_IMM(innermost(msg->tid, msg->n_tid)), CALL_IMM(sig), CALL_DATA(at));
	}
	return 0;
}

const struct task_aspect aspect_pending = {
	.name = "pending",
	.collect = collect,
	.collect_thread = collect_thread,
	.install_thread = install_thread,
	.last = last,
	.last_thread = last_thread,
};
