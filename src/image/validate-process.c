/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for processes, threads and what belongs to them; the limits are the kernel's own. */
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "image/validate-internal.h"
#include "puppet/arch.h"

enum {
	PID_LEVELS_MAX = 33,	   /* MAX_PID_NS_LEVEL + 1, include/linux/pid_namespace.h */
	PID_MAX = 4 * 1024 * 1024, /* PID_MAX_LIMIT, include/linux/threads.h */
	COMM_MAX = 63,		   /* of kernel threads and workers; 15 of all others */
	SIGINFO_SIZE = 128,	   /* SI_MAX_SIZE */
	N_SIGNALS = 64,		   /* _NSIG */
	N_ITIMERS = 3,		   /* ITIMER_REAL, _VIRTUAL, _PROF */
	XSTATE_MAX = 64 * 1024,	   /* AMX needs 11 KiB, the longest SVE 17 */
	GROUPS_MAX = 65536,	   /* NGROUPS_MAX */
	CPU_BYTES_MAX = 8192 / 8,  /* NR_CPUS_RANGE_END */
	TLS_WORDS = 4,		   /* struct user_desc */
	NODE_BYTES_MAX = 1024 / 8, /* MAX_NUMNODES */
	SPECULATION_MAX = 16,
	FILTERS_MAX =
		32768 / 5, /* a chain of the shortest ones: MAX_INSNS_PER_PATH, kernel/seccomp.c */
};

int validate_origin(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__Origin *o = (const Coppice__Origin *)msg;

	if (o->arch[0] == '\0')
		return invalid(v, "arch: missing");
	if (o->page_size < 4096 || o->page_size > 65536 || (o->page_size & (o->page_size - 1)) != 0)
		return invalid(v, "page_size: %u is none that Linux has", o->page_size);
	if (o->xstate_size > XSTATE_MAX)
		return invalid(v, "xstate_size: %u is more than any CPU has", o->xstate_size);
	return validate_hold(v, o->hold);
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* A number per namespace level; @n_levels of them, the innermost one visible when it must be. */
static int check_ids(const struct validation *v, const char *where, const int32_t *id, size_t n,
		     size_t n_levels, bool innermost)
{
	if (n == 0 || n > PID_LEVELS_MAX || n != n_levels)
		return invalid(v, "%s: %zu levels, the process has %zu", where, n, n_levels);
	for (size_t i = 0; i < n; i++)
		if (id[i] < 0 || id[i] > PID_MAX)
			return invalid(v, "%s[%zu]: %d is no process number", where, i, id[i]);
	if (innermost && id[n - 1] == 0)
		return invalid(v, "%s[%zu]: 0 in its own namespace", where, n - 1);
	return 0;
}

static int check_signal(const struct validation *v, const char *where, int32_t signal)
{
	if (signal < 0 || signal > N_SIGNALS)
		return invalid(v, "%s: %d is no signal", where, signal);
	return 0;
}

static int check_pending(const struct validation *v, const char *where,
			 Coppice__SigInfo *const *pending, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int32_t signal;

		if (pending[i]->raw.len != SIGINFO_SIZE)
			return invalid(v, "%spending[%zu].raw: %zu bytes, siginfo_t has %d", where,
				       i, pending[i]->raw.len, SIGINFO_SIZE);
		memcpy(&signal, pending[i]->raw.data, sizeof(signal)); /* si_signo */
		if (signal < 1 || signal > N_SIGNALS)
			return invalid(v, "%spending[%zu].raw: %d is no signal", where, i, signal);
	}
	return 0;
}

/* ---- threads -------------------------------------------------------------------------------- */

static int check_sizes(const struct validation *v, size_t i, const Coppice__Thread *t)
{
	const struct {
		const char *field;
		size_t len;
		size_t max;
	} sizes[] = {
		{"comm", strlen(t->comm), COMM_MAX},
		{"regs", t->regs.len, ARCH_REGS_MAX},
		{"xstate", t->xstate.len, XSTATE_MAX},
		{"sched.affinity", t->sched ? t->sched->affinity.len : 0, CPU_BYTES_MAX},
		{"creds.groups", t->creds ? t->creds->n_groups : 0, GROUPS_MAX},
		{"mem_policy.nodes", t->mem_policy ? t->mem_policy->nodes.len : 0, NODE_BYTES_MAX},
		{"speculation", t->n_speculation, SPECULATION_MAX},
	};

	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
		if (sizes[k].len > sizes[k].max)
			return invalid(v, "threads[%zu].%s: %zu long, at most %zu is possible", i,
				       sizes[k].field, sizes[k].len, sizes[k].max);
	return 0;
}

