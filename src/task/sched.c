/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduling of each thread: policy with its parameters (SCHED_DEADLINE's too), nice, affinity,
 * utilization clamps, timer slack, I/O priority; and of each session, the autogroup's nice.
 *
 * Cannot be read: what is left of a time slice or a deadline runtime (both start anew), the default
 * timer slack that PR_SET_TIMERSLACK(0) goes back to, and whether an affinity of all CPUs was asked
 * for: one that leaves no CPU out is kept as "all", so that it is all on a larger machine too. A
 * slice that is the machine's default is likewise kept as "default".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/scan.h"
#include "kernel/sys.h"
#include "kind/task.h"
#include "task/sched.h"
#include "task/stub.h"
#include "task/surroundings.h"
#include "util/cleanup.h"
#include "util/io.h"

enum { SCHED_CAPACITY = 1024 }; /* SCHED_CAPACITY_SCALE: a clamp that clamps nothing */

/* ---- reading -------------------------------------------------------------------------------- */

static int read_affinity(struct arena *arena, const struct surroundings *s, pid_t tid,
			 ProtobufCBinaryData *ret)
{
	uint8_t mask[CPU_BYTES] = {0};
	size_t len = sizeof(mask);

	/* The raw call: glibc's clears the rest of the mask at the price of a signed length. */
	if (syscall(SYS_sched_getaffinity, tid, sizeof(mask), mask) < 0)
		return -errno;
	*ret = (ProtobufCBinaryData){0};
	if (memcmp(mask, s->online, sizeof(mask)) == 0)
		return 0;
	while (len > 0 && mask[len - 1] == 0)
		len--;
	len = ALIGN_UP(len, sizeof(uint64_t)); /* what sched_setaffinity takes in any ABI */
	ret->data = arena_memdup(arena, mask, len);
	if (!ret->data)
		return -ENOMEM;
	ret->len = len;
	return 0;
}

static int read_attr(const struct surroundings *s, pid_t tid, Coppice__Sched *ret)
{
	struct sys_sched_attr attr = {0};
	int r = sys_sched_getattr(tid, &attr);

	if (r < 0)
		return r;
	ret->policy = attr.policy;
	ret->flags = (uint32_t)attr.flags;
	ret->priority = attr.priority;
	ret->runtime_ns = attr.runtime;
	ret->deadline_ns = attr.deadline;
	ret->period_ns = attr.period;
	if (attr.policy != SCHED_DEADLINE && attr.runtime == s->slice_ns)
		ret->runtime_ns = 0;
	ret->util_clamp = s->util_clamp;
	if (s->util_clamp) {
		ret->util_min = attr.util_min;
		ret->util_max = attr.util_max;
	}
	return 0;
}

static int read_sched(struct context *ctx, struct arena *arena, const struct surroundings *s,
		      pid_t tid, Coppice__Sched *ret)
{
	int r;

	coppice__sched__init(ret);
	r = read_attr(s, tid, ret);
	if (r < 0)
		return err_sys(ctx, r, "sched_getattr(%d)", tid);
	r = read_affinity(arena, s, tid, &ret->affinity);
	if (r < 0)
		return err_sys(ctx, r, "sched_getaffinity(%d)", tid);
	errno = 0;
	ret->nice = getpriority(PRIO_PROCESS, (id_t)tid);
	return errno != 0 ? err_sys(ctx, -errno, "getpriority(%d)", tid) : 0;
}

static int collect_thread(struct collect *c, struct collect_thread *th)
{
	const struct surroundings *s;
	int r;

	r = surroundings_get(c->ctx, c->arena, &c->surroundings, &s);
	if (r < 0)
		return r;
	th->msg->sched = arena_new(c->arena, Coppice__Sched);
	if (!th->msg->sched)
		return err_oom(c->ctx);
	r = read_sched(c->ctx, c->arena, s, th->tid, th->msg->sched);
	if (r < 0)
		return r;
	r = sys_ioprio_get(th->tid);
	if (r < 0)
		return err_sys(c->ctx, r, "ioprio_get(%d)", th->tid);
	th->msg->ioprio = (uint32_t)r;
	return 0;
}

/* Any value is a slack, also one that looks like an error. */
static void ask_thread(struct collect *c _unused_, struct collect_thread *th _unused_,
		       struct call_table *t)
{
	call_expect_any(
		t, call_add(t, "prctl(PR_GET_TIMERSLACK)", SYS_prctl, CALL_IMM(PR_GET_TIMERSLACK)));
}

static int reply_thread(struct collect *c _unused_, struct collect_thread *th, struct call_table *t,
			uint32_t first)
{
	th->msg->timer_slack_ns = (uint64_t)call_result(t, first);
	return 0;
}

/* ---- autogroups ----------------------------------------------------------------------------- */

/* "/autogroup-25 nice -5" */
static bool scan_autogroup(const char *at, int *ret_nice)
{
	uint64_t id;

	return scan_literal(&at, "/autogroup-") && scan_u64(&at, 10, &id) &&
	       scan_literal(&at, " nice ") && scan_int(&at, ret_nice);
}

/* An autogroup is the session's: whoever was born into the session has its parent's. */
static int collect(struct collect *c, struct collect_process *p)
{
	const struct collect_process *parent = p->parent;
	char *text;
	int r;

	if (p->zombie)
		return 0;
	if (parent && !parent->zombie && parent->stat.session == p->stat.session) {
		p->msg->autogroup_nice = parent->msg->autogroup_nice;
		return 0;
	}
	r = proc_read_text(p->proc_fd, "autogroup", c->arena, &text);
	if (r == -ENOENT)
		return 0; /* CONFIG_SCHED_AUTOGROUP */
	if (r < 0)
		return err_sys(c->ctx, r, "reading /proc/%d/autogroup", p->pid);
	/* A task that has none shows an empty file. */
	if (text[0] != '\0' && !scan_autogroup(text, &p->msg->autogroup_nice))
		return err_msg(c->ctx, -EBADMSG, "/proc/%d/autogroup reads '%s'", p->pid, text);
	return 0;
}

/* Without CAP_SYS_ADMIN the kernel takes ten a second. */
static int write_autogroup(int proc_fd, int nice)
{
	enum { ATTEMPTS = 20, PAUSE_US = 50 * 1000 };
	_cleanup_close_ int fd = openat(proc_fd, "autogroup", O_WRONLY | O_CLOEXEC);
	char text[16];
	int r;

	if (fd < 0)
		return -errno;
	(void)snprintf(text, sizeof(text), "%d", nice);
	for (int i = 0;; i++) {
		r = io_write_all(fd, text, strlen(text));
		if (r != -EAGAIN || i == ATTEMPTS)
			return r;
		(void)usleep(PAUSE_US);
	}
}

static int set_autogroup(struct rebuild *r, const struct rebuild_process *p, int proc_fd)
{
	pid_t pid = p->puppet->tid;
	int have = 0;
	char *text;
	int rc;

	rc = proc_read_text(proc_fd, "autogroup", r->arena, &text);
	if (rc < 0)
		return err_sys(r->ctx, rc, "reading /proc/%d/autogroup", pid);
	if (scan_autogroup(text, &have) && have == p->msg->autogroup_nice)
		return 0;
	rc = write_autogroup(proc_fd, p->msg->autogroup_nice);
	return rc < 0 ? err_sys(r->ctx, rc, "writing %d to /proc/%d/autogroup",
				p->msg->autogroup_nice, pid)
		      : 0;
}

/* The outside's autogroup is not ours to change. */
static int last_direct(struct rebuild *r, struct rebuild_process *p)
{
	_cleanup_close_ int proc_fd = -EBADF;
	int rc;

	if (p->msg->autogroup_nice == 0 || p->msg->outside_session)
		return 0;
	rc = proc_open(p->puppet->tid, &proc_fd);
	if (rc < 0)
		return err_sys(r->ctx, rc, "open(/proc/%d)", p->puppet->tid);
	return set_autogroup(r, p, proc_fd);
}

/* ---- restore -------------------------------------------------------------------------------- */

static int check_cpus(struct rebuild *r, const struct rebuild_process *p, const Coppice__Thread *th,
		      const struct surroundings *s)
{
	for (size_t i = 0; i < th->sched->affinity.len; i++) {
		uint8_t missing = th->sched->affinity.data[i] &
				  (i < sizeof(s->online) ? (uint8_t)~s->online[i] : 0xff);

		if (missing)
			return rebuild_refuse(r, NULL,
					      "%s, thread %d: its affinity names CPU %zu, which "
					      "this machine does not have",
					      rebuild_name(r, p), th->tid[0],
					      i * 8 + (size_t)__builtin_ctz(missing));
	}
	return 0;
}

static int check_privilege(struct rebuild *r, const struct rebuild_process *p,
			   const Coppice__Thread *th, const struct surroundings *s)
{
	const struct stub_origin *origin;
	Coppice__Sched own;
	int rc;

	rc = stub_origin(r, &origin);
	if (rc < 0 || origin->creds.cap_effective >> CAP_SYS_NICE & 1)
		return rc;
	rc = read_sched(r->ctx, r->arena, s, getpid(), &own);
	if (rc < 0 || !sched_needs_privilege(&own, th->sched))
		return rc;
	if (origin->limits[RLIMIT_NICE].soft > 0 || origin->limits[RLIMIT_RTPRIO].soft > 0)
		return 0; /* may be enough */
	return rebuild_refuse(r, "give coppice CAP_SYS_NICE",
			      "%s, thread %d: its scheduling policy %u, nice %d needs privilege",
			      rebuild_name(r, p), th->tid[0], th->sched->policy, th->sched->nice);
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	const struct surroundings *s;
	int rc = surroundings_get(r->ctx, r->arena, &r->surroundings, &s);

	for (size_t i = 0; rc >= 0 && i < p->msg->n_threads; i++) {
		const Coppice__Thread *th = p->msg->threads[i];

		if (th->sched->util_clamp && !s->util_clamp &&
		    (th->sched->util_min > 0 || th->sched->util_max < SCHED_CAPACITY)) {
			rc = rebuild_refuse(r, NULL,
					    "%s, thread %d: this kernel has no utilization clamps",
					    rebuild_name(r, p), th->tid[0]);
			if (rc < 0)
				return rc;
		}
		rc = check_cpus(r, p, th, s);
		if (rc >= 0)
			rc = check_privilege(r, p, th, s);
	}
	return rc;
}

/* After the policy: a change of policy sets the slack, and realtime tasks have none. */
static void add_slack(struct call_table *t, uint64_t slack)
{
	if (slack > 0)
		call_add(t, "prctl(PR_SET_TIMERSLACK)", SYS_prctl, CALL_IMM(PR_SET_TIMERSLACK),
			 CALL_IMM(slack));
}

static int last_thread(struct rebuild *r, struct rebuild_thread *th, struct call_table *t)
{
	const struct surroundings *s;
	pid_t tid = th->puppet->tid;
	Coppice__Sched have;
	int rc;

	rc = surroundings_get(r->ctx, r->arena, &r->surroundings, &s);
	if (rc >= 0)
		rc = read_sched(r->ctx, r->arena, s, tid, &have);
	if (rc < 0)
		return rc;
	sched_add(t, &have, th->msg->sched);
	add_slack(t, th->msg->timer_slack_ns);
	rc = sys_ioprio_get(tid);
	if (rc < 0)
		return err_sys(r->ctx, rc, "ioprio_get(%d)", tid);
	if ((uint32_t)rc != th->msg->ioprio)
		call_add(t, "ioprio_set()", SYS_ioprio_set, CALL_IMM(IOPRIO_WHO_PROCESS),
			 CALL_IMM(0), CALL_IMM(th->msg->ioprio));
	return 0;
}

const struct task_aspect aspect_sched = {
	.name = "scheduling",
	.collect = collect,
	.collect_thread = collect_thread,
	.ask_thread = ask_thread,
	.reply_thread = reply_thread,
	.check = check,
	.last_thread = last_thread,
	.last_direct = last_direct,
};
