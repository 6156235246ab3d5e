/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX timers (timer_create(2)): listed in /proc/PID/timers, their remaining time by remote
 * timer_gettime.
 *
 * They are made with their ids in the last phase, when the threads exist that they may be bound
 * to, and armed right before the program goes on (phase resume), so that none runs while the tree
 * is rebuilt.
 *
 * A timer on the CPU clock of another process is refused, and one on the CPU clock of "the thread
 * that made it" when there are several: which one it was cannot be told from /proc. So is an
 * overrun count of the last signal, as nothing can set it. What cannot be seen: whether a timer on
 * CLOCK_REALTIME was set to an absolute time (it is restored with the time that remained), and the
 * id that the next timer_create would choose.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "kind/task.h"
#include "task/timers.h"

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS	77
#define PR_TIMER_CREATE_RESTORE_IDS_OFF 0
#define PR_TIMER_CREATE_RESTORE_IDS_ON	1
#define PR_TIMER_CREATE_RESTORE_IDS_GET 2
#endif

/* Without PR_TIMER_CREATE_RESTORE_IDS ids are had by making and deleting all that come before. */
enum { ID_BY_COUNTING_MAX = 65536, CALLS_PER_TIMER = 2 };

/* struct sigevent as the kernel has it. */
struct kernel_sigevent {
	uint64_t value;
	int32_t signo;
	int32_t notify;
	int32_t tid;
	int32_t pad[11];
};

/* include/linux/posix-timers_types.h: a CPU clock's id holds a PID and these bits. */
enum {
	CPUCLOCK_FD = 3, /* not a CPU clock but a device's */
	CPUCLOCK_WHICH = 3,
	CPUCLOCK_PERTHREAD = 4,
};

/* ---- dump ---------------------------------------------------------------------------------- */

static bool has_tid(const struct collect_process *p, pid_t innermost)
{
	for (size_t i = 0; i < p->n_threads; i++)
		if (p->threads[i].msg->tid[p->threads[i].msg->n_tid - 1] == innermost)
			return true;
	return false;
}

/* Why a timer on this clock cannot be kept, or NULL. */
static const char *clock_trouble(const struct collect_process *p, int clock)
{
	pid_t pid = ~(clock >> 3);

	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		return NULL;
	default:
		break;
	}
	if (clock >= 0)
		return "this clock is not known";
	if ((clock & CPUCLOCK_WHICH) == CPUCLOCK_FD)
		return "its clock is a device";
	if (!(clock & CPUCLOCK_PERTHREAD))
		return !pid || pid == p->msg->pid[p->msg->n_pid - 1]
			       ? NULL
			       : "its clock is the CPU time of another process";
	if (!pid)
		return p->n_threads == 1 ? NULL
					 : "its clock is the CPU time of one of several threads, "
					   "the kernel does not tell which";
	return has_tid(p, pid) ? NULL : "its clock is the CPU time of a thread that is gone";
}

/* The number that the timer's thread knows itself by; 0: that thread is gone. */
static pid_t target_thread(const struct collect_process *p, pid_t tid)
{
	for (size_t i = 0; i < p->n_threads; i++)
		if (p->threads[i].tid == tid)
			return p->threads[i].msg->tid[p->threads[i].msg->n_tid - 1];
	return 0;
}

static int collect_timer(struct collect *c, const struct collect_process *p,
			 const struct proc_timer *from, Coppice__PosixTimer *msg)
{
	const char *trouble = clock_trouble(p, from->clock);

	coppice__posix_timer__init(msg);
	msg->id = from->id;
	msg->clock = from->clock;
	msg->notify = from->notify;
	msg->signal = from->signal;
	msg->sigval = from->sigval;
	if (from->to_thread) {
		msg->notify |= SIGEV_THREAD_ID;
		msg->thread = target_thread(p, from->target);
		if (!msg->thread)
			trouble = "the thread it was to notify is gone";
	}
	return trouble ? collect_refuse(c, NULL, "%s: POSIX timer %d (clock %d): %s",
					collect_name(c, p), from->id, from->clock, trouble)
		       : 0;
}