static int check_thread(const struct validation *v, const Coppice__Process *p, size_t i)
{
	const Coppice__Thread *t = p->threads[i];
	char where[64];
	int r;

	(void)snprintf(where, sizeof(where), "threads[%zu].tid", i);
	r = check_ids(v, where, t->tid, t->n_tid, p->n_pid, true);
	if (r < 0)
		return r;
	r = check_sizes(v, i, t);
	if (r < 0)
		return r;
	if (t->regs.len == 0)
		return invalid(v, "threads[%zu].regs: missing", i);
	if (!t->creds || !t->sched)
		return invalid(v, "threads[%zu].%s: missing", i, t->creds ? "sched" : "creds");
	if (t->seccomp_mode < 0 || t->seccomp_mode > 2 ||
	    (t->seccomp_mode == 2) != (t->seccomp_filter != 0))
		return invalid(v, "threads[%zu].seccomp_mode: %d with filter %u", i,
			       t->seccomp_mode, t->seccomp_filter);
	if (t->n_tls_entry % TLS_WORDS != 0)
		return invalid(v, "threads[%zu].tls_entry: %zu words, not a multiple of %d", i,
			       t->n_tls_entry, TLS_WORDS);
	(void)snprintf(where, sizeof(where), "threads[%zu].pdeath_signal", i);
	r = check_signal(v, where, t->pdeath_signal);
	if (r < 0)
		return r;
	(void)snprintf(where, sizeof(where), "threads[%zu].", i);
	return check_pending(v, where, t->pending, t->n_pending);
}

static int check_threads(const struct validation *v, const Coppice__Process *p)
{
	size_t level = p->n_pid - 1;

	if (p->n_threads == 0)
		return invalid(v, "threads: none, in a process that lives");
	if ((p->threads[0]->n_tid == p->n_pid && p->threads[0]->tid[level] == p->pid[level]) ==
	    !!p->leader_dead)
		return invalid(v, "threads[0].tid: %s",
			       p->leader_dead ? "the leader, which is said to be dead"
					      : "not the leader");
	for (size_t i = 0; i < p->n_threads; i++) {
		int r = check_thread(v, p, i);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- processes ------------------------------------------------------------------------------ */

/* setitimer(2) knows nothing smaller than a microsecond. */
static int check_itimers(const struct validation *v, const Coppice__Process *p)
{
	if (p->n_itimers != N_ITIMERS)
		return invalid(v, "itimers: %zu, there are always %d", p->n_itimers, N_ITIMERS);
	for (size_t i = 0; i < N_ITIMERS; i++)
		if (p->itimers[i]->value_ns % 1000 != 0 || p->itimers[i]->interval_ns % 1000 != 0)
			return invalid(v, "itimers[%zu]: not in whole microseconds", i);
	return 0;
}

static int check_living(const struct validation *v, const Coppice__Process *p)
{
	const struct {
		const char *field;
		uint32_t id;
	} tables[] = {
		{"mm", p->mm}, {"fd_table", p->fd_table}, {"fs", p->fs}, {"sighand", p->sighand}};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (tables[i].id == 0)
			return invalid(v, "%s: missing, in a process that lives", tables[i].field);
	r = check_itimers(v, p);
	if (r < 0)
		return r;
	if (p->n_rlimits != RLIM_NLIMITS)
		return invalid(v, "rlimits: %zu, there are always %d", p->n_rlimits, RLIM_NLIMITS);
	return check_threads(v, p);
}

static int check_zombie(const struct validation *v, const Coppice__Process *p)
{
	if (p->n_threads > 0 || p->mm != 0 || p->fd_table != 0 || p->fs != 0 || p->sighand != 0)
		return invalid(v, "state: a zombie has no threads and no tables");
	if (p->parent == 0)
		return invalid(v, "parent: a zombie is its parent's, who is to be in the image");
	return 0;
}

static int check_posix_timers(const struct validation *v, const Coppice__Process *p)
{
	for (size_t i = 0; i < p->n_posix_timers; i++) {
		const Coppice__PosixTimer *t = p->posix_timers[i];

		if (t->id < 0 || (i > 0 && t->id <= p->posix_timers[i - 1]->id))
			return invalid(v, "posix_timers[%zu].id: %d is not in order", i, t->id);
		if (t->signal < 0 || t->signal > N_SIGNALS)
			return invalid(v, "posix_timers[%zu].signal: %d is no signal", i,
				       t->signal);
	}
	return 0;
}

static int check_numbers(const struct validation *v, const Coppice__Process *p)
{
	int r = check_ids(v, "pid", p->pid, p->n_pid, p->n_pid, true);

	if (r == 0)
		r = check_ids(v, "sid", p->sid, p->n_sid, p->n_pid, false);
	if (r == 0)
		r = check_ids(v, "pgid", p->pgid, p->n_pgid, p->n_pid, false);
	if (r == 0)
		r = check_signal(v, "exit_signal", p->exit_signal);
	if (r == 0)
		r = check_signal(v, "stop_signal", p->stop_signal);
	if (r < 0)
		return r;
	/* Also what keeps the tree free of cycles. */
	if (p->parent >= p->id)
		return invalid(v, "parent: %u does not come before its child", p->parent);
	if (p->cow_parent >= p->id)
		return invalid(v, "cow_parent: %u does not come before %u", p->cow_parent, p->id);
	if (p->stop_unnoticed &&
	    (p->state != COPPICE__RUN_STATE__RUN_STATE_STOPPED || p->parent == 0))
		return invalid(v, "stop_unnoticed: no parent to tell of a stop");
	return 0;
}

int validate_process(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__Process *p = (const Coppice__Process *)msg;
	int r = check_numbers(v, p);

	if (r == 0)
		r = check_pending(v, "", p->pending, p->n_pending);
	if (r == 0)
		r = check_posix_timers(v, p);
	if (r < 0)
		return r;
	if (strlen(p->comm) > COMM_MAX)
		return invalid(v, "comm: %zu bytes long", strlen(p->comm));
	if (p->creds && p->creds->n_groups > GROUPS_MAX)
		return invalid(v, "creds.groups: %zu of them", p->creds->n_groups);
	/* 1 is the shell job's, Pty.id follows */
	if (p->tty > 1 && (p->tty - 2 >= v->cp->n_ptys || v->cp->ptys[p->tty - 2]->gone))
		return invalid(v, "tty: %u is no terminal that can be taken", p->tty);
	return p->state == COPPICE__RUN_STATE__RUN_STATE_ZOMBIE ? check_zombie(v, p)
								: check_living(v, p);
}

int validate_seccomp_filter(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__SeccompFilter *f = (const Coppice__SeccompFilter *)msg;
	uint32_t parent = f->parent;
	unsigned int depth = 0;

	if (f->insns.len == 0 || f->insns.len % sizeof(struct sock_filter) != 0 ||
	    f->insns.len > BPF_MAXINSNS * sizeof(struct sock_filter))
		return invalid(v, "insns: %zu bytes are no filter", f->insns.len);
	/* Only records up to this one had their references checked. */
	while (parent != 0 && parent <= v->cp->n_seccomp_filters && depth++ < FILTERS_MAX)
		parent = v->cp->seccomp_filters[parent - 1]->parent;
	if (depth > FILTERS_MAX)
		return invalid(v, "parent: more filters in a chain than the kernel allows");
	return 0;
}

/* ---- shared tables -------------------------------------------------------------------------- */

int validate_sighand(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__Sighand *s = (const Coppice__Sighand *)msg;
	uint32_t last = 0;

	for (size_t i = 0; i < s->n_actions; i++) {
		uint32_t signal = s->actions[i]->signal;

		if (signal <= last || signal > N_SIGNALS)
			return invalid(v, "actions[%zu].signal: %u is not in order", i, signal);
		last = signal;
	}
	return 0;
}

int validate_fs(const struct validation *v, const ProtobufCMessage *msg)
{
	const Coppice__Fs *fs = (const Coppice__Fs *)msg;

	if (fs->cwd[0] == '\0' || fs->root[0] == '\0')
		return invalid(v, "%s: missing", fs->cwd[0] == '\0' ? "cwd" : "root");
	if (fs->umask > 0777)
		return invalid(v, "umask: 0%o", fs->umask);
	return 0;
}