static int by_id(const void *a, const void *b)
{
	const struct proc_timer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int collect(struct collect *c, struct collect_process *p)
{
	const struct proc_dir dir = collect_dir(c, p);
	struct proc_timer *timers;
	Coppice__PosixTimer *msgs;
	size_t n;
	int r;

	if (p->zombie)
		return 0;
	r = proc_read_timers(&dir, c->arena, &timers, &n);
	if (r)
		return err_sys(c->ctx, r, "reading /proc/%d/timers", p->pid);
	if (!n)
		return 0;
	qsort(timers, n, sizeof(*timers), by_id);
	msgs = arena_new_n(c->arena, Coppice__PosixTimer, n);
	p->msg->posix_timers = arena_new_n(c->arena, Coppice__PosixTimer *, n);
	if (!msgs || !p->msg->posix_timers)
		return err_oom(c->ctx);
	for (size_t i = 0; i < n && !r; i++) {
		r = collect_timer(c, p, &timers[i], &msgs[i]);
		p->msg->posix_timers[p->msg->n_posix_timers++] = &msgs[i];
	}
	return r;
}

/* -EINVAL: a kernel that does not let one choose ids. */
static void ask(struct collect *c _unused_, struct collect_process *p, struct call_table *t)
{
	call_expect_any(t, call_add(t, "prctl(PR_TIMER_CREATE_RESTORE_IDS)", SYS_prctl,
				    CALL_IMM(PR_TIMER_CREATE_RESTORE_IDS),
				    CALL_IMM(PR_TIMER_CREATE_RESTORE_IDS_GET)));
	for (size_t i = 0; i < p->msg->n_posix_timers; i++) {
		int32_t id = p->msg->posix_timers[i]->id;
		uint32_t at = call_space(t, NULL, sizeof(struct itimerspec));

		call_add(t, "timer_gettime()", SYS_timer_gettime, CALL_IMM(id), CALL_DATA(at));
		call_add(t, "timer_getoverrun()", SYS_timer_getoverrun, CALL_IMM(id));
	}
}

static int64_t to_ns(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

static struct timespec to_timespec(int64_t ns)
{
	return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

static int reply(struct collect *c, struct collect_process *p, struct call_table *t, uint32_t first)
{
	int r = 0;

	p->msg->timer_ids_chosen = call_result(t, first) == 1;
	for (size_t i = 0; i < p->msg->n_posix_timers && !r; i++) {
		Coppice__PosixTimer *msg = p->msg->posix_timers[i];
		uint32_t asked = first + 1 + CALLS_PER_TIMER * (uint32_t)i;
		const struct itimerspec *from = call_arg_bytes(t, asked, 1);

		msg->value_ns = to_ns(&from->it_value);
		msg->interval_ns = to_ns(&from->it_interval);
		msg->overrun = (int32_t)call_result(t, asked + 1);
		if (msg->overrun)
			r = collect_refuse(c, "try again when it has expired once more",
					   "%s: POSIX timer %d: its overrun count of %d cannot be "
					   "given to a new timer",
					   collect_name(c, p), msg->id, msg->overrun);
	}
	return r;
}

/* ---- restore ------------------------------------------------------------------------------- */

static bool can_choose_ids(void)
{
	return prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) >= 0;
}

static int check(struct rebuild *r, const struct rebuild_process *p)
{
	const Coppice__Process *msg = p->msg;
	size_t n = msg->n_posix_timers;

	if (msg->timer_ids_chosen && !can_choose_ids())
		return rebuild_refuse(r, "use Linux 6.15 or newer",
				      "%s: chooses the ids of its POSIX timers, which this kernel "
				      "does not offer (PR_TIMER_CREATE_RESTORE_IDS)",
				      rebuild_name(r, p));
	if (!n || can_choose_ids() || msg->posix_timers[n - 1]->id < ID_BY_COUNTING_MAX)
		return 0;
	return rebuild_refuse(
		r, "use Linux 6.15 or newer",
		"%s: its POSIX timer has the id %d, which this kernel cannot be asked "
		"for (PR_TIMER_CREATE_RESTORE_IDS)",
		rebuild_name(r, p), msg->posix_timers[n - 1]->id);
}

static void add_create(struct call_table *t, const Coppice__PosixTimer *msg)
{
	const struct kernel_sigevent event = {
		.value = msg->sigval,
		.signo = msg->signal,
		.notify = msg->notify,
		.tid = msg->thread,
	};
	uint32_t event_at = call_space(t, &event, sizeof(event));
	uint32_t id_at = call_space(t, &msg->id, sizeof(msg->id));

	call_add(t, "timer_create()", SYS_timer_create, CALL_IMM(msg->clock), CALL_DATA(event_at),
		 CALL_DATA(id_at));
}

/* Makes and deletes timers until the kernel's counter stands at @id. */
static void add_counting(struct call_table *t, int32_t from, int32_t id)
{
	for (; from < id; from++) {
		Coppice__PosixTimer msg = COPPICE__POSIX_TIMER__INIT;

		msg.clock = CLOCK_MONOTONIC;
		msg.notify = SIGEV_NONE;
		add_create(t, &msg);
		call_add(t, "timer_delete()", SYS_timer_delete, CALL_IMM(from));
	}
}

static void add_choose_ids(struct call_table *t, unsigned int mode)
{
	call_add(t, "prctl(PR_TIMER_CREATE_RESTORE_IDS)", SYS_prctl,
		 CALL_IMM(PR_TIMER_CREATE_RESTORE_IDS), CALL_IMM(mode));
}

static int last(struct rebuild *r _unused_, struct rebuild_process *p, struct call_table *t)
{
	const Coppice__Process *msg = p->msg;
	bool choose = can_choose_ids();
	int32_t next = 0;

	if (!msg->n_posix_timers && !msg->timer_ids_chosen)
		return 0;
	if (choose)
		add_choose_ids(t, PR_TIMER_CREATE_RESTORE_IDS_ON);
	for (size_t i = 0; i < msg->n_posix_timers; i++) {
		if (!choose)
			add_counting(t, next, msg->posix_timers[i]->id);
		add_create(t, msg->posix_timers[i]);
		next = msg->posix_timers[i]->id + 1;
	}
	if (choose && !msg->timer_ids_chosen)
		add_choose_ids(t, PR_TIMER_CREATE_RESTORE_IDS_OFF);
	return 0;
}

static int resume(struct rebuild *r _unused_, struct rebuild_process *p, struct call_table *t)
{
	for (size_t i = 0; i < p->msg->n_posix_timers; i++) {
		const Coppice__PosixTimer *msg = p->msg->posix_timers[i];
		const struct itimerspec timer = {
			.it_value = to_timespec(msg->value_ns),
			.it_interval = to_timespec(msg->interval_ns),
		};

		if (msg->value_ns)
			call_add(t, "timer_settime()", SYS_timer_settime, CALL_IMM(msg->id),
				 CALL_IMM(0), CALL_DATA(call_space(t, &timer, sizeof(timer))),
				 CALL_IMM(0));
	}
	return 0;
}

const struct task_aspect aspect_timers = {
	.name = "timers",
	.collect = collect,
	.ask = ask,
	.reply = reply,
	.check = check,
	.last = last,
	.resume = resume,
};
